"""The warp of cepstra against its definition in plain loops, and against speech played faster and slower."""

import math

import numpy as np
import pytest
import scipy.signal

from isogloss.config import FrontEndConfig
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.perturb import perturb_speed
from isogloss.training.cepstral_warp import warp_matrices, warped_hz

FRONT_END = FrontEndConfig()


def mel(hz):
    return 1127 * math.log(1 + hz / 700)


def band_hz(place):
    """Frequency of a place among the 23 bands between 40 and 7800 Hz."""
    step = (mel(7800) - mel(40)) / 24
    return 700 * (math.exp((mel(40) + step * (place + 1)) / 1127) - 1)


@pytest.mark.parametrize("factor", [0.85, 0.95, 1.1])
def test_the_curve_of_the_warped_cepstra_is_the_warped_curve(factor):
    """S'(j) = S(place of G⁻¹(f_j)) at all bands, of curves that 20 cepstra hold exactly; C0 and pitch stay."""
    lifter = [1 + 11 * math.sin(math.pi * i / 22) for i in range(20)]
    smooth = np.random.default_rng(0).normal(size=6)  # S(x) = Σ_i s_i·cos(πi(x+½)/23), i = 1 … 6

    def curve(place):
        return sum(s * math.cos(math.pi * i * (place + 0.5) / 23) for i, s in enumerate(smooth, 1))

    def place_of(hz):
        step = (mel(7800) - mel(40)) / 24
        return min(max((mel(hz) - mel(40)) / step - 1, -0.5), 22.5)

    def cepstra(log_mel):
        return [
            lifter[i]
            * math.sqrt(2 / 23)
            * sum(value * math.cos(math.pi * i * (j + 0.5) / 23) for j, value in enumerate(log_mel))
            for i in range(20)
        ]

    plain = np.zeros(23)
    plain[:20] = cepstra([curve(j) for j in range(23)])
    plain[[0, 20, 21, 22]] = 7.0, 0.1, 0.2, 0.3
    knee = 4800 * min(1, 1 / factor)  # G⁻¹ is the warp of 1 / factor

    def inverse(hz):
        if hz <= knee * factor:
            return hz / factor
        return 8000 - (8000 - knee) / (8000 - knee * factor) * (8000 - hz)

    expected = np.array(cepstra([curve(place_of(inverse(band_hz(j)))) for j in range(23)]))
    (matrix,) = warp_matrices(np.array([factor]), FRONT_END)
    got = plain @ matrix
    np.testing.assert_allclose(got[1:20], expected[1:], atol=1e-9)
    assert got[[0, 20, 21, 22]].tolist() == [7.0, 0.1, 0.2, 0.3]


def test_a_factor_of_one_changes_nothing_and_the_warp_is_undone_by_its_inverse():
    np.testing.assert_allclose(warp_matrices(np.array([1.0]), FRONT_END)[0], np.eye(23), atol=1e-12)
    hz = np.linspace(0, 8000, 81)
    for factor in (0.8, 1.2):
        there = warped_hz(hz, factor, 8000)
        assert there[0] == 0 and there[-1] == 8000 and (np.diff(there) > 0).all()
        np.testing.assert_allclose(warped_hz(there, 1 / factor, 8000), hz, atol=1e-9)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_it_moves_formants_as_playing_at_another_speed_does(factor):
    noise = np.random.default_rng(0).standard_normal(16000 * 6)
    for hz, width in ((600, 100), (1500, 150), (2600, 200)):
        radius = math.exp(-math.pi * width / 16000)
        noise = scipy.signal.lfilter([1], [1, -2 * radius * math.cos(2 * math.pi * hz / 16000), radius**2], noise)
    vowel = (0.1 * noise / np.abs(noise).max()).astype(np.float32)

    def mean_cepstra(samples):
        frames = mfcc(samples, 16000, num_ceps=20, num_mel_bins=23, low_freq=40.0, high_freq=-200.0)
        return np.append(frames.mean(axis=0), [0, 0, 0])

    plain, moved = mean_cepstra(vowel), mean_cepstra(perturb_speed(vowel, factor))
    got = plain @ warp_matrices(np.array([factor]), FRONT_END)[0]
    envelope = slice(1, 12)  # the higher ones hold the band's upper edge, which the speed of a waveform moves too
    apart, left = (np.linalg.norm((moved - of)[envelope]) for of in (plain, got))
    assert apart > 25 and left < 0.25 * apart
