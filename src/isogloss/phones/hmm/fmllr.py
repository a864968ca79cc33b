"""fMLLR (constrained MLLR): the affine transform of a speaker's frames that a diagonal-covariance model likes best.

    y = A x + b = W ξ,   ξ = [x; 1],   W = [A b]
    Q(W) = log |det A| + 1/β [ Σ_d w_d·k_d − ½ Σ_d w_dᵀ G_d w_d ]                  natural log, per frame; w_d: row d
    β = Σ_t Σ_g γ_tg,   k_d = Σ_t b_td ξ_t,   G_d = Σ_t a_td ξ_t ξ_tᵀ,   a_td = Σ_g γ_tg/σ²_gd,   b_td = Σ_g γ_tg μ_gd/σ²_gd

Q has a closed maximum over one row given the others; the rows take turns. Semi-tied covariances (`mllt.py`) are the same
problem with k = 0 and no offset, so the solver here serves both.
Source: Gales, "Maximum likelihood linear transformations for HMM-based speech recognition", Computer Speech and
Language 12(2), 1998, appendix B; what Kaldi's gmm-est-fmllr does with --fmllr-update-type=full, identity to begin with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.frontend.checks import check_finite, check_frames
from isogloss.types import IsoglossError

MIN_COUNT = 500.0  # frames; Kaldi's --fmllr-min-count
NUM_ITERATIONS = 40  # sweeps over the rows; Kaldi's --fmllr-num-iters
TOLERANCE = 1e-8  # nats per frame; a sweep that gains less is the last
MAX_CONDITION = 1e12  # of G_d with a unit diagonal: beyond it some direction is known by its rounding errors only
BLOCK_FRAMES = 512  # whose products fit in the cache


@dataclass(frozen=True, eq=False)
class FmllrEstimate:
    """`transform` [D, D + 1]; `improvement` of the objective in nats per frame; `count` frames it was estimated from.

    `problem`: one line on why the transform is the identity; empty if it was estimated.
    """

    transform: np.ndarray
    improvement: float
    count: float
    problem: str = ""


class FmllrStats:
    """β, K [D, D + 1] and G [D, D + 1, D + 1] of one speaker, float64."""

    def __init__(self, dim: int) -> None:
        self.beta = 0.0
        self.k = np.zeros((dim, dim + 1))
        self.g = np.zeros((dim, dim + 1, dim + 1))

    def accumulate(self, frames: np.ndarray, a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> None:
        """Add frames [T, D] with a = Σ_g γ/σ², b = Σ_g γ μ/σ² [T, D] and counts = Σ_g γ [T]. Raises IsoglossError."""
        check_sums(frames, a, len(self.k))
        if b.shape != a.shape or counts.shape != a.shape[:1]:
            raise IsoglossError(
                f"sums a {a.shape}, b {b.shape} and counts {counts.shape}; expected [T, D], [T, D] and [T]"
            )
        check_finite(b, "mean sums b")
        extended = np.concatenate([frames, np.ones((len(frames), 1))], axis=1)
        self.k += b.T.astype(np.float64) @ extended
        self.g += weighted_moments(extended, a)
        self.beta += float(counts.sum(dtype=np.float64))

    def estimate(self, num_iters: int = NUM_ITERATIONS, min_count: float = MIN_COUNT) -> FmllrEstimate:
        """The best transform found in `num_iters` sweeps.

        The identity, with its reason, for `min_count` frames or fewer, or frames that do not vary in every direction.
        """
        identity = np.eye(*self.k.shape)
        if self.beta <= min_count:
            problem = f"{self.beta:.0f} frames; fMLLR is estimated from more than {min_count:.0f}"
            return FmllrEstimate(identity, 0.0, self.beta, problem)
        try:
            transform, improvement = maximise_rows(self.k / self.beta, self.g / self.beta, num_iters, TOLERANCE)
        except IsoglossError as error:
            return FmllrEstimate(identity, 0.0, self.beta, str(error))
        return FmllrEstimate(transform, improvement, self.beta)


def apply(frames: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """y = A x + b: frames [T, D], transform [D, D + 1] → float32 [T, D]. Raises IsoglossError."""
    frames = check_frames(frames)
    if transform.shape != (frames.shape[1], frames.shape[1] + 1):
        raise IsoglossError(
            f"frames of {frames.shape[1]} dimensions and a transform of shape {transform.shape}; "
            "expected [D, D + 1]: are frames and transform of the same stage of training?"
        )
    return (frames @ transform[:, :-1].T + transform[:, -1]).astype(np.float32)


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The transform [D, D + 1] that is `first`, then `second`."""
    composed = second[:, :-1] @ first
    composed[:, -1] += second[:, -1]
    return composed


