"""Voice activity from frame energy: a frame is voiced if enough frames around it exceed a threshold.

    θ = energy_threshold + energy_mean_scale · mean_t(e_t)
    voiced_t  ⇔  #{τ ∈ W_t : e_τ > θ} ≥ proportion_threshold · |W_t|,   W_t = {t − c … t + c} inside the utterance

e is the log energy on the 16-bit sample scale (column 0 of `mfcc` with use_energy), before mean normalisation.
Source: Kaldi's energy VAD.
"""

from __future__ import annotations

import numpy as np

from isogloss.frontend.checks import check_finite
from isogloss.types import IsoglossError


def vad(
    log_energy: np.ndarray,
    *,
    energy_threshold: float = 5.0,
    energy_mean_scale: float = 0.5,
    frames_context: int = 0,
    proportion_threshold: float = 0.6,
) -> np.ndarray:
    """Which frames are voiced.

    log_energy: [T] natural log of the frame's energy, 16-bit scale. Returns bool [T].
    Raises IsoglossError for another shape, NaN or infinite values, or options out of range.
    """
    if not isinstance(log_energy, np.ndarray) or log_energy.ndim != 1:
        seen = log_energy.shape if isinstance(log_energy, np.ndarray) else type(log_energy).__name__
        raise IsoglossError(f"log energy {seen}: expected an array of shape [T]; did you mean frames[:, 0]?")
    check_finite(log_energy, "log energies")
    if frames_context < 0 or not 0.0 < proportion_threshold < 1.0:
        raise IsoglossError(
            f"frames_context {frames_context}, proportion_threshold {proportion_threshold}: "
            "expected a context ≥ 0 and a proportion inside (0, 1)"
        )
    num_frames = log_energy.shape[0]
    if num_frames == 0:
        return np.zeros(0, dtype=bool)
    energy = log_energy.astype(np.float64)
    loud = energy > energy_threshold + energy_mean_scale * energy.mean()
    if frames_context == 0:
        return loud  # 1 ≥ proportion, 0 < proportion
    counted = np.concatenate(([0], np.cumsum(loud)))
    time = np.arange(num_frames)
    first = np.maximum(time - frames_context, 0)
    stop = np.minimum(time + frames_context + 1, num_frames)
    # In float32, as the definition has it: 5 frames · 0.6 must be 3, and in float64 0.6 as a float32 would give more.
    needed = (stop - first).astype(np.float32) * np.float32(proportion_threshold)
    return counted[stop] - counted[first] >= needed
