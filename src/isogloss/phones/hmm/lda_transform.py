"""LDA of spliced frames: the directions in which pdfs differ most for how much each varies in itself.

    within  = 1/N Σ_t (x_t − mean_c(t))(x_t − mean_c(t))ᵀ,    between = 1/N Σ_c N_c (mean_c − mean)(mean_c − mean)ᵀ

Row i of the transform A is the i-th largest solution of between v = λ within v, so that A within Aᵀ = 1.
Source: Kaldi acc-lda and est-lda (HLDA's first step), without random pruning. The LDA of embeddings (`isogloss.backends`)
is another estimator: it smooths the covariance, floors it and removes the mean.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse

from isogloss.frontend.checks import check_finite
from isogloss.types import IGNORE_PDF, IsoglossError

MIN_EIGENVALUE = 1e-10  # of the within-class correlation: below it a direction is known by its rounding errors only
BLOCK_FRAMES = 8192  # held in float64 at a time
ROUNDING = 1e-13  # share of x² that the variance of a constant dimension may come to


class LdaStats:
    """counts [C], first [C, E] = Σ x of every class, second [E, E] = Σ x xᵀ of all frames; float64."""

    def __init__(self, num_classes: int, dim: int) -> None:
        self.counts = np.zeros(num_classes)
        self.first = np.zeros((num_classes, dim))
        self.second = np.zeros((dim, dim))

    def accumulate(self, frames: np.ndarray, labels: np.ndarray) -> None:
        """Add frames [T, E] of classes labels [T]; those labelled IGNORE_PDF (silence) are left out. Raises IsoglossError."""
        num_classes, dim = self.first.shape
        if frames.ndim != 2 or frames.shape[1] != dim or labels.shape != frames.shape[:1]:
            raise IsoglossError(
                f"frames {frames.shape} and labels {labels.shape}; expected [T, {dim}] and [T]: "
                "was the alignment made on frames of the same shift?"
            )
        check_finite(frames, "frames")
        known = np.flatnonzero(labels != IGNORE_PDF)
        classes = labels[known]
        if len(known) and not 0 <= classes.min() <= classes.max() < num_classes:
            raise IsoglossError(
                f"labels from {classes.min()} to {classes.max()}; expected 0 to {num_classes - 1} or IGNORE_PDF ({IGNORE_PDF}): "
                "is the alignment of another model?"
            )
        self.counts += np.bincount(classes, minlength=num_classes)
        for first in range(0, len(known), BLOCK_FRAMES):
            of = labels[known[first : first + BLOCK_FRAMES]]
            x = frames[known[first : first + BLOCK_FRAMES]].astype(np.float64)
            member = scipy.sparse.csr_array((np.ones(len(x)), (of, np.arange(len(x)))), shape=(num_classes, len(x)))
            self.first += member @ x
            self.second += x.T @ x

    def estimate(self, dim: int = 40) -> np.ndarray:
        """[dim, E] float64: within-class covariance becomes the identity, the largest between-class variance comes first.

        A row's sign is chosen to make its largest entry positive. Raises IsoglossError for more than E dimensions or C − 1
        (C classes seen), and for frames that are too few or do not vary within their classes.
        """
        seen = self.counts > 0
        num_frames, num_classes = self.counts.sum(), int(seen.sum())
        if not 1 <= dim <= min(len(self.second), num_classes - 1):
            raise IsoglossError(
                f"LDA of {len(self.second)} to {dim} dimensions with frames of {num_classes} classes; expected 1 to "
                f"{min(len(self.second), max(num_classes - 1, 0))} (one less than classes): ask for fewer, or use more leaves"
            )
        counts = self.counts[seen, None]
        means = self.first[seen] / counts
        within = (self.second - (means * counts).T @ means) / num_frames
        means -= self.first.sum(axis=0) / num_frames
        between = (means * counts).T @ means / num_frames
        variance = np.diagonal(within)
        constant = np.flatnonzero(variance <= ROUNDING * np.diagonal(self.second) / num_frames)
        scale = np.sqrt(np.maximum(variance, np.finfo(float).tiny))  # so that singular does not mean of small unit
        unit = within / np.outer(scale, scale)
        if len(constant) or np.linalg.eigvalsh(unit)[0] < MIN_EIGENVALUE:
            which = f"dimension {constant[0]}" if len(constant) else "some direction"
            raise IsoglossError(
                f"{num_frames:.0f} frames of {num_classes} classes do not vary within a class in {which} of {len(within)}, so "
                "LDA is not defined: are there too few frames, or is a dimension constant or there twice?"
            )
        _, vectors = scipy.linalg.eigh(between / np.outer(scale, scale), unit)  # eigenvalues ascend
        transform = vectors[:, ::-1][:, :dim].T / scale
        largest = np.abs(transform).argmax(axis=1)
        return np.asarray(transform * np.sign(transform[np.arange(dim), largest])[:, None])
