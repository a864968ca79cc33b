"""Mean and variance normalisation of frames, over a sliding window or over a whole utterance.

    y_t = x_t − mean(W_t),    divided by sqrt(max(var(W_t), 1e−10)) if the variance is normalised too

Sliding window W_t of N frames, first frame a, one past the last b:
    centred:  a = t − ⌊N/2⌋, b = a + N; moved inside the utterance at both ends, keeping N frames where there are N
    left:     a = t − N, b = t + 1 (N + 1 frames, the current one included: Kaldi's count); until min_window frames
              have passed, b = min_window, so that the first frames borrow from the future
Source: Kaldi's sliding-window CMN; its conventions, so that frames agree with Kaldi's.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from isogloss.frontend.checks import check_frames
from isogloss.types import IsoglossError

SLIDING_VARIANCE_FLOOR = 1e-10
GLOBAL_VARIANCE_FLOOR = 1e-20


def sliding_cmn(
    frames: np.ndarray,
    window: int = 300,
    centre: bool = True,
    normalise_variance: bool = False,
    min_window: int = 100,
) -> np.ndarray:
    """Subtract the mean (and divide by the deviation) of a window of frames around each frame.

    frames [T, D] float → [T, D] float32; `window` and `min_window` in frames, `min_window` for `centre=False` only.
    Raises IsoglossError for another shape, NaN, infinite values or an empty window.
    """
    frames = check_frames(frames)
    if window < 1 or min_window < 1:
        raise IsoglossError(f"window {window} and min_window {min_window} frames: expected at least 1")
    normalised = np.empty_like(frames)
    _slide(frames, window, centre, normalise_variance, min_window, normalised)
    return normalised


@njit(cache=True, nogil=True)
def _slide(
    frames: np.ndarray, window: int, centre: bool, normalise_variance: bool, min_window: int, normalised: np.ndarray
) -> None:
    num_frames, dim = frames.shape
    total = np.zeros(dim)  # Σ x over W_t
    squares = np.zeros(dim)  # Σ x²
    first, stop = 0, 0  # frames now in the sums
    for t in range(num_frames):
        if centre:
            a = t - window // 2
            b = a + window
        else:
            a = t - window
            b = t + 1
        if a < 0:
            b -= a
            a = 0
        if not centre and b > t:
            b = max(t + 1, min_window)
        if b > num_frames:
            a = max(a - (b - num_frames), 0)
            b = num_frames
        while stop < b:
            for d in range(dim):
                x = np.float64(frames[stop, d])
                total[d] += x
                squares[d] += x * x
            stop += 1
        while first < a:
            for d in range(dim):
                x = np.float64(frames[first, d])
                total[d] -= x
                squares[d] -= x * x
            first += 1
        count = b - a
        for d in range(dim):
            mean = total[d] / count
            value = frames[t, d] - mean
            if normalise_variance:
                variance = max(squares[d] / count - mean * mean, SLIDING_VARIANCE_FLOOR)
                value = value / np.sqrt(variance) if count > 1 else 0.0
            normalised[t, d] = value


def cmvn_stats(frames: np.ndarray) -> np.ndarray:
    """Σx and T in row 0, Σx² in row 1: frames [T, D] → float64 [2, D + 1] (Kaldi's layout). Sums of utterances add."""
    frames = check_frames(frames)
    stats = np.zeros((2, frames.shape[1] + 1))
    stats[0, :-1] = frames.sum(axis=0, dtype=np.float64)
    stats[0, -1] = frames.shape[0]
    stats[1, :-1] = np.einsum("td,td->d", frames, frames, dtype=np.float64)
    return stats


def cmvn(frames: np.ndarray, stats: np.ndarray | None = None, normalise_variance: bool = False) -> np.ndarray:
    """Subtract the mean (and divide by the deviation) of `stats`, or of the frames themselves if None.

    frames [T, D] float, stats [2, D + 1] of `cmvn_stats` → [T, D] float32. Raises IsoglossError if they do not fit.
    """
    frames = check_frames(frames)
    if frames.shape[0] == 0:
        return frames.copy()
    stats = cmvn_stats(frames) if stats is None else np.asarray(stats, dtype=np.float64)
    if stats.shape != (2, frames.shape[1] + 1) or stats[0, -1] < 1:
        raise IsoglossError(
            f"CMVN statistics of shape {stats.shape} for frames of shape {frames.shape}: expected (2, {frames.shape[1] + 1}) "
            "over at least one frame; were they made from the same features?"
        )
    count = stats[0, -1]
    mean = stats[0, :-1] / count
    if not normalise_variance:
        return (frames - mean).astype(np.float32)
    variance = np.maximum(stats[1, :-1] / count - mean**2, GLOBAL_VARIANCE_FLOOR)
    return ((frames - mean) / np.sqrt(variance)).astype(np.float32)
