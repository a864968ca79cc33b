"""The front end on audio that arrives in pieces: `accept` returns what is final, `finish` the rest.

What the pieces give, joined, against the same call on the whole file:

    StreamingMFCC            the same, with snip_edges (mirroring the end needs the end)
    StreamingPitch           the same as pitch(nccf_ballast_online=True), unless max_pending forces frames out early. The
                             default ballast needs the whole signal's energy and cannot be streamed
    StreamingCMN             the same, left window or centred; a centred window waits for its right half
    streaming_vad            the same, with a fixed threshold only (energy_mean_scale 0: the mean needs the whole file)
    streaming_process_pitch  the same to rounding, normalization_right_context frames later
    streaming_deltas, streaming_splice   the same, as many frames later as they look ahead

Memory is bounded by the context, whatever the length of the stream; for pitch see `lag_path`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isogloss.frontend.checks import INT16_SCALE, check_frames, to_float32
from isogloss.frontend.cmvn import SlidingWindow
from isogloss.frontend.deltas import deltas, splice
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.pitch import PitchTracker
from isogloss.frontend.pitch_options import PitchOptions
from isogloss.frontend.process_pitch import process_pitch
from isogloss.frontend.vad import vad
from isogloss.frontend.windows import Framing
from isogloss.types import IsoglossError


class StreamingMFCC:
    """`mfcc` in pieces; options as there. A frame is returned as soon as its last sample is in."""

    def __init__(self, sample_rate: float, **options: Any) -> None:
        if not options.get("snip_edges", True):
            raise IsoglossError(
                "streaming MFCC with snip_edges=False: expected True; mirrored edges need the whole file"
            )
        self.sample_rate, self.options = sample_rate, options
        times = (options.get("frame_length_ms", 25.0), options.get("frame_shift_ms", 10.0))
        self._framing = Framing.from_ms(sample_rate, *times, snip_edges=True)
        self._kept = np.zeros(0, dtype=np.float32)
        self._skip = 0  # samples to come before the next frame begins: a shift may be longer than a frame

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """samples [S] as for `mfcc` → float32 [n, num_ceps]: the frames they complete."""
        arrived = to_float32(samples)
        skipped = min(self._skip, arrived.shape[0])
        self._skip -= skipped
        self._kept = np.concatenate((self._kept, arrived[skipped:]))
        frames = mfcc(self._kept, self.sample_rate, **self.options)
        used = frames.shape[0] * self._framing.shift
        self._skip += max(used - self._kept.shape[0], 0)
        self._kept = self._kept[used:].copy()
        return frames

    def finish(self) -> np.ndarray:
        """No frames: with snip_edges an incomplete frame is none. [0, num_ceps]."""
        return mfcc(self._kept[:0], self.sample_rate, **self.options)


class StreamingPitch:
    """`pitch` in pieces with the online ballast; options as there.

    max_pending: frames older than this many are returned although later sound might still change their lag; None waits
    until nothing can (usually well under a second, in digital silence until sound returns).
    """

    def __init__(self, sample_rate: float, max_pending: int | None = None, **options: float) -> None:
        if max_pending is not None and max_pending < 0:
            raise IsoglossError(f"max_pending {max_pending} frames: expected at least 0, or None to wait until settled")
        settings = PitchOptions.named(sample_rate, {**options, "nccf_ballast_online": True})
        self._tracker = PitchTracker(settings, max_pending=max_pending)

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """samples [S] as for `pitch` → float32 [n, 2] (NCCF, Hz)."""
        return self._tracker.accept(to_float32(samples) * np.float32(INT16_SCALE))

    def finish(self) -> np.ndarray:
        """The remaining frames [n, 2]."""
        return self._tracker.accept(np.zeros(0, dtype=np.float32), finished=True)


class StreamingCMN:
    """`sliding_cmn` in pieces; options as there."""

    def __init__(
        self, dim: int, window: int = 300, centre: bool = True, normalise_variance: bool = False, min_window: int = 100
    ) -> None:
        self._window = SlidingWindow(window, centre, normalise_variance, min_window, dim)
        self._kept = np.zeros((0, dim), dtype=np.float32)
        self._kept_start = 0  # frame number of _kept[0]
        self._next = 0  # frame to return next

    def accept(self, frames: np.ndarray) -> np.ndarray:
        """frames [n, D] float → float32 [m, D]: those whose window is complete."""
        frames = check_frames(frames)
        if frames.shape[1] != self._kept.shape[1]:
            raise IsoglossError(
                f"frames of {frames.shape[1]} columns: expected {self._kept.shape[1]}, as the stream began"
            )
        self._kept = np.concatenate((self._kept, frames))
        known = self._kept_start + self._kept.shape[0]
        stop = self._next
        while stop < known and self._window.needed(stop) <= known:
            stop += 1
        return self._return_until(stop)

    def finish(self) -> np.ndarray:
        """The remaining frames [m, D]."""
        return self._return_until(self._kept_start + self._kept.shape[0])

    def _return_until(self, stop: int) -> np.ndarray:
        known = self._kept_start + self._kept.shape[0]
        normalised = self._window.normalise(self._kept, self._kept_start, self._next, stop, known)
        self._next = stop
        # Near the end a centred window moves back as far as a whole window before the last frame.
        forget = max(min(stop, known - self._window.window) - self._window.window - 1 - self._kept_start, 0)
        self._kept, self._kept_start = self._kept[forget:], self._kept_start + forget
        return normalised


class StreamingFrames:
    """A function of frames that looks at no more than `left` frames back and `right` ahead, in pieces.

    function: [T, ...] → [T, ...], treating the ends of what it is given as the ends of the utterance.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], left: int, right: int) -> None:
        self._function, self._left, self._right = function, left, right
        self._kept: np.ndarray | None = None
        self._returned = 0  # frames at the front of _kept that have been returned

    def accept(self, frames: np.ndarray) -> np.ndarray:
        """The frames whose right context is complete."""
        self._kept = frames if self._kept is None else np.concatenate((self._kept, frames))
        stop = max(self._kept.shape[0] - self._right, self._returned)
        ready = self._function(self._kept)[self._returned : stop]
        forget = max(stop - self._left, 0)
        self._kept, self._returned = self._kept[forget:], stop - forget
        return ready

    def finish(self) -> np.ndarray:
        """The remaining frames; the last one given is the last of the utterance."""
        if self._kept is None:
            raise IsoglossError(
                "stream finished before any frames came: expected at least one accept(), an empty one will do"
            )
        return self._function(self._kept)[self._returned :]


