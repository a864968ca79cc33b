"""Cutting a waveform into frames: how many there are, where each begins, and the window that weights them.

    L = frame length, H = frame shift, S = number of samples (all in samples)
    snip_edges:      T = 1 + floor((S − L) / H),  frame t covers samples t·H … t·H + L − 1
    not snip_edges:  T = floor((S + H/2) / H),    frame t begins at t·H + H/2 − L/2 (integer halves); samples before
                     the first or after the last are mirrored, the edge sample repeated: x[−1] = x[0], x[S] = x[S−1]

Conventions: Kaldi's, so that frame counts agree with every Kaldi feature directory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.compiled import compiled
from isogloss.types import IsoglossError

WINDOW_TYPES = ("hamming", "hanning", "povey", "rectangular", "sine", "blackman")


@dataclass(frozen=True)
class Framing:
    """Where frames lie, in samples."""

    length: int
    shift: int
    snip_edges: bool = True

    @classmethod
    def from_ms(cls, sample_rate: float, length_ms: float, shift_ms: float, snip_edges: bool) -> Framing:
        """Lengths in milliseconds to whole samples (rounded down). Raises IsoglossError below 2 and 1 samples."""
        length = int(sample_rate * 0.001 * length_ms)
        shift = int(sample_rate * 0.001 * shift_ms)
        if length < 2 or shift < 1:
            raise IsoglossError(
                f"frame length {length_ms} ms and shift {shift_ms} ms are {length} and {shift} samples at {sample_rate} Hz; "
                "expected at least 2 and 1: are both in milliseconds?"
            )
        return cls(length, shift, snip_edges)

    def num_frames(self, num_samples: int) -> int:
        """T, the number of frames in `num_samples` samples."""
        if self.snip_edges:
            return 0 if num_samples < self.length else 1 + (num_samples - self.length) // self.shift
        return (num_samples + self.shift // 2) // self.shift

    def start(self, frame: int) -> int:
        """First sample of a frame; may be negative without snip_edges."""
        return frame * self.shift + (0 if self.snip_edges else self.shift // 2 - self.length // 2)

    def cut(self, samples: np.ndarray, first_frame: int, num_frames: int, scale: float) -> np.ndarray:
        """The stretch of samples that frames first_frame … first_frame + num_frames − 1 cover, mirrored at the edges.

        Returns float32 [(num_frames − 1)·H + L], multiplied by `scale`.
        """
        start = self.start(first_frame)
        stop = start + (num_frames - 1) * self.shift + self.length
        size = samples.shape[0]
        if start >= 0 and stop <= size:
            return np.multiply(samples[start:stop], scale, dtype=np.float32)
        # Mirroring with the edge sample repeated has period 2S: fold the index into it.
        index = np.arange(start, stop) % (2 * size)
        return np.multiply(samples[np.where(index < size, index, 2 * size - 1 - index)], scale, dtype=np.float32)


def window(window_type: str, length: int, blackman_coeff: float = 0.42) -> np.ndarray:
    """Window weights w [L], float64, with a = 2π/(L − 1):

        hanning   0.5 − 0.5 cos(a·i)            povey     hanning^0.85
        hamming   0.54 − 0.46 cos(a·i)          sine      sin(a·i/2)
        blackman  c − 0.5 cos(a·i) + (0.5 − c) cos(2a·i), c = blackman_coeff
        rectangular  1

    Raises IsoglossError for an unknown name.
    """
    phase = 2.0 * np.pi / (length - 1) * np.arange(length)
    hanning = 0.5 - 0.5 * np.cos(phase)
    if window_type == "hanning":
        return hanning
    if window_type == "povey":
        return hanning**0.85
    if window_type == "hamming":
        return 0.54 - 0.46 * np.cos(phase)
    if window_type == "sine":
        return np.sin(0.5 * phase)
    if window_type == "blackman":
        return blackman_coeff - 0.5 * np.cos(phase) + (0.5 - blackman_coeff) * np.cos(2.0 * phase)
    if window_type == "rectangular":
        return np.ones(length)
    raise IsoglossError(f"window type {window_type!r}: expected one of {', '.join(WINDOW_TYPES)}")


@compiled(nogil=True, fastmath={"reassoc", "nsz"})
def float32_pair_sum(x: np.ndarray) -> float:
    """Σ x of float32 [n], neighbours added in float32 and the pairs in float64.

    Kaldi's mean is a BLAS dot product that adds in this way. It matters: a mean one digit apart rounds every sample of
    the frame differently, which is seen in bands 90 dB below the loudest. 16-bit samples sum exactly either way.
    """
    total = 0.0
    for i in range(0, x.shape[0] - 1, 2):
        total += np.float64(x[i] + x[i + 1])
    if x.shape[0] % 2:
        total += np.float64(x[-1])
    return total
