"""Options of the pitch tracker and what follows from them: frame positions, lags measured, lags searched."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache

import numpy as np

from isogloss.frontend.resample import Resampler, windowed_sinc
from isogloss.types import IsoglossError


@dataclass(frozen=True)
class PitchOptions:
    """Kaldi's names and defaults. Times in ms, frequencies in Hz. Raises IsoglossError for options that cannot be."""

    sample_rate: float
    frame_length_ms: float = 25.0
    frame_shift_ms: float = 10.0
    preemphasis_coefficient: float = 0.0
    min_f0: float = 50.0
    max_f0: float = 400.0
    soft_min_f0: float = 10.0  # longer lags cost more: local cost 1 − φ(1 − soft_min_f0·lag)
    penalty_factor: float = 0.1  # cost of (change of log pitch)²
    lowpass_cutoff: float = 1000.0
    resample_frequency: float = 4000.0
    delta_pitch: float = 0.005  # searched lags differ by this ratio
    nccf_ballast: float = 7000.0
    nccf_ballast_online: bool = False  # ballast from the signal up to the frame's end, not from the whole signal
    lowpass_filter_width: int = 1  # zeros of the resampling filter on each side
    upsample_filter_width: int = 5  # zeros of the NCCF's interpolation filter on each side
    recompute_frame: int = 500  # utterances shorter than this get one ballast throughout
    snip_edges: bool = True

    @classmethod
    def named(cls, sample_rate: float, options: dict[str, float]) -> PitchOptions:
        """Options by keyword; an unknown one is an IsoglossError naming the nearest."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[1:])}"
                raise IsoglossError(f"pitch has no option {name!r}; {hint}")
        return _options(sample_rate, tuple(sorted(options.items())))

    def __post_init__(self) -> None:
        if not 0.0 < self.min_f0 < self.max_f0 or self.delta_pitch <= 0.0 or self.penalty_factor < 0.0:
            raise IsoglossError(
                f"min_f0 {self.min_f0}, max_f0 {self.max_f0} Hz, delta_pitch {self.delta_pitch}, penalty_factor "
                f"{self.penalty_factor}: expected 0 < min_f0 < max_f0, a positive ratio and no negative penalty"
            )
        self.resampler()  # judges rates and filter
        if self.window < 1 or self.shift < 1 or self.upsample_filter_width < 1 or self.first_lag < 1:
            raise IsoglossError(
                f"frames of {self.frame_length_ms} ms every {self.frame_shift_ms} ms, lags from {self.first_lag} samples, at "
                f"{self.resample_frequency} Hz: expected at least one sample each; "
                "give frame lengths in ms, lower max_f0 or raise resample_frequency"
            )

        if self.lags.shape[0] > np.iinfo(np.int16).max:
            raise IsoglossError(
                f"delta_pitch {self.delta_pitch} makes {self.lags.shape[0]} lags between {self.min_f0} and {self.max_f0} Hz: "
                f"expected at most {np.iinfo(np.int16).max}; 0.005 is usual"
            )

    def resampler(self) -> Resampler:
        """A new low-pass and resampling filter to `resample_frequency`."""
        return Resampler(self.sample_rate, self.resample_frequency, self.lowpass_cutoff, self.lowpass_filter_width)

    @cached_property
    def window(self) -> int:
        """W, samples correlated, at resample_frequency."""
        return int(self.resample_frequency * self.frame_length_ms / 1000.0)

    @cached_property
    def shift(self) -> int:
        """H, samples between frames, at resample_frequency."""
        return int(self.resample_frequency * self.frame_shift_ms / 1000.0)

    @cached_property
    def first_lag(self) -> int:
        """Shortest measured lag in samples: the interpolation filter's reach below 1/max_f0."""
        reach = self.upsample_filter_width / (2.0 * self.resample_frequency)
        return math.ceil(self.resample_frequency * (1.0 / self.max_f0 - reach))

    @cached_property
    def last_lag(self) -> int:
        """Longest measured lag in samples."""
        reach = self.upsample_filter_width / (2.0 * self.resample_frequency)
        return math.floor(self.resample_frequency * (1.0 / self.min_f0 + reach))

    @cached_property
    def span(self) -> int:
        """Samples a frame needs: W + last_lag."""
        return self.window + self.last_lag

    def num_frames(self, num_samples: int, finished: bool) -> int:
        """T for `num_samples` at resample_frequency. At the end of the signal a frame may reach past it (zeros)."""
        if self.snip_edges:
            needed = self.window if finished else self.span
            return 0 if num_samples < needed else 1 + (num_samples - needed) // self.shift
        missing = 0 if finished else self.span
        return max(0, (2 * num_samples - missing + self.shift) // (2 * self.shift))

    def frame_starts(self, first: int, stop: int) -> np.ndarray:
        """First sample of frames first … stop − 1; negative ones exist without snip_edges."""
        frame = np.arange(first, stop)
        if self.snip_edges:
            return frame * self.shift
        return (2 * frame + 1) * self.shift // 2 - self.span // 2

    @cached_property
    def lags(self) -> np.ndarray:
        """Searched lags in seconds, float32 [K]: 1/max_f0, each next one (1 + delta_pitch) times longer, to 1/min_f0.

        Multiplied up in float32, as in the definition: the lag of a far state depends on it in the sixth digit.
        """
        lag, ratio = np.float32(1.0 / self.max_f0), 1.0 + float(np.float32(self.delta_pitch))
        lags = []
        while lag <= np.float32(1.0 / self.min_f0):
            lags.append(lag)
            lag = np.float32(float(lag) * ratio)
        return np.array(lags, dtype=np.float32)

    @cached_property
    def interpolation(self) -> np.ndarray:
        """Weights [K, M] float32 that turn the NCCF at M measured lags into the NCCF at the K searched ones.

        Time differences are rounded to float32 as in the definition. A difference of 1e−9 s moves a weight by 4e−6, which
        decides between paths of nearly equal cost.
        """
        rate = np.float32(self.resample_frequency)
        position = self.lags + np.float32(-self.first_lag / self.resample_frequency)
        measured = np.arange(self.last_lag + 1 - self.first_lag, dtype=np.float32) / rate
        time = position[:, None] - measured
        return windowed_sinc(time, 0.5 * self.resample_frequency, self.upsample_filter_width) / rate

    @cached_property
    def interpolation_taps(self) -> tuple[np.ndarray, np.ndarray]:
        """The part of each row of `interpolation` that is not 0: weights [K, taps] and their first column [K]."""
        used = self.interpolation != 0.0
        first, stop = used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
        num_taps = int((stop - first).max())
        first = np.minimum(first, used.shape[1] - num_taps)
        return np.take_along_axis(self.interpolation, first[:, None] + np.arange(num_taps), axis=1), first

    @cached_property
    def transition_cost(self) -> np.float32:
        """Cost of moving by one searched lag: penalty_factor · ln²(1 + delta_pitch)."""
        return np.float32(np.log1p(np.float32(self.delta_pitch)) ** 2 * np.float32(self.penalty_factor))


@lru_cache(maxsize=16)
def _options(sample_rate: float, options: tuple[tuple[str, float], ...]) -> PitchOptions:
    """One object per setting, so that its tables are made once and short utterances do not wait for them."""
    return PitchOptions(sample_rate, **dict(options))  # type: ignore[arg-type]
