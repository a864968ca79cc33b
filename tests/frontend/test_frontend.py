"""The whole front end: Kaldi's network input from the audio on, and what it says of bad input."""

import numpy as np
import pytest

from isogloss.config import FrontEndConfig
from isogloss.frontend.frontend import FrontEnd, paste
from isogloss.types import IsoglossError

RATE = 16000


@pytest.mark.parametrize("name", ["en16", "utt1s16", "short0p3s16", "dcoffset16"])
def test_the_networks_input_is_kaldis(kaldi, name):
    """mfcc + pitch, pasted, sliding CMN over all 23 columns, then the voiced frames: tests/data/README.md."""
    expected = kaldi[f"final_cmn_vad50/{name}"]
    got = FrontEnd()(kaldi[f"audio/{name}"], RATE)
    assert got.shape == expected.shape and got.dtype == np.float32
    assert np.abs(got - expected).max() <= 5e-3


@pytest.mark.parametrize("length", [0, 1, 399])
def test_less_than_a_frame_gives_no_frame(length):
    frames = FrontEnd().frames(np.zeros(length, np.float32), RATE)
    assert frames.features.shape == (0, 23) and frames.voiced.shape == (0,)


def test_silence_has_frames_but_no_speech():
    frames = FrontEnd().frames(np.zeros(RATE, np.float32), RATE)
    assert len(frames.features) == 98 and not frames.voiced.any()


def test_float_and_integer_samples_are_one_signal(speechlike):
    as_float = (speechlike / 32768).astype(np.float32)
    np.testing.assert_allclose(FrontEnd()(as_float, RATE), FrontEnd()(speechlike, RATE), atol=1e-3)


def test_all_frames_or_the_voiced_ones(speechlike):
    frames = FrontEnd().frames(speechlike, RATE)
    assert 0 < frames.voiced.sum() < len(frames.voiced)
    np.testing.assert_array_equal(FrontEnd()(speechlike, RATE, voiced_only=False), frames.features)
    np.testing.assert_array_equal(FrontEnd()(speechlike, RATE), frames.features[frames.voiced])


def test_without_pitch_the_cepstra_stay(speechlike):
    with_pitch = FrontEnd().frames(speechlike, RATE)
    without = FrontEnd(FrontEndConfig(pitch=False)).frames(speechlike, RATE)
    np.testing.assert_array_equal(without.features, with_pitch.features[:, :20])
    np.testing.assert_array_equal(without.voiced, with_pitch.voiced)


def test_another_rate_is_not_guessed_at(speechlike):
    with pytest.raises(IsoglossError, match="8000 Hz for a front end of 16000 Hz"):
        FrontEnd()(speechlike, 8000)


def test_pasting_allows_two_frames_of_difference():
    assert paste(np.zeros((10, 2)), np.ones((8, 3))).shape == (8, 5)
    with pytest.raises(IsoglossError, match="10 and 7 frames"):
        paste(np.zeros((10, 2)), np.ones((7, 3)))
