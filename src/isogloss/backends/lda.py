"""Linear discriminant analysis: the directions in which languages differ most for how much each varies in itself.

    total   = 1/U Σ_u (x_u − mean)(x_u − mean)ᵀ
    between = 1/U Σ_l U_l (mean_l − mean)(mean_l − mean)ᵀ
    within  = total − between
    within' = f·total + (1 − f)·within                      f: total-covariance factor

Row i of the transform A is the i-th largest solution of A within' Aᵀ = 1, A between Aᵀ diagonal; y = A (x − mean).
Source: Kaldi ivector-compute-lda and ivector-transform, whose affine form and flooring of small eigenvalues are kept.
Only C − 1 of the directions are determined (between has rank C − 1); further ones are whitened but otherwise arbitrary.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from isogloss.backends.covariance import NULL_SPACE, class_means
from isogloss.backends.length_norm import check_embeddings, unit_length
from isogloss.backends.transforms import Affine
from isogloss.types import OUT_OF_SET, IsoglossError

EIGENVALUE_FLOOR = 1e-6
"""Of within', relative to its largest: Kaldi's --covariance-floor."""


class LDA(Affine):
    """y = weight x + offset, [U, E] → [U, dims].

    dims: "auto" is C − 1, every direction that is determined (fewer if the embeddings span less); or a number, at most
    what they span (the OLR recipe: 100). estimate_on_unit_length: another quirk of that recipe, whose LDA is estimated
    on embeddings of length 1 and applied to them as they are.
    """

    def __init__(
        self,
        dims: int | Literal["auto"] = "auto",
        total_covariance_factor: float = 0.1,
        estimate_on_unit_length: bool = False,
    ) -> None:
        super().__init__(np.empty((0, 0)), np.empty(0))  # [dims, E], [dims]
        if dims != "auto" and dims < 1:
            raise IsoglossError(f"LDA to {dims} dimensions; expected 'auto' or at least 1")
        if not 0 <= total_covariance_factor <= 1:
            raise IsoglossError(f"total-covariance factor {total_covariance_factor}; expected 0 to 1 (OLR has 0.1)")
        self.dims = dims
        self.total_covariance_factor = total_covariance_factor
        self.estimate_on_unit_length = estimate_on_unit_length

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> LDA:
        """Estimate from embeddings [U, E].

        Raises IsoglossError for fewer than two languages, more dims than are spanned, embeddings that do not vary.
        """
        x = check_embeddings(embeddings)
        if self.estimate_on_unit_length:
            x = unit_length(x)
        names, index = enrolled_languages(languages, len(x))
        mean = x.mean(axis=0)
        x = x - mean
        means, count = class_means(x, index)
        total = x.T @ x / len(x)
        between = (means * count[:, None]).T @ means / len(x)
        within = total - between
        factor = self.total_covariance_factor
        variance, axes = np.linalg.eigh(factor * total + (1 - factor) * within)
        # What is zero but for rounding would be blown up to directions that mean nothing.
        rounding = 100 * np.finfo(float).eps
        if total.trace() <= rounding**2 * (mean @ mean) or variance[-1] <= rounding * total.trace():
            raise IsoglossError(
                f"{len(x)} embeddings of {len(names)} languages do not vary within a language; LDA needs several "
                "different utterances of at least one: are the embeddings all the same?"
            )
        # The rest is left out: there Kaldi refuses, and an arbitrary direction would be noise made large.
        spanned = variance > NULL_SPACE * variance[-1]
        num_spanned = int(spanned.sum())
        dims = min(len(names) - 1, num_spanned) if self.dims == "auto" else self.dims
        if dims > num_spanned:
            raise IsoglossError(
                f"LDA to {dims} dimensions, but {len(x)} embeddings of {x.shape[1]} dimensions span {num_spanned}; "
                "use 'auto', or enrol more utterances"
            )
        floored = np.maximum(variance[spanned], EIGENVALUE_FLOOR * variance[-1])
        whiten = (axes[:, spanned] / np.sqrt(floored)).T  # [spanned, E]
        _, rotation = np.linalg.eigh(whiten @ between @ whiten.T)  # columns in ascending order
        weight = rotation[:, ::-1][:, :dims].T @ whiten
        # A direction has no sign of its own: the largest entry is made positive, so that every machine finds the same.
        largest = np.abs(weight).argmax(axis=1)
        self.weight = weight * np.sign(weight[np.arange(dims), largest])[:, None]
        self.offset = -self.weight @ mean
        return self


def enrolled_languages(languages: list[str], num_embeddings: int) -> tuple[list[str], np.ndarray]:
    """(the distinct names sorted, [U] index of each embedding's) or IsoglossError: what every `fit` begins with."""
    if len(languages) != num_embeddings:
        raise IsoglossError(f"{num_embeddings} embeddings but {len(languages)} languages; expected one for each")
    names, index = np.unique(languages, return_inverse=True)
    if len(names) < 2 or OUT_OF_SET in names:
        raise IsoglossError(
            f"enrolment of {', '.join(names.tolist()) or 'nothing'}; expected at least two languages, no {OUT_OF_SET}"
        )
    return names.tolist(), index
