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

from isogloss.compiled import compiled
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
    window_of = SlidingWindow(window, centre, normalise_variance, min_window, frames.shape[1])
    return window_of.normalise(frames, 0, 0, frames.shape[0], frames.shape[0])


class SlidingWindow:
    """The window and the sums over it, which move from frame to frame."""

    def __init__(self, window: int, centre: bool, normalise_variance: bool, min_window: int, dim: int) -> None:
        if window < 1 or min_window < 1:
            raise IsoglossError(f"window {window} and min_window {min_window} frames: expected at least 1")
        self.window, self.centre, self.min_window = window, centre, min_window
        self.normalise_variance = normalise_variance
        self._sums = np.zeros((2, dim))  # Σx and Σx² over the window
        self._summed = np.zeros(2, dtype=np.int64)  # first frame in the sums and one past the last

    def needed(self, t: int) -> int:
        """Frames that must be known before frame t of an unfinished utterance can be normalised: b, one past W_t."""
        if self.centre:
            return max(t - self.window // 2, 0) + self.window
        return max(t + 1, self.min_window)

    def normalise(self, frames: np.ndarray, frames_start: int, first: int, stop: int, num_frames: int) -> np.ndarray:
        """Frames first … stop − 1 (each only once, in order) of an utterance of num_frames.

        frames [*, D] float32 holds the utterance from frame frames_start on. Returns float32 [stop − first, D].
        """
        normalised = np.empty((stop - first, frames.shape[1]), dtype=np.float32)
        _slide(
            frames, frames_start, first, num_frames, self.window, self.centre, self.normalise_variance, self.min_window,
            self._sums, self._summed, normalised,
        )  # fmt: skip
        return normalised


@compiled(nogil=True)
def _slide(
    frames: np.ndarray,
    frames_start: int,
    first: int,
    num_frames: int,
    window: int,
    centre: bool,
    normalise_variance: bool,
    min_window: int,
    sums: np.ndarray,
    summed: np.ndarray,
    normalised: np.ndarray,
) -> None:
    dim = frames.shape[1]
    for t in range(first, first + normalised.shape[0]):
        if centre:
            a = max(t - window // 2, 0)
            b = a + window
        else:
            a = max(t - window, 0)
            b = max(t + 1, min_window)
        if b > num_frames:
            a = max(a - (b - num_frames), 0)
            b = num_frames
        while summed[1] < b:
            for d in range(dim):
                x = np.float64(frames[summed[1] - frames_start, d])
                sums[0, d] += x
                sums[1, d] += x * x
            summed[1] += 1
        while summed[0] < a:
            for d in range(dim):
                x = np.float64(frames[summed[0] - frames_start, d])
                sums[0, d] -= x
                sums[1, d] -= x * x
            summed[0] += 1
        count = b - a
        for d in range(dim):
            mean = sums[0, d] / count
            value = frames[t - frames_start, d] - mean
            if normalise_variance:
                variance = max(sums[1, d] / count - mean * mean, SLIDING_VARIANCE_FLOOR)
                value = value / np.sqrt(variance) if count > 1 else 0.0
            normalised[t - first, d] = value


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
