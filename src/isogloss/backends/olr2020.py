"""The AP20-OLR baseline's back end, fitted on the enrolment embeddings alone.

1. LDA, estimated on unit-length embeddings, applied to the embeddings as they are, 2. minus the enrolment mean,
3. unit length, 4. logistic regression; the scores are log-posteriors.
Source: AP20-OLR challenge plan (arXiv 2006.03473) and its baseline recipe, which keeps 100 LDA dimensions: only C − 1
are determined, so that is the default here. Two languages leave one dimension, where unit length keeps only the sign.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from isogloss.backends.lda import LDA
from isogloss.backends.length_norm import centred_unit_length, check_embeddings, unit_length
from isogloss.backends.logistic import LogisticRegression


class OLR2020:
    """lda_dim: "auto" (C − 1) or a number up to E."""

    kind = "olr2020"

    def __init__(self, lda_dim: int | Literal["auto"] = "auto") -> None:
        self.lda = LDA(lda_dim)
        self.mean = np.empty(0)  # [dims], of the enrolment set after LDA
        self.logistic = LogisticRegression()

    @property
    def languages(self) -> list[str]:
        """The enrolled languages, sorted: the columns of `loglik`. Empty before `fit`."""
        return self.logistic.languages

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> OLR2020:
        """From enrolment embeddings [U, E] and their languages. Raises IsoglossError as its parts do."""
        x = check_embeddings(embeddings)
        projected = self.lda.fit(unit_length(x), languages).transform(x)
        self.mean = projected.mean(axis=0)
        self.logistic.fit(centred_unit_length(projected, self.mean), languages)
        return self

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C] log-posteriors, natural log."""
        return self.logistic.loglik(centred_unit_length(self.lda.transform(embeddings), self.mean))

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to score, as plain arrays (names as unicode arrays: no pickle)."""
        return {
            "kind": np.array(self.kind),
            "languages": np.array(self.languages),
            "lda_weight": self.lda.weight,
            "lda_offset": self.lda.offset,
            "mean": self.mean,
            "logistic_weight": self.logistic.weight,
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> OLR2020:
        """The inverse of `state`."""
        backend = cls(lda_dim=len(state["lda_weight"]))
        backend.lda.weight, backend.lda.offset = state["lda_weight"], state["lda_offset"]
        backend.mean = state["mean"]
        backend.logistic.languages = state["languages"].tolist()
        backend.logistic.weight = state["logistic_weight"]
        return backend
