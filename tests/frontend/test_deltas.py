import numpy as np
import pytest

from isogloss.frontend.deltas import deltas, splice
from isogloss.types import IsoglossError


def test_agrees_with_kaldi(kaldi):
    ours = deltas(kaldi["mfcc13_thchs30/utt1s16"])
    np.testing.assert_allclose(ours, kaldi["mfcc13_thchs30_deltas/utt1s16"], atol=1e-5)


def test_the_slope_of_a_ramp_and_the_curvature_of_a_parabola():
    time = np.arange(40.0)[:, None]
    first_two = deltas(np.hstack([3 * time, time**2]), order=2, window=2)[4:-4]
    np.testing.assert_allclose(first_two[:, 2], 3.0, atol=1e-4)
    np.testing.assert_allclose(first_two[:, 3], 2 * time[4:-4, 0], atol=1e-3)
    np.testing.assert_allclose(first_two[:, 4:], [[0.0, 2.0]] * 32, atol=1e-3)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_first_order_formula_with_repeated_edges(window):
    x = np.random.default_rng(12).normal(size=(30, 2))
    ours = deltas(x, order=1, window=window)
    for t in range(30):
        total = sum(n * (x[min(t + n, 29)] - x[max(t - n, 0)]) for n in range(1, window + 1))
        np.testing.assert_allclose(ours[t, 2:], total / (2 * sum(n * n for n in range(1, window + 1))), atol=1e-6)


def test_order_zero_is_the_frames_themselves():
    x = np.random.default_rng(13).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(deltas(x, order=0), x)


def test_splice_repeats_edge_frames():
    x = np.arange(8.0).reshape(4, 2)
    assert splice(x, 2, 1)[0].tolist() == [0, 1, 0, 1, 0, 1, 2, 3]
    assert splice(x, 1, 1)[3].tolist() == [4, 5, 6, 7, 6, 7]


def test_empty():
    assert deltas(np.zeros((0, 13))).shape == (0, 39)
    assert splice(np.zeros((0, 13)), 3, 3).shape == (0, 91)


def test_bad_options():
    with pytest.raises(IsoglossError, match="window 0"):
        deltas(np.zeros((5, 2)), window=0)
    with pytest.raises(IsoglossError, match="left"):
        splice(np.zeros((5, 2)), -1, 0)
