"""The pitch of every frame, and how voiced it is, after Kaldi's definition (which torchaudio used to ship).

    samples on the 16-bit scale → 4 kHz, low-pass 1 kHz               (resample)
    → φ(lag) of each frame at whole-sample lags, with and without ballast   (nccf)
    → interpolated to lags a ratio 1.005 apart, 1/400 … 1/50 s        (pitch_options.interpolation)
    → cheapest path through lag and time                              (lag_path)
    → per frame: φ without ballast at the path's lag, and 1/lag in Hz

The ballast depends on the mean square of the whole signal. The definition takes it before the resampler's last few
outputs are flushed, for the frames complete by then, and after for the rest; utterances under `recompute_frame` frames
are corrected to the latter if the two differ by more than 1 %. `nccf_ballast_online` uses the signal up to each frame's
end instead: then nothing needs the future but the path.

Source: Ghahremani, BabaAli, Povey, Riedhammer, Trmal, Khudanpur, "A pitch extraction algorithm tuned for automatic
speech recognition", ICASSP 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from isogloss.frontend.checks import check_samples
from isogloss.frontend.lag_path import LagPath
from isogloss.frontend.nccf import nccf
from isogloss.frontend.pitch_options import PitchOptions

BLOCK_SECONDS = 5.0  # read at once; memory does not grow with the file


def pitch(samples: np.ndarray, sample_rate: float, **options: float) -> np.ndarray:
    """NCCF (−1 … about 1) and pitch (Hz) of each frame: float32 [T, 2]. Unvoiced frames have a pitch too; their NCCF is low.

    samples: [S] int16, or float32 / float64 in [-1, 1]; sample_rate in whole Hz; options: fields of `PitchOptions`.
    T = 0 for less than one frame. Raises IsoglossError for samples that are not a finite waveform and options that
    cannot be.
    """
    settings = PitchOptions.named(sample_rate, options)
    checked, scale = check_samples(samples, sample_rate)
    tracker = PitchTracker(settings, None if settings.nccf_ballast_online else _whole_ballast(checked, scale, settings))
    pieces = [tracker.accept(block, last) for block, last in _blocks(checked, scale, settings)]
    return np.concatenate(pieces)


Ballast = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Frame numbers [n] → ballast of their NCCF, and the ballast to correct it to, both [n]."""


class PitchTracker:
    """Frames out of samples that come in pieces; the pieces' boundaries do not change the result.

    ballast: None for the online ballast. A frame is returned once nothing to come can change its lag; `max_pending`
    returns frames older than that many anyway, on the path that is best so far.
    """

    def __init__(self, options: PitchOptions, ballast: Ballast | None = None, max_pending: int | None = None) -> None:
        self.options = options
        self.num_frames = 0  # measured so far
        self._ballast = ballast
        self._max_pending = max_pending
        self._resampler = options.resampler()
        self._path = LagPath(options)
        self._signal = np.zeros(options.span, dtype=np.float32)  # silence before the first sample
        self._signal_start = -options.span  # the sample that _signal begins with
        self._sums = np.zeros((1, 2))  # Σx, Σx² of the samples before _signal_start

    def accept(self, samples: np.ndarray, finished: bool = False) -> np.ndarray:
        """samples [S] float32, 16-bit scale → frames [n, 2] that are now settled; `finished` returns all that remain."""
        options = self.options
        self._signal = np.concatenate((self._signal, self._resampler.accept(samples, finished)))
        stop = max(self.num_frames, options.num_frames(self._resampler.num_outputs, finished))
        starts = options.frame_starts(self.num_frames, stop)
        signal = np.concatenate(
            (self._signal, np.zeros(options.span, dtype=np.float32))
        )  # silence after the last sample
        ballast, final_ballast = (self._ballast or self._ballast_so_far)(np.arange(self.num_frames, stop))
        num_lags = options.last_lag + 1 - options.first_lag
        led = np.empty((starts.shape[0], num_lags), dtype=np.float32)
        plain = np.empty_like(led)
        nccf(
            signal, starts - self._signal_start, options.window, options.first_lag, options.preemphasis_coefficient,
            ballast, final_ballast, led, plain,
        )  # fmt: skip
        self._path.extend(led, plain)
        self.num_frames = stop
        self._forget(int(options.frame_starts(stop, stop + 1)[0]))
        return self._path.finish() if finished else self._path.settled(self._max_pending)

    def _forget(self, needed: int) -> None:
        """Drop samples before `needed`, keeping their sums."""
        dropped = min(max(needed - self._signal_start, 0), self._signal.shape[0])
        if self._ballast is None:
            self._sums = _running_sums(self._sums, self._signal[:dropped])[-1:]
        self._signal = self._signal[dropped:]
        self._signal_start += dropped

    def _ballast_so_far(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if frames.shape[0] == 0:
            return np.zeros(0), np.zeros(0)
        starts = self.options.frame_starts(frames[0], frames[-1] + 1)
        stop = np.minimum(starts + self.options.span, self._resampler.num_outputs)
        total, squares = _running_sums(self._sums, self._signal)[stop - self._signal_start].T
        ballast = to_ballast(mean_square(total, squares, stop), self.options)
        return ballast, ballast


def _running_sums(before: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Σx, Σx² before each sample and after the last: [1, 2] and [n] → [n + 1, 2]. Added in order, so pieces do not matter."""
    values = signal.astype(np.float64)
    return np.cumsum(np.concatenate((before, np.stack([values, values**2], axis=1))), axis=0)


def mean_square(total: Any, squares: Any, count: Any) -> Any:
    """Variance from Σx, Σx² and n; 0 of no samples. Numbers or arrays."""
    count = np.maximum(count, 1)
    return squares / count - (total / count) ** 2


def to_ballast(mean_square: Any, options: PitchOptions) -> Any:
    """(W · mean square)² · nccf_ballast."""
    return (mean_square * options.window) ** 2 * options.nccf_ballast


def _whole_ballast(samples: np.ndarray, scale: float, options: PitchOptions) -> Ballast:
    """The default ballast: one for frames complete before the resampler is flushed, one for those after."""
    resampler = options.resampler()
    total = squares = 0.0
    for block, last in _blocks(samples, scale, options):
        for piece, finished in ((block, False), (block[:0], True))[: 1 + last]:
            resampled = resampler.accept(piece, finished).astype(np.float64)
            total, squares = total + float(resampled.sum()), squares + float(resampled @ resampled)
            if last and not finished:
                early_frames = options.num_frames(resampler.num_outputs, finished=False)
                early_mean_square = mean_square(total, squares, resampler.num_outputs)
    late_mean_square = mean_square(total, squares, resampler.num_outputs)
    early, late = (to_ballast(value, options) for value in (early_mean_square, late_mean_square))
    differ = abs(early_mean_square - late_mean_square) > 0.01 * (early_mean_square + late_mean_square)
    # A tracker that meets the end, or its recompute_frame-th frame, only after the flush corrects what it has.
    correct = differ and early_frames < options.recompute_frame

    def ballast(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        taken = np.where(frames < early_frames, early, late)
        return taken, np.full_like(taken, late) if correct else taken

    return ballast


def _blocks(samples: np.ndarray, scale: float, options: PitchOptions) -> Iterator[tuple[np.ndarray, bool]]:
    """Stretches of the waveform as float32 on the 16-bit scale, and whether each is the last."""
    size = int(BLOCK_SECONDS * options.sample_rate)
    for start in range(0, max(samples.shape[0], 1), size):
        yield np.multiply(samples[start : start + size], scale, dtype=np.float32), start + size >= samples.shape[0]
