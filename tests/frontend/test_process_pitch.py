import math

import numpy as np
import pytest

from isogloss.frontend.process_pitch import process_pitch, voicing
from isogloss.types import IsoglossError


@pytest.fixture
def raw():
    rng = np.random.default_rng(8)
    return np.stack([rng.uniform(-0.3, 1.01, 200), rng.uniform(60, 380, 200)], axis=1).astype(np.float32)


def test_agrees_with_kaldi(kaldi):
    keys = [key for key in kaldi if key.startswith("pitch_proc4_rawlog/")]
    assert keys
    for key in keys:
        ours = process_pitch(kaldi[f"pitch_raw/{key.split('/')[1]}"], add_raw_log_pitch=True)
        np.testing.assert_allclose(ours, kaldi[key], atol=1e-5)


def test_formulas(raw):
    columns = process_pitch(
        raw, pitch_scale=3.0, pov_scale=1.5, pov_offset=0.2, delta_pitch_scale=7.0, delta_window=3,
        normalization_left_context=20, normalization_right_context=10, add_raw_log_pitch=True,
    )  # fmt: skip
    log_pitch = [math.log(hz) for hz in raw[:, 1]]
    for t in (0, 1, 57, 198, 199):
        n = min(float(raw[t, 0]), 1.0)
        around = range(max(t - 20, 0), min(t + 11, 200))
        weights = voicing(raw[:, 0].astype(float))
        mean = sum(weights[u] * log_pitch[u] for u in around) / sum(weights[u] for u in around)
        slope = sum(k * log_pitch[min(max(t + k, 0), 199)] for k in range(-3, 4)) / 28
        expected = [1.5 * ((1.0001 - n) ** 0.15 - 1) + 0.2, 3 * (log_pitch[t] - mean), 7 * slope, log_pitch[t]]
        np.testing.assert_allclose(columns[t], expected, atol=1e-4)


def test_voicing_grows_with_the_nccf_and_is_even():
    n = np.linspace(0, 1, 50)
    assert (np.diff(voicing(n)) > 0).all()
    np.testing.assert_array_equal(voicing(-n), voicing(n))
    assert voicing(np.array([0.0]))[0] < 0.01 < 0.99 < voicing(np.array([1.0]))[0]


def test_normalised_pitch_does_not_know_the_speaker(raw):
    higher = raw * np.array([1.0, 2.0], dtype=np.float32)
    np.testing.assert_allclose(process_pitch(higher)[:, :3], process_pitch(raw)[:, :3], atol=1e-4)
    np.testing.assert_allclose(
        process_pitch(higher, add_raw_log_pitch=True)[:, 3],
        process_pitch(raw, add_raw_log_pitch=True)[:, 3] + np.log(2),
        atol=1e-5,
    )


def test_constant_pitch_has_no_deviation_and_no_slope(raw):
    raw[:, 1] = 200.0
    np.testing.assert_allclose(process_pitch(raw)[:, 1:], 0.0, atol=1e-5)


def test_columns_are_chosen_and_frames_delayed(raw):
    all_four = process_pitch(raw, add_raw_log_pitch=True)
    chosen = process_pitch(raw, add_pov_feature=False, add_delta_pitch=False, add_raw_log_pitch=True)
    np.testing.assert_array_equal(chosen, all_four[:, [1, 3]])
    delayed = process_pitch(raw, delay=3)
    np.testing.assert_array_equal(delayed[3:], all_four[:, :3])
    np.testing.assert_array_equal(delayed[:3], all_four[[0, 0, 0], :3])


def test_empty():
    assert process_pitch(np.zeros((0, 2), dtype=np.float32)).shape == (0, 3)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (np.zeros((5, 3)), r"\(5, 3\)"),
        (np.array([[100.0, 0.5], [100.0, -0.5]]), "in that order"),
        (np.array([[0.5, np.nan]]), "NaN"),
        (np.zeros((5, 2), dtype=int), "int64"),
    ],
)
def test_bad_input_says_what_was_seen(bad, named):
    with pytest.raises(IsoglossError, match=named):
        process_pitch(bad)


def test_no_columns_at_all_is_an_error(raw):
    with pytest.raises(IsoglossError, match="add_"):
        process_pitch(raw, add_pov_feature=False, add_normalized_log_pitch=False, add_delta_pitch=False)
