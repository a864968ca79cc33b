"""How embeddings vary within a language, drawn a little to a sphere where they are too few to say.

    W  = 1/U Σ_u (x_u − mean_l)(x_u − mean_l)ᵀ
    W' = (1 − s)·W + s·(tr W / E)·1                     s: shrinkage, 0 to 1

Source: Friedman, "Regularized discriminant analysis", 1989, equation 18. s is a number and not Ledoit and Wolf's least
squared error: that asks for more, which drowns the directions of little variance and costs accuracy (measured on speech).
"""

from __future__ import annotations

import numpy as np

from isogloss.types import IsoglossError

NULL_SPACE = 1e-10
"""An eigenvalue below this share of the largest is a direction in which embeddings do not vary but for rounding."""

ROUNDING = 1e-20
"""A variance below this share of the mean square is that of rounding."""


def class_means(x: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([C, E] means, [C] counts) of x [U, E] by index [U]."""
    count = np.bincount(index)
    sums = np.zeros((len(count), x.shape[1]))
    np.add.at(sums, index, x)
    return sums / count[:, None], count


def within_covariance(x: np.ndarray, index: np.ndarray, shrinkage: float) -> np.ndarray:
    """W' [E, E], positive definite, of x [U, E] by index [U].

    Raises IsoglossError where nothing varies within a language, and where W' is singular (shrinkage 0 and too few
    utterances, or a dimension that is constant or a copy of others).
    """
    if not 0 <= shrinkage <= 1:
        raise IsoglossError(f"shrinkage {shrinkage}; expected 0 to 1")
    means, count = class_means(x, index)
    residuals = x - means[index]
    within = residuals.T @ residuals / len(x)
    mean_variance = within.trace() / len(within)
    seen = f"{len(x)} embeddings of {len(count)} languages"
    if mean_variance <= ROUNDING * (x**2).mean():
        raise IsoglossError(f"{seen} do not vary within a language; {_why_nothing_varies(x, len(count))}")
    within = (1 - shrinkage) * within + shrinkage * mean_variance * np.eye(len(within))
    variance = np.linalg.eigvalsh(within)
    if variance[0] <= NULL_SPACE * variance[-1]:
        num_varying = int((variance > NULL_SPACE * variance[-1]).sum())
        raise IsoglossError(
            f"{seen} vary in {num_varying} of {len(within)} dimensions within a language; expected all: reduce them first "
            f"(lda+… or pca({_dims_of(num_varying)})+…), enrol more utterances, or write (shrinkage=0.1) behind its name"
        )
    return within


def _why_nothing_varies(x: np.ndarray, num_languages: int) -> str:
    if x.shape[1] == 1 and np.ptp(np.abs(x)) <= 1e-9 * np.abs(x).max() and np.ptp(x) > 0:
        return (
            "length normalisation leaves nothing but the sign of a single dimension, which is what an lda of two languages "
            "has: leave `length` out (lda+centre+plda)"
        )
    num_residuals = len(x) - num_languages  # the dimensions in which so many utterances can vary within languages
    wanted = "expected several different utterances of at least one: are they all the same"
    if num_residuals < 1:
        return f"{wanted}, or is there but one of each language?"
    return (
        f"{wanted}, or were they fewer than their dimensions before an lda? Then reduce those first: "
        f"pca({_dims_of(num_residuals)})+lda+…"
    )


def _dims_of(num_varying: int) -> int:
    """To reduce to, where embeddings vary in so many dimensions: half, so that each is seen more than once."""
    return max(1, min(50, num_varying // 2))