def check_sums(frames: np.ndarray, a: np.ndarray, dim: int) -> None:
    """Raise IsoglossError unless frames and the weights a are finite and both [T, dim]."""
    if frames.ndim != 2 or frames.shape[1] != dim or a.shape != frames.shape:
        raise IsoglossError(
            f"frames {frames.shape} and weights {a.shape} for statistics of {dim} dimensions; expected both to be [T, {dim}]: "
            "were the posteriors computed on these frames?"
        )
    check_finite(frames, "frames")
    check_finite(a, "precision sums a")


def weighted_moments(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ_t weights_td x_t x_tᵀ for every d: x [T, E], weights [T, D] → float64 [D, E, E], exactly symmetric.

    The E(E + 1)/2 distinct products of a block of frames, times the weights: one matrix product for all d.
    """
    size = x.shape[1]
    rows, columns = np.triu_indices(size)
    total = np.zeros((len(rows), weights.shape[1]))
    for first in range(0, len(x), BLOCK_FRAMES):
        block = np.ascontiguousarray(x[first : first + BLOCK_FRAMES].T, dtype=np.float64)
        products = np.concatenate([block[i] * block[i:] for i in range(size)])
        total += products @ weights[first : first + BLOCK_FRAMES].astype(np.float64)
    moments = np.empty((weights.shape[1], size, size))
    moments[:, rows, columns] = moments[:, columns, rows] = total.T
    return moments


def objective(transform: np.ndarray, k: np.ndarray, g: np.ndarray) -> float:
    """Q of the module's head: transform and k [D, E], g [D, E, E], with k and g divided by β; E is D + 1, or D."""
    dim = len(transform)
    quadratic = (g @ transform[:, :, None])[:, :, 0]
    return float(np.linalg.slogdet(transform[:, :dim])[1] + np.sum(transform * (k - 0.5 * quadratic)))


def maximise_rows(k: np.ndarray, g: np.ndarray, num_iters: int, tolerance: float) -> tuple[np.ndarray, float]:
    """(W [D, E] maximising `objective`, what it gained over the identity). Raises IsoglossError for a singular g.

    Ends after num_iters sweeps, or when one gains less than `tolerance` (what rounding takes away is never kept).
    """
    g_inverse = _inverse(g)
    free = (g_inverse @ k[:, :, None])[:, :, 0]  # where each row would go without the determinant
    transform = np.eye(*k.shape)
    start = value = objective(transform, k, g)
    for _ in range(num_iters):
        swept = _sweep(transform, g_inverse, free)
        gain = objective(swept, k, g) - value
        if not gain > 0:
            break
        transform, value = swept, value + gain
        if gain < tolerance:
            break
    return transform, value - start


def _sweep(transform: np.ndarray, g_inverse: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Every row once at its maximum given the others.

    With c the column of A⁻¹ for row d (its cofactors over det A), w = G⁻¹(α c + k) where α solves
    α² c·G⁻¹c + α c·G⁻¹k = 1; of the two roots the one with the larger Q. Then w·c = 1/α is the change of det A.
    """
    transform = transform.copy()
    dim = len(transform)
    inverse = np.linalg.inv(transform[:, :dim])  # afresh in every sweep; within one, updated (Sherman-Morrison)
    for d in range(dim):
        cofactors = inverse[:, d].copy()
        along = g_inverse[d, :, :dim] @ cofactors
        curvature = along[:dim] @ cofactors
        slope = free[d, :dim] @ cofactors
        alpha = (1.0 if slope >= 0 else -1.0) * 2.0 / (abs(slope) + np.sqrt(slope * slope + 4.0 * curvature))
        transform[d] = alpha * along + free[d]
        change = transform[d, :dim] @ inverse
        change[d] -= 1.0
        inverse -= np.outer(alpha * cofactors, change)
    return transform


def _inverse(g: np.ndarray) -> np.ndarray:
    """Inverses of the matrices g [D, E, E], however different the scales of their dimensions; or IsoglossError."""
    scale = np.sqrt(np.maximum(np.diagonal(g, axis1=1, axis2=2), 0.0))
    dead = np.flatnonzero(~(scale > 0).all(axis=0))
    if len(dead):
        raise IsoglossError(
            f"frames are zero in dimension {dead[0]}; no transform can be estimated: was it ever computed?"
        )
    outer = scale[:, :, None] * scale[:, None, :]
    unit = g / outer
    try:
        np.linalg.cholesky(unit)  # rounding can make a nearly singular one indefinite, where there is no maximum
        inverse = np.linalg.inv(unit)
        condition = np.abs(unit).sum(1).max(1) * np.abs(inverse).sum(1).max(1)
    except np.linalg.LinAlgError:
        condition = np.array([np.inf])
    if not (condition < MAX_CONDITION).all():
        raise IsoglossError(
            "frames do not vary in every direction (constant, or one dimension follows from the others), so no transform can "
            "be estimated: are there too few frames, or is a dimension there twice?"
        )
    return 0.5 * (inverse + inverse.transpose(0, 2, 1)) / outer
