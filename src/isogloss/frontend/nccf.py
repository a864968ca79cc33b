"""The normalised cross-correlation of a frame with itself at each lag.

For a frame w_0 … w_{W+last_lag−1}, its first W samples' mean subtracted, and lag ℓ:
    v_ℓ = (w_ℓ … w_{ℓ+W−1})
    φ(ℓ) = v_0·v_ℓ / sqrt(‖v_0‖² ‖v_ℓ‖² + ballast),    0 where the denominator is 0
    ballast = (W · mean square of the signal)² · nccf_ballast

With ballast φ falls in quiet frames: it leads the path. Without, it measures voicing wherever there is sound.
Source: Ghahremani et al., ICASSP 2014, eq. 1 to 4.
"""

from __future__ import annotations

import numpy as np

from isogloss.compiled import compiled
from isogloss.frontend.windows import float32_pair_sum


@compiled(nogil=True, error_model="numpy")
def nccf(
    signal: np.ndarray,
    starts: np.ndarray,
    window: int,
    first_lag: int,
    preemphasis: float,
    ballast: np.ndarray,
    final_ballast: np.ndarray,
    led: np.ndarray,
    plain: np.ndarray,
) -> None:
    """Fill `led` (with ballast) and `plain` (without), both float32 [T, M], M lags from first_lag on.

    signal: float32; starts [T]: where each frame begins in it; ballast, final_ballast [T]. Where the two differ, φ is
    taken with the first and then scaled by sqrt((ballast + n) / (final_ballast + n)), n = mean over ℓ of ‖v_0‖² ‖v_ℓ‖²:
    the definition's correction, once the whole signal is known.
    """
    num_lags = led.shape[1]
    span = window + first_lag + num_lags - 1
    w = np.empty(span)
    inner = np.empty(num_lags)
    energy = np.empty(num_lags)
    squares = np.zeros(span + 1)  # Σ of w² before each sample; equal across digital silence, so its energy is exactly 0
    for t in range(starts.shape[0]):
        frame = signal[starts[t] : starts[t] + span]
        _centre(frame, window, np.float32(preemphasis), w)
        for n in range(span):
            squares[n + 1] = squares[n] + w[n] * w[n]
        own_energy = squares[window]
        inner[:] = 0.0
        for n in range(window):
            x = w[n]
            lagged = w[n + first_lag : n + first_lag + num_lags]
            for m in range(num_lags):  # lags side by side in vector registers
                inner[m] += x * lagged[m]
        for m in range(num_lags):
            energy[m] = squares[m + first_lag + window] - squares[m + first_lag]
        mean_norm = own_energy * energy.sum() / num_lags
        scale = 1.0
        if ballast[t] != final_ballast[t]:
            scale = np.sqrt((ballast[t] + mean_norm) / (final_ballast[t] + mean_norm))
        for m in range(num_lags):
            norm = own_energy * energy[m]
            under = np.sqrt(norm + ballast[t])
            led[t, m] = inner[m] / under * scale if under > 0.0 else 0.0
            under = np.sqrt(norm)
            plain[t, m] = inner[m] / under if under > 0.0 else 0.0


@compiled(nogil=True)
def _centre(frame: np.ndarray, window: int, preemphasis: np.float32, w: np.ndarray) -> None:
    """w = frame, pre-emphasised, less the mean of its first `window` samples; rounded to float32 at each step."""
    emphasised = np.empty_like(frame)
    emphasised[0] = frame[0] - preemphasis * frame[0]
    for i in range(1, frame.shape[0]):
        emphasised[i] = frame[i] - preemphasis * frame[i - 1]
    mean = np.float32(float32_pair_sum(emphasised[:window])) / np.float32(window)
    for i in range(frame.shape[0]):
        w[i] = emphasised[i] - mean
