import numpy as np
import pytest

from isogloss.frontend.checks import check_frames, check_samples, to_float32
from isogloss.frontend.mfcc import fbank, mfcc
from isogloss.frontend.perturb import perturb_speed, perturb_volume
from isogloss.frontend.pitch import pitch
from isogloss.types import IsoglossError

ENTRANCES = {
    "mfcc": lambda samples: mfcc(samples, 16000),
    "fbank": lambda samples: fbank(samples, 16000),
    "pitch": lambda samples: pitch(samples, 16000),
    "perturb_speed": lambda samples: perturb_speed(samples, 1.1),
    "perturb_volume": lambda samples: perturb_volume(samples, 0.5),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(
    ("samples", "named"),
    [
        (np.array([0.0, np.nan, np.nan]), "2 NaN or infinite values, the first at index 1"),
        (np.array([0.0, 0.0, -np.inf], dtype=np.float32), "index 2"),
        (np.zeros((2, 800), dtype=np.float32), r"\(2, 800\)"),
        (np.zeros(800, dtype=np.int32), "int32"),
        (np.zeros(800, dtype=np.uint8), "uint8"),
        (np.full(800, 1200.0), "divide them by 32768"),
        ([0.0, 0.1], "list"),
    ],
)
def test_bad_samples_say_what_was_seen(entrance, samples, named):
    with pytest.raises(IsoglossError, match=named):
        ENTRANCES[entrance](samples)


def test_samples_are_not_copied_whole():
    samples = np.zeros(1000, dtype=np.int16)
    checked, scale = check_samples(samples, 16000)
    assert np.shares_memory(checked, samples)
    assert scale == 1.0


@pytest.mark.parametrize("rate", [0, -16000, float("nan")])
def test_bad_sample_rate(rate):
    with pytest.raises(IsoglossError, match="sample rate"):
        check_samples(np.zeros(5, dtype=np.int16), rate)


def test_int16_is_exact_in_float32():
    samples = np.array([-32768, -1, 0, 1, 32767], dtype=np.int16)
    assert (to_float32(samples) * 32768).tolist() == samples.tolist()


def test_frames_must_be_a_finite_float_matrix():
    for bad in (np.zeros(5), np.zeros((5, 2), dtype=int), [[0.0]]):
        with pytest.raises(IsoglossError, match=r"\[T, D\]"):
            check_frames(bad)
    frames = np.zeros((3, 2))
    frames[1, 1] = np.inf
    with pytest.raises(IsoglossError, match=r"\[1, 1\]"):
        check_frames(frames)
