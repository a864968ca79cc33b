import math

import numpy as np
import pytest

from isogloss.frontend.perturb import perturb_speed, perturb_volume
from isogloss.frontend.pitch import pitch
from isogloss.types import IsoglossError


def tone(hz, seconds=1.0, amplitude=0.4):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(16000 * seconds)) / 16000)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 9, 11, 16000, 167986])
@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1, 1.37])
def test_length_is_rounded(size, factor):
    assert perturb_speed(np.zeros(size, dtype=np.int16), factor).shape == (math.floor(size / factor + 0.5),)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_multiplies_every_frequency(factor):
    faster = perturb_speed(tone(440.0), factor)
    expected = tone(440.0 * factor, 1 / factor)
    inner = slice(500, 13500)
    np.testing.assert_allclose(faster[inner], expected[inner], atol=1e-3)


def test_speed_multiplies_the_pitch():
    raw = pitch(perturb_speed(tone(200.0), 1.1), 16000)
    np.testing.assert_allclose(raw[10:-10, 1], 220.0, rtol=0.006)


def test_speeding_up_removes_what_would_alias():
    assert np.abs(perturb_speed(tone(7800.0), 1.1)[500:-500]).max() < 1e-3


def test_there_and_back_is_the_same_sound(speechlike):
    slow = perturb_speed(speechlike, 0.8)
    back = perturb_speed(slow, 1 / 0.8)
    inner = slice(1000, -1000)
    error = back[inner] - speechlike[inner] / 32768
    assert np.sqrt(np.mean(error**2)) < 0.01 * np.sqrt(np.mean(back[inner] ** 2))


def test_factor_one_changes_nothing(speechlike):
    np.testing.assert_array_equal(perturb_speed(speechlike, 1.0) * 32768, speechlike)
    np.testing.assert_array_equal(perturb_volume(speechlike, 1.0) * 32768, speechlike)


def test_volume_scales_and_clips_to_the_16_bit_range():
    louder = perturb_volume(np.array([0.25, 0.75, -0.25, -0.75]), 2.0)
    assert louder.dtype == np.float32
    assert louder.tolist() == [0.5, 32767 / 32768, -0.5, -1.0]


def test_a_square_wave_overshoots_and_is_clipped():
    square = np.sign(np.sin(2 * np.pi * 300 * np.arange(16000) / 16000 + 0.01))
    resampled = perturb_speed(square, 0.9)
    assert resampled.max() == np.float32(32767 / 32768)
    assert resampled.min() == -1.0


def test_int16_and_float_agree_exactly(speechlike):
    np.testing.assert_array_equal(perturb_speed(speechlike / 32768, 0.9), perturb_speed(speechlike, 0.9))


def test_empty():
    assert perturb_speed(np.zeros(0, dtype=np.int16), 1.1).shape == (0,)
    assert perturb_volume(np.zeros(0, dtype=np.int16), 1.1).shape == (0,)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1000.0])
def test_bad_factors(factor):
    for perturb in (perturb_speed, perturb_volume):
        with pytest.raises(IsoglossError, match="factor"):
            perturb(np.zeros(100, dtype=np.int16), factor)
