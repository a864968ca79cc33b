"""Context of a frame as features: regression deltas and splicing. Edge frames are repeated past both ends.

    Δx_t = Σ_{n=1…w} n·(x_{t+n} − x_{t−n}) / (2 Σ n²),   Δ^k x: the filter convolved with itself k times

Source: Furui, "Speaker-independent isolated word recognition using dynamic features of speech spectrum", IEEE Trans.
ASSP 34(1), 1986; edge handling Kaldi's.
"""

from __future__ import annotations

import numpy as np

from isogloss.frontend.checks import check_frames
from isogloss.types import IsoglossError


def deltas(frames: np.ndarray, order: int = 2, window: int = 2) -> np.ndarray:
    """frames [T, D] float → [T, D·(order + 1)] float32: x, Δx, …, Δ^order x. Raises IsoglossError.

    The k-th order is one filter over x of half width k·window, not k filters in turn: the two differ at the edges.
    """
    frames = check_frames(frames)
    if order < 0 or window < 1:
        raise IsoglossError(f"order {order}, window {window}: expected order ≥ 0 and window ≥ 1 frames")
    slope = np.arange(-window, window + 1) / np.sum(np.arange(-window, window + 1) ** 2)
    taps = np.ones(1)
    columns = []
    for _ in range(order + 1):
        reach = taps.shape[0] // 2
        around = splice(frames, reach, reach).reshape(frames.shape[0], taps.shape[0], frames.shape[1])
        columns.append(np.einsum("tkd,k->td", around, taps).astype(np.float32))
        taps = np.convolve(taps, slope)
    return np.concatenate(columns, axis=1)


def splice(frames: np.ndarray, left: int, right: int) -> np.ndarray:
    """Each frame with its neighbours: [T, D] → float32 [T, (left + 1 + right)·D], earliest first. Raises IsoglossError."""
    frames = check_frames(frames)
    if left < 0 or right < 0:
        raise IsoglossError(f"splice of {left} frames to the left and {right} to the right: expected neither below 0")
    num_frames, dim = frames.shape
    time = np.arange(num_frames)[:, None] + np.arange(-left, right + 1)
    if num_frames == 0:
        return np.zeros((0, time.shape[1] * dim), dtype=np.float32)
    return frames[np.clip(time, 0, num_frames - 1)].reshape(num_frames, -1)
