"""What a piece of audio still shares with itself after re-encoding, another volume or other cuts: 32 bits each 11.6 ms.

    E(t, b)    energy of band b (33 bands, logarithmic, 300 … 2000 Hz) of 0.37 s of Hann-windowed signal at 5 kHz
    bit b of t = 1 where E(t, b) − E(t, b+1) − (E(t−1, b) − E(t−1, b+1)) > 0

Successive frames share 31/32 of their samples, so that another cut, which shifts the frames by up to half a step, flips
few bits. The bits whose difference is smallest are those a codec flips first: they are named, so that a search may try
both values ("soft decoding information"). Changed speed or pitch is another fingerprint.

Source: J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system", ISMIR 2002, equation 1 and section 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
import soxr

RATE = 5000  # Hz
FRAME_SAMPLES, SHIFT_SAMPLES = 1850, 58  # 0.37 s, 11.6 ms
FRAMES_PER_SECOND = RATE / SHIFT_SAMPLES
NUM_BITS, NUM_DOUBTFUL = 32, 3
LOW_HZ, HIGH_HZ = 300, 2000  # inside what a telephone carries
_DFT = 2048
_EDGES = np.round(np.geomspace(LOW_HZ, HIGH_HZ, NUM_BITS + 2) * _DFT / RATE).astype(int)  # first bin of each band
_WINDOW = np.hanning(FRAME_SAMPLES).astype(np.float32)
_BLOCK_FRAMES = 32  # few enough for the cache; 256 take twice the time, in page faults


class AudioFingerprint(NamedTuple):
    """T = frames − 1; 0 where all bits are 0, as in digital silence, which says nothing."""

    bits: np.ndarray  # [T] uint32, band 0 highest
    doubtful: np.ndarray  # [T] uint32, its NUM_DOUBTFUL bits of the smallest differences set


def audio_fingerprint(samples: np.ndarray, sample_rate: int) -> AudioFingerprint:
    """Of a waveform [S], float in [−1, 1]; T = 0 for less than 0.38 s."""
    narrow = soxr.resample(np.asarray(samples, np.float32), sample_rate, RATE)
    if len(narrow) < FRAME_SAMPLES + SHIFT_SAMPLES:
        return AudioFingerprint(np.zeros(0, np.uint32), np.zeros(0, np.uint32))
    frames = np.lib.stride_tricks.sliding_window_view(narrow, FRAME_SAMPLES)[::SHIFT_SAMPLES]
    energy = np.concatenate(
        [_band_energies(frames[first : first + _BLOCK_FRAMES]) for first in range(0, len(frames), _BLOCK_FRAMES)]
    )
    slope = energy[:, :-1] - energy[:, 1:]
    difference = slope[1:] - slope[:-1]  # [T, 32]
    doubtful = np.zeros(difference.shape, dtype=bool)
    weakest = np.argpartition(np.abs(difference), NUM_DOUBTFUL, axis=1)[:, :NUM_DOUBTFUL]
    np.put_along_axis(doubtful, weakest, True, axis=1)
    return AudioFingerprint(_packed(difference > 0), _packed(doubtful))


def _band_energies(frames: np.ndarray) -> np.ndarray:
    """[n, FRAME_SAMPLES] → [n, 33]."""
    spectra = scipy.fft.rfft(frames * _WINDOW, _DFT)[:, : _EDGES[-1]]
    return np.add.reduceat(spectra.real**2 + spectra.imag**2, _EDGES[:-1], axis=1)


def _packed(bits: np.ndarray) -> np.ndarray:
    """[T, 32] bool → [T] uint32."""
    return np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)
