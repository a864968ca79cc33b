"""Whitening: WCCN makes the covariance within languages the identity, PCA whitening the total covariance.

    WCCN   B Bᵀ = W'⁻¹ (Cholesky),  y = Bᵀ x            W': see covariance.py
    PCA    T = V diag(d) Vᵀ,        y = diag(d)^−½ Vᵀ (x − mean), largest d first

Source: Hatch, Kajarekar, Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", 2006;
T = 1/U Σ_u (x_u − mean)(x_u − mean)ᵀ.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from isogloss.backends.covariance import NULL_SPACE, within_covariance
from isogloss.backends.lda import enrolled_languages
from isogloss.backends.length_norm import check_embeddings
from isogloss.backends.transforms import Affine
from isogloss.types import IsoglossError


class WCCN(Affine):
    """y = Bᵀ x, [U, E] → [U, E]."""

    def __init__(self, shrinkage: float = 0.1) -> None:
        super().__init__(np.empty((0, 0)), np.empty(0))
        self.shrinkage = shrinkage

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> WCCN:
        """Raises IsoglossError as `within_covariance` and `enrolled_languages` do."""
        x = check_embeddings(embeddings)
        _, index = enrolled_languages(languages, len(x))
        within = within_covariance(x, index, self.shrinkage)
        self.weight = np.linalg.cholesky(np.linalg.inv(within)).T
        self.offset = np.zeros(len(within))
        return self


class PCAWhitening(Affine):
    """[U, E] → [U, dims], uncorrelated, each of variance 1. dims: "auto" for all that the embeddings span, or a number."""

    def __init__(self, dims: int | Literal["auto"] = "auto") -> None:
        super().__init__(np.empty((0, 0)), np.empty(0))
        if dims != "auto" and dims < 1:
            raise IsoglossError(f"PCA to {dims} dimensions; expected 'auto' or at least 1")
        self.dims = dims

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> PCAWhitening:
        """Needs no languages. Raises IsoglossError for more dims than are spanned, or embeddings that do not vary."""
        x = check_embeddings(embeddings)
        mean = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
        centred = x - mean
        variance, axes = np.linalg.eigh(centred.T @ centred / max(len(x), 1))
        rounding = (100 * np.finfo(float).eps) ** 2 * (x**2).sum() / max(len(x), 1)
        num_spanned = int((variance > max(NULL_SPACE * variance[-1], rounding)).sum())
        dims = num_spanned if self.dims == "auto" else self.dims
        if not 0 < dims <= num_spanned:
            raise IsoglossError(
                f"PCA to {dims} dimensions, but {len(x)} embeddings of {x.shape[1]} dimensions span {num_spanned}; "
                "use 'auto', or more different utterances"
            )
        kept = slice(None, -dims - 1, -1)  # eigh sorts from the smallest
        self.weight = (axes[:, kept] / np.sqrt(variance[kept])).T
        self.weight *= np.sign(self.weight[np.arange(dims), np.abs(self.weight).argmax(axis=1)])[:, None]
        self.offset = -self.weight @ mean
        return self
