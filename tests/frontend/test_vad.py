import numpy as np
import pytest

from isogloss.frontend.vad import vad
from isogloss.types import IsoglossError

SETTINGS = {
    "vad50": {},
    "vad55": {"energy_threshold": 5.5},
    "vad55_ctx2_prop0.12": {"energy_threshold": 5.5, "frames_context": 2, "proportion_threshold": 0.12},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_agrees_with_kaldi(kaldi, setting):
    keys = [key for key in kaldi if key.startswith(setting + "/")]
    assert keys
    for key in keys:
        log_energy = kaldi[f"mfcc20/{key.split('/')[1]}"][:, 0]
        np.testing.assert_array_equal(vad(log_energy, **SETTINGS[setting]), kaldi[key] > 0)


@pytest.mark.parametrize("context", [0, 1, 2, 5, 500])
@pytest.mark.parametrize("proportion", [0.12, 0.5, 0.6, 0.99])
def test_formula(context, proportion):
    energy = np.random.default_rng(9).normal(10, 4, 120)
    threshold = 4.0 + 0.6 * energy.mean()
    ours = vad(
        energy, energy_threshold=4.0, energy_mean_scale=0.6, frames_context=context, proportion_threshold=proportion
    )
    for t in range(120):
        around = energy[max(t - context, 0) : t + context + 1]
        loud = sum(e > threshold for e in around)
        assert ours[t] == (np.float32(loud) >= np.float32(len(around)) * np.float32(proportion))


def test_three_of_five_frames_are_sixty_per_cent():
    energy = np.array([9.0, 9.0, 9.0, 0.0, 0.0])
    ours = vad(energy, energy_threshold=5.0, energy_mean_scale=0.0, frames_context=2, proportion_threshold=0.6)
    assert ours.tolist() == [True, True, True, False, False]


def test_a_gain_does_not_change_the_decision_where_the_whole_mean_is_taken():
    energy = np.random.default_rng(10).normal(10, 4, 100)
    options = {"energy_threshold": 0.0, "energy_mean_scale": 1.0}
    np.testing.assert_array_equal(vad(energy + 3.0, **options), vad(energy, **options))


def test_digital_silence_is_never_voiced():
    assert not vad(np.full(50, -15.94)).any()


def test_empty():
    assert vad(np.zeros(0)).shape == (0,)
    assert vad(np.zeros(0)).dtype == bool


@pytest.mark.parametrize(
    ("bad", "options", "named"),
    [
        (np.zeros((5, 20)), {}, r"frames\[:, 0\]"),
        (np.array([1.0, np.nan]), {}, "NaN"),
        (np.zeros(5), {"proportion_threshold": 1.0}, "proportion"),
        (np.zeros(5), {"frames_context": -1}, "context"),
    ],
)
def test_bad_input(bad, options, named):
    with pytest.raises(IsoglossError, match=named):
        vad(bad, **options)
