import numpy as np
import pytest

from isogloss.frontend.windows import WINDOW_TYPES, Framing, float32_pair_sum, window
from isogloss.types import IsoglossError


@pytest.mark.parametrize("num_samples", [0, 1, 399, 400, 401, 559, 560, 5000])
def test_snip_edges_counts_the_frames_that_fit(num_samples):
    framing = Framing(400, 160, snip_edges=True)
    fitting = [t for t in range(100) if t * 160 + 400 <= num_samples]
    assert framing.num_frames(num_samples) == len(fitting)


@pytest.mark.parametrize("num_samples", [0, 79, 80, 239, 240, 5000])
def test_without_snip_edges_frames_are_the_duration_over_the_shift_rounded(num_samples):
    assert Framing(400, 160, snip_edges=False).num_frames(num_samples) == int(num_samples / 160 + 0.5)


def test_cut_mirrors_both_edges_with_the_edge_sample_repeated():
    samples = np.array([1, 2, 3, 4, 5], dtype=np.int16)
    framing = Framing(10, 2, snip_edges=False)  # frame 0 begins at 2/2 − 10/2 = −4
    assert framing.cut(samples, 0, 2, 1.0).tolist() == [4, 3, 2, 1, 1, 2, 3, 4, 5, 5, 4, 3]


def test_cut_mirrors_again_where_the_signal_is_shorter_than_the_reach():
    framing = Framing(8, 2, snip_edges=False)
    assert framing.cut(np.array([1, 2], dtype=np.int16), 0, 1, 1.0).tolist() == [2, 2, 1, 1, 2, 2, 1, 1]


def test_cut_scales_to_float32():
    stretch = Framing(2, 1).cut(np.array([0.5, -0.25]), 0, 1, 32768.0)
    assert stretch.dtype == np.float32
    assert stretch.tolist() == [16384.0, -8192.0]


@pytest.mark.parametrize("name", WINDOW_TYPES)
def test_windows_are_symmetric_and_peak_at_one(name):
    weights = window(name, 401)
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-12)
    assert weights.max() == pytest.approx(1.0)
    assert weights[200] == weights.max()


def test_window_values_at_the_edge_and_a_quarter():
    assert window("hanning", 5)[:2] == pytest.approx([0.0, 0.5])
    assert window("povey", 5)[1] == pytest.approx(0.5**0.85)
    assert window("hamming", 5)[:2] == pytest.approx([0.08, 0.54])
    assert window("sine", 5)[1] == pytest.approx(np.sqrt(0.5))
    assert window("blackman", 5)[1] == pytest.approx(0.42 - 0.08)
    assert window("rectangular", 5).tolist() == [1.0] * 5


def test_bad_options_are_named():
    with pytest.raises(IsoglossError, match="hann"):
        window("hann", 400)
    with pytest.raises(IsoglossError, match="milliseconds"):
        Framing.from_ms(16000, 0.025, 0.010, True)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 400])
def test_pair_sum(size):
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    expected = sum(float(np.float32(sum(values[i : i + 2], np.float32(0)))) for i in range(0, size, 2))
    assert float32_pair_sum(values) == pytest.approx(expected, abs=1e-12)
