"""Speed and volume perturbation of training audio, with sox's meaning of both.

speed f:   y(t) = x(f·t): tempo and pitch both change, S → round(S / f) samples. The waveform is resampled from f·r to r
           Hz (r cancels), band-limited to the lower of the two Nyquist frequencies, by soxr, the resampler of sox itself.
volume f:  y = f·x, clipped to the 16-bit range [−1, 32767/32768], as writing to a 16-bit file would. Not re-quantised.

Source: Ko et al., "Audio augmentation for speech recognition", Interspeech 2015 (speed 0.9 / 1.0 / 1.1).
"""

from __future__ import annotations

import math

import numpy as np
import soxr

from isogloss.frontend.checks import to_float32
from isogloss.types import IsoglossError

CLIP_LOW, CLIP_HIGH = -1.0, 32767.0 / 32768.0


def perturb_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Play `factor` times as fast: [S] int16 or float in [-1, 1] → float32 [round(S / factor)] in [-1, 32767/32768].

    factor 1 returns the samples unchanged (as float32). Overshoot of the band-limited signal is clipped, as in a
    16-bit file. Raises IsoglossError for a factor outside [0.1, 10] or samples that are not a waveform.
    """
    waveform = to_float32(samples)
    _check_factor("speed", factor, 0.1, 10.0)
    length = math.floor(waveform.shape[0] / factor + 0.5)
    if factor == 1.0 or length == 0:
        return waveform[:length]
    resampled = soxr.resample(waveform, factor, 1.0, quality="HQ")
    fitted = np.zeros(length, dtype=np.float32)  # soxr may differ from round(S / factor) by a sample
    usable = min(length, resampled.shape[0])
    np.clip(resampled[:usable], CLIP_LOW, CLIP_HIGH, out=fitted[:usable])
    return fitted


def perturb_volume(samples: np.ndarray, factor: float) -> np.ndarray:
    """Scale the amplitude by `factor` and clip: [S] int16 or float in [-1, 1] → float32 [S] in [-1, 32767/32768].

    Raises IsoglossError for a factor outside (0, 100] or samples that are not a waveform.
    """
    waveform = to_float32(samples)
    _check_factor("volume", factor, 0.0, 100.0)
    return np.clip(waveform * np.float32(factor), CLIP_LOW, CLIP_HIGH)


def _check_factor(what: str, factor: float, low: float, high: float) -> None:
    if not (math.isfinite(factor) and low <= factor <= high and factor > 0.0):
        raise IsoglossError(f"{what} factor {factor}: expected a number in [{low:g}, {high:g}], 1 for no change")
