"""Cosine scoring: how near an embedding points to the mean of a language.

    score(x, l) = x̂ᵀ m̂_l,   m_l = mean of the x̂_u of l,   x̂ = x / ‖x‖

Source: Kaldi's ivector-mean by speaker, ivector-normalize-length, ivector-compute-dot-products. The scores lie in [−1, 1]
and are no log-likelihoods: calibrate them, or softmax calls every language about equally likely.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.covariance import class_means
from isogloss.backends.lda import enrolled_languages
from isogloss.backends.length_norm import check_embeddings, unit_length

PULL = 10.0
"""About what cosines are to be multiplied by to be log-likelihoods: where their calibration begins."""


class Cosine:
    """unit_length: False leaves every length as it is: the dot product with the mean."""

    kind = "cosine"

    def __init__(self, unit_length: bool = True) -> None:
        self.unit_length = unit_length
        self.languages: list[str] = []
        self.means = np.empty((0, 0))  # [C, E]

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> Cosine:
        """From enrolment embeddings [U, E] and their languages. A language of zero vectors scores 0."""
        x = self._scaled(check_embeddings(embeddings))
        self.languages, index = enrolled_languages(languages, len(x))
        self.means = self._scaled(class_means(x, index)[0])
        return self

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C] cosines (or dot products); 0 for a zero vector."""
        return self._scaled(check_embeddings(embeddings, self.means.shape[1])) @ self.means.T

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to score, as plain arrays."""
        return {
            "kind": np.array(self.kind),
            "languages": np.array(self.languages),
            "means": self.means,
            "unit_length": np.array(self.unit_length),
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Cosine:
        """The inverse of `state`."""
        backend = cls(bool(state["unit_length"]))
        backend.languages, backend.means = state["languages"].tolist(), state["means"]
        return backend

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return unit_length(x) if self.unit_length else x