def streaming_vad(**options: Any) -> StreamingFrames:
    """`vad` in pieces: log energies [n] → bool [m], frames_context frames later. energy_mean_scale is 0 and must stay so."""
    if options.setdefault("energy_mean_scale", 0.0) != 0.0:
        raise IsoglossError(
            f"streaming VAD with energy_mean_scale {options['energy_mean_scale']}: expected 0; the mean energy needs the whole "
            "file, so give a fixed energy_threshold"
        )
    context = options.get("frames_context", 0)
    return StreamingFrames(lambda log_energy: vad(log_energy, **options), context, context)


def streaming_process_pitch(**options: Any) -> StreamingFrames:
    """`process_pitch` in pieces: raw [n, 2] → float32 [m, columns]. Without `delay`: streaming has its own."""
    if options.get("delay", 0) != 0:
        raise IsoglossError(f"streaming process_pitch with delay {options['delay']}: expected 0")
    slope = options.get("delta_window", 2)
    left = max(options.get("normalization_left_context", 75), slope)
    right = max(options.get("normalization_right_context", 75), slope)
    return StreamingFrames(lambda raw: process_pitch(raw, **options), left, right)


def streaming_deltas(order: int = 2, window: int = 2) -> StreamingFrames:
    """`deltas` in pieces: [n, D] → float32 [m, D·(order + 1)]."""
    return StreamingFrames(lambda frames: deltas(frames, order, window), order * window, order * window)


def streaming_splice(left: int, right: int) -> StreamingFrames:
    """`splice` in pieces: [n, D] → float32 [m, (left + 1 + right)·D]."""
    return StreamingFrames(lambda frames: splice(frames, left, right), left, right)
