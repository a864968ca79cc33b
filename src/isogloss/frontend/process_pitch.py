"""Raw pitch to features that a network can use: voicing, normalised log pitch and its slope.

    p_t = ln(pitch_t),  n_t the NCCF
    POV feature      pov_scale · ((1.0001 − n_t)^0.15 − 1) + pov_offset,     n_t clipped to [−1, 1]
    normalised       pitch_scale · (p_t − Σ_W v_τ p_τ / Σ_W v_τ),            W = t − left … t + right inside the utterance
    delta            delta_pitch_scale · Δp_t,                               Δ of `deltas`, half width delta_window
    v = 1/(1 + exp(−r)), the probability of voicing fitted to n:
    r = −5.2 + 5.4 e^(7.5(|n| − 1)) + 4.8|n| − 2 e^(−10|n|) + 4.2 e^(20(|n| − 1)),  |n| clipped to 1

Kaldi adds random noise to the delta by default; here there is none.
Source: Ghahremani et al., ICASSP 2014, §4.
"""

from __future__ import annotations

import numpy as np

from isogloss.frontend.checks import check_finite
from isogloss.frontend.deltas import deltas
from isogloss.types import IsoglossError


def process_pitch(
    raw: np.ndarray,
    *,
    pitch_scale: float = 2.0,
    pov_scale: float = 2.0,
    pov_offset: float = 0.0,
    delta_pitch_scale: float = 10.0,
    delta_window: int = 2,
    normalization_left_context: int = 75,
    normalization_right_context: int = 75,
    delay: int = 0,
    add_pov_feature: bool = True,
    add_normalized_log_pitch: bool = True,
    add_delta_pitch: bool = True,
    add_raw_log_pitch: bool = False,
) -> np.ndarray:
    """raw [T, 2] of `pitch` (NCCF, Hz) → float32 [T + delay, columns]: POV feature, normalised log pitch, delta log pitch
    and, if asked for, log pitch. Contexts, window and delay in frames; `delay` repeats the first frame that often.

    Raises IsoglossError for another shape, pitch that is not positive, or options that cannot be.
    """
    if not isinstance(raw, np.ndarray) or raw.ndim != 2 or raw.shape[1] != 2 or raw.dtype.kind != "f":
        seen = f"shape {raw.shape}, dtype {raw.dtype}" if isinstance(raw, np.ndarray) else type(raw).__name__
        raise IsoglossError(f"raw pitch: {seen}; expected floats of shape [T, 2] (NCCF, Hz), as pitch() returns")
    check_finite(raw, "raw pitch values")
    if raw.size and raw[:, 1].min() <= 0.0:
        raise IsoglossError(
            f"pitch of {raw[:, 1].min()} Hz: expected above 0; are the columns (NCCF, Hz) in that order?"
        )
    if min(normalization_left_context, normalization_right_context, delay) < 0 or delta_window < 1:
        raise IsoglossError(
            f"contexts {normalization_left_context}, {normalization_right_context}, delay {delay}, delta_window {delta_window}: "
            "expected none below 0 and a window of at least 1 frame"
        )
    added = (add_pov_feature, add_normalized_log_pitch, add_delta_pitch, add_raw_log_pitch)
    if not any(added):
        raise IsoglossError("process_pitch with every column switched off: expected at least one add_... option")
    nccf, log_pitch = raw[:, 0].astype(np.float64), np.log(raw[:, 1].astype(np.float64))
    columns = (
        pov_scale * ((1.0001 - np.clip(nccf, -1.0, 1.0)) ** 0.15 - 1.0) + pov_offset,
        pitch_scale
        * (
            log_pitch - weighted_mean(log_pitch, voicing(nccf), normalization_left_context, normalization_right_context)
        ),
        delta_pitch_scale * deltas(log_pitch[:, None].astype(np.float32), order=1, window=delta_window)[:, 1],
        log_pitch,
    )
    features = np.stack([column for column, wanted in zip(columns, added, strict=True) if wanted], axis=1)
    features = features.astype(np.float32)
    return np.concatenate([features[:1].repeat(delay, axis=0), features])


def voicing(nccf: np.ndarray) -> np.ndarray:
    """v of the heading: NCCF [T] → probability that the frame is voiced [T]."""
    n = np.minimum(np.abs(nccf), 1.0)
    r = -5.2 + 5.4 * np.exp(7.5 * (n - 1.0)) + 4.8 * n - 2.0 * np.exp(-10.0 * n) + 4.2 * np.exp(20.0 * (n - 1.0))
    return 1.0 / (1.0 + np.exp(-r))


def weighted_mean(values: np.ndarray, weights: np.ndarray, left: int, right: int) -> np.ndarray:
    """Mean of values [T] under weights [T] over t − left … t + right, cut off at both ends."""
    sums = np.cumsum(np.concatenate(([[0.0, 0.0]], np.stack([weights * values, weights], axis=1))), axis=0)
    time = np.arange(values.shape[0])
    first, stop = np.maximum(time - left, 0), np.minimum(time + right + 1, values.shape[0])
    weighted, total = (sums[stop] - sums[first]).T
    return weighted / total
