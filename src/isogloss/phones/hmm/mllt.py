"""MLLT, or a global semi-tied covariance: the rotation of the frames in which diagonal covariances fit best.

    Q(M) = log |det M| − 1/2β Σ_i m_iᵀ G_i m_i                                     natural log, per frame; m_i: row i
    G_i = Σ_t Σ_g γ_tg/σ²_gi (x_t − μ_g)(x_t − μ_g)ᵀ
        = Σ_t a_ti x_t x_tᵀ + Σ_g n_g/σ²_gi [(μ_g − x̄_g)(μ_g − x̄_g)ᵀ − x̄_g x̄_gᵀ],     n_g = Σ_t γ_tg,   n_g x̄_g = Σ_t γ_tg x_t

so only a = Σ_g γ/σ² per frame and two sums per Gaussian are needed, never a [T, G] matrix. The frames become M x, the means
M μ, the transform before them (LDA) M times itself.
Source: Gales, "Semi-tied covariance matrices for hidden Markov models", IEEE Trans. Speech and Audio Processing 7(3),
1999, eq. 22; what Kaldi's gmm-acc-mllt and est-mllt do.
"""

from __future__ import annotations

import numpy as np

from isogloss.frontend.checks import check_finite
from isogloss.phones.hmm.fmllr import check_sums, maximise_rows, weighted_moments
from isogloss.types import IsoglossError

NUM_ITERATIONS = 200  # sweeps over the rows; Kaldi's
CONVERGENCE = 1e-7  # nats per frame
FRAMES_PER_DIMENSION = 10  # with fewer Kaldi warns of insufficient data
ROUNDING = 1e-9  # share of Σ a x² that the rounding of a, in float32, may leave of a dimension that does not vary


class MlltStats:
    """G [D, D, D] (its first index is the i of G_i) and β, float64. G means something once the Gaussians are added."""

    def __init__(self, dim: int) -> None:
        self.beta = 0.0
        self.g = np.zeros((dim, dim, dim))
        self.power = np.zeros((dim, dim))  # Σ_t a_ti x_tj²: what the Gaussian terms are taken from

    def accumulate(self, frames: np.ndarray, a: np.ndarray) -> None:
        """Add frames [T, D] with a = Σ_g γ/σ² [T, D]. Raises IsoglossError."""
        check_sums(frames, a, len(self.g))
        moments = weighted_moments(frames, a)
        self.g += moments
        self.power += np.diagonal(moments, axis1=1, axis2=2)

    def add_gaussians(
        self, gaussian_counts: np.ndarray, gaussian_first: np.ndarray, means: np.ndarray, inv_vars: np.ndarray
    ) -> None:
        """Add Σ_t γ [G] and Σ_t γ x [G, D] of all the frames, with means and 1/σ² [G, D]. Raises IsoglossError."""
        expected = (len(gaussian_counts), len(self.g))
        shapes = [array.shape for array in (gaussian_first, means, inv_vars)]
        if shapes != [expected] * 3:
            raise IsoglossError(
                f"Gaussian sums, means and variances of shapes {shapes}; expected all to be {list(expected)}"
            )
        check_finite(gaussian_first, "Gaussian sums")
        seen = gaussian_counts > 0
        counts = gaussian_counts[seen, None].astype(np.float64)
        centres = gaussian_first[seen] / counts
        weights = counts * inv_vars[seen]
        self.g += weighted_moments(means[seen] - centres, weights) - weighted_moments(centres, weights)
        self.beta += float(counts.sum())

    def update(self, iterations: int = NUM_ITERATIONS, convergence: float = CONVERGENCE) -> tuple[np.ndarray, float]:
        """(M [D, D] float64, improvement of Q over the identity in nats per frame). Raises IsoglossError.

        `iterations`: sweeps over the rows at most; `convergence`: one that gains less is the last.
        """
        dim = len(self.g)
        if self.beta < FRAMES_PER_DIMENSION * dim:
            raise IsoglossError(
                f"MLLT of {dim} dimensions from {self.beta:.0f} frames; expected at least {FRAMES_PER_DIMENSION * dim}: "
                "train on more speech, or leave MLLT out"
            )
        left = np.diagonal(self.g, axis1=1, axis2=2)
        constant = np.flatnonzero((left <= ROUNDING * self.power).any(axis=0))
        if len(constant):
            raise IsoglossError(
                f"frames do not vary within a Gaussian in dimension {constant[0]} of {dim}, so MLLT is not defined: is that "
                "dimension constant in the features?"
            )
        return maximise_rows(np.zeros((dim, dim)), self.g / self.beta, iterations, convergence)
