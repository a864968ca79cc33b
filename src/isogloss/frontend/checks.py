"""What the front end accepts: the only place that judges an incoming array."""

from __future__ import annotations

import numpy as np

from isogloss.types import IsoglossError

INT16_SCALE = 32768.0  # a float sample of 1.0 on the 16-bit scale, in which log energies and VAD thresholds are stated


def check_samples(samples: np.ndarray, sample_rate: float) -> tuple[np.ndarray, float]:
    """Judge a waveform [S]: int16, or float32 / float64 in [-1, 1].

    Returns the contiguous array as it is and the factor that brings it to the 16-bit scale (1 or 32768), so that a
    long file is converted block by block and never copied whole. Raises IsoglossError.
    """
    if not np.isfinite(sample_rate) or sample_rate <= 0:
        raise IsoglossError(f"sample rate {sample_rate}: expected a positive number of Hz")
    if not isinstance(samples, np.ndarray):
        raise IsoglossError(
            f"samples of type {type(samples).__name__}: expected a NumPy array; np.asarray(...) makes one"
        )
    if samples.ndim != 1:
        raise IsoglossError(
            f"samples of shape {samples.shape}: expected one channel, shape [S]; pick a channel or average them first"
        )
    if samples.dtype not in (np.int16, np.float32, np.float64):
        raise IsoglossError(
            f"samples of dtype {samples.dtype}: expected int16, or float32 / float64 in [-1, 1]; convert them first"
        )
    if samples.dtype == np.int16:
        return np.ascontiguousarray(samples), 1.0
    if samples.size:
        low, high = float(samples.min()), float(samples.max())  # NaN survives min and max, so this finds it too
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = np.flatnonzero(~np.isfinite(samples))
            raise IsoglossError(
                f"samples hold {bad.size} NaN or infinite values, the first at index {bad[0]}: expected finite numbers; "
                "was the audio decoded or scaled wrongly?"
            )
        if max(-low, high) > 100.0:
            raise IsoglossError(
                f"float samples reach {max(-low, high):.0f}: expected [-1, 1]; 16-bit numbers held as float? "
                "divide them by 32768 or pass them as int16"
            )
    return np.ascontiguousarray(samples), INT16_SCALE


def to_float32(samples: np.ndarray) -> np.ndarray:
    """A checked waveform as float32 in [-1, 1]: int16 is divided by 32768, which float32 holds exactly."""
    checked, scale = check_samples(samples, 1.0)  # what a sample is does not depend on the rate
    return np.multiply(checked, scale / INT16_SCALE, dtype=np.float32)


def check_frames(frames: np.ndarray, what: str = "frames") -> np.ndarray:
    """Judge a feature matrix [T, D]; returns it as contiguous float32. Raises IsoglossError."""
    if not isinstance(frames, np.ndarray) or frames.ndim != 2 or frames.dtype.kind != "f":
        seen = (
            f"shape {frames.shape}, dtype {frames.dtype}" if isinstance(frames, np.ndarray) else type(frames).__name__
        )
        raise IsoglossError(f"{what}: {seen}; expected a float array of shape [T, D]")
    check_finite(frames, what)
    return np.ascontiguousarray(frames, dtype=np.float32)


def check_finite(values: np.ndarray, what: str) -> None:
    """Raise IsoglossError at the first NaN or infinite value."""
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        where = np.argwhere(~np.isfinite(values))[0]
        raise IsoglossError(
            f"{what} hold NaN or infinite values, the first at {where.tolist()}: expected finite numbers"
        )
