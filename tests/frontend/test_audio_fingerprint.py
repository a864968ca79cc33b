"""The fingerprint against its definition, written out, and what it is to withstand."""

from itertools import pairwise

import numpy as np
import pytest
import soxr

from isogloss.frontend.audio_fingerprint import audio_fingerprint
from isogloss.frontend.codec import telephone

RATE = 16000


def noise(seconds, seed=0):
    """White noise whose spectrum moves slowly, so that bits mean something."""
    generator = np.random.default_rng(seed)
    length = int(seconds * RATE)
    white = np.fft.rfft(generator.normal(size=(1 + length // 1600, 1600)))
    return 0.1 * np.fft.irfft(white * generator.uniform(0, 1, white.shape) ** 3).ravel()[:length].astype(np.float32)


def plain(samples):
    """[T, 32] differences of band differences by a DFT of each frame, in float64."""
    narrow = soxr.resample(samples, RATE, 5000).astype(np.float64)
    edges = [round(300 * (2000 / 300) ** (band / 33) * 2048 / 5000) for band in range(34)]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1850) / 1849)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(edges[0], edges[-1]), np.arange(2048)) / 2048)
    rows = []
    for first in range(0, len(narrow) - 1850 + 1, 58):
        frame = np.pad(narrow[first : first + 1850] * window, (0, 198))
        power = np.abs(waves @ frame) ** 2
        bands = [power[a - edges[0] : b - edges[0]].sum() for a, b in pairwise(edges)]
        rows.append([bands[b] - bands[b + 1] for b in range(32)])
    return np.diff(np.array(rows), axis=0)


def bits_of(words):
    return (words[:, None] >> np.arange(31, -1, -1, dtype=np.uint32)) & 1


def test_bits_and_doubtful_bits_are_those_of_the_definition():
    samples = noise(0.55)
    found, difference = audio_fingerprint(samples, RATE), plain(samples)
    assert len(found.bits) == len(difference) == 15
    wrong = bits_of(found.bits) != (difference > 0)
    assert not wrong[np.abs(difference) > 1e-5 * np.abs(difference).max()].any()
    weakest = np.argsort(np.abs(difference), axis=1)[:, :3]
    expected = np.zeros((15, 32), dtype=int)
    np.put_along_axis(expected, weakest, 1, axis=1)
    assert (bits_of(found.doubtful) == expected).mean() > 0.99


@pytest.mark.parametrize(("change", "most"), [(lambda x: 0.01 * x, 0.001), (lambda x: telephone(x, RATE), 0.25)])
def test_volume_changes_nothing_and_a_telephone_little(change, most):
    samples = noise(4)
    one, other = (audio_fingerprint(x, RATE).bits for x in (samples, change(samples)))
    assert (bits_of(one) != bits_of(other)).mean() < most
    assert (bits_of(one) != bits_of(audio_fingerprint(noise(4, seed=1), RATE).bits)).mean() > 0.45


def test_silence_has_no_bits_and_a_blink_no_frames():
    assert not audio_fingerprint(np.zeros(RATE, np.float32), RATE).bits.any()
    for length in (0, 100, int(0.37 * RATE)):
        assert len(audio_fingerprint(np.ones(length, np.float32), RATE).bits) == 0
