"""Vocal tract length perturbation of finished cepstra: a linear map of the columns, one matrix for each warp factor.

Cepstra are the cosine coefficients of the log mel spectrum: S(x) = Σ_i c_i·cos(πi(x + ½)/M), x the number of a mel band, is a
smooth curve through the M log mel energies. The warped frame has the cepstra of S at warped places, c' = C·[S(w(0)) … S(w(M−1))],
w(j) the place whose frequency is G(f_j). A mean over time is a linear map too and the two commute: warping
normalised frames is normalising warped ones.

C0 is the frame's log energy, and not a coefficient of S, but what it stands for is a constant of S that no warp changes; it is
left alone. So is pitch, which is normalised by its own running mean, so that a vocal tract's factor would vanish from it.
It is exact for the curve S; a waveform's warp would also move the energy between the bands' own filters, and the coefficients from
num_ceps on, which the front end drops, would be warped into those it keeps.

Source: Jaitly & Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition", ICML workshop 2013.
"""

from __future__ import annotations

import numpy as np

from isogloss.config import FrontEndConfig
from isogloss.frontend.mfcc import hz_to_mel, liftered_dct

LIFTER = 22.0  # of the front end
KNEE = 0.6  # of the Nyquist frequency (4800 Hz of 8000); beyond it the warp bends to meet it


def warp_matrices(factors: np.ndarray, front_end: FrontEndConfig) -> np.ndarray:
    """[F] factors → [F, D, D] float64 to multiply frames [T, D] with from the right.

    A factor of 1.1 moves a formant to 1.1 of its frequency, as a vocal tract shorter by a tenth does.
    """
    num_bands, num_ceps = front_end.num_mel_bins, front_end.num_ceps
    nyquist = front_end.sample_rate / 2
    high_freq = front_end.high_freq if front_end.high_freq > 0 else nyquist + front_end.high_freq
    corners = np.linspace(hz_to_mel(front_end.low_freq), hz_to_mel(high_freq), num_bands + 2)
    band_hz = 700 * np.expm1(corners[1:-1] / 1127)
    to_cepstra = liftered_dct(num_ceps, num_bands, LIFTER)[1:]  # C: [num_ceps − 1, M]
    order = np.arange(1, num_ceps)[:, None]
    scale = to_cepstra[:, :1] / np.cos(np.pi / num_bands * order * 0.5)  # of each cosine in C: liftered, orthonormal
    matrices = np.tile(np.eye(front_end.dim), (len(factors), 1, 1))
    for matrix, factor in zip(matrices, factors, strict=True):
        came_from = hz_to_mel(warped_hz(band_hz, 1 / factor, nyquist))
        places = np.clip((came_from - corners[1]) / (corners[1] - corners[0]), -0.5, num_bands - 0.5)
        curve = 2 / num_bands / scale * np.cos(np.pi / num_bands * order * (places + 0.5))  # S there, of each cepstrum
        matrix[1:num_ceps, 1:num_ceps] = curve @ to_cepstra.T
    return matrices


def warped_hz(hz: np.ndarray, factor: float, nyquist: float) -> np.ndarray:
    """G(f) = factor·f up to the knee, then straight to the Nyquist frequency, which stays; 1 / factor undoes it."""
    knee = KNEE * nyquist * min(factor, 1.0)
    slope = (nyquist - knee) / (nyquist - knee / factor)
    return np.where(hz <= knee / factor, hz * factor, nyquist - slope * (nyquist - hz))
