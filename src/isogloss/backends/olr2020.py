"""The AP20-OLR baseline's back end, fitted on the enrolment embeddings alone.

1. LDA, estimated on unit-length embeddings, applied to the embeddings as they are, 2. minus the enrolment mean,
3. unit length, 4. logistic regression; the scores are log-posteriors.
Source: AP20-OLR challenge plan (arXiv 2006.03473) and its baseline recipe, which keeps 100 LDA dimensions: only C − 1
are determined, so that is the default here. Two languages leave one dimension, where unit length keeps only the sign.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from isogloss.backends.chain import Chain
from isogloss.backends.lda import LDA
from isogloss.backends.logistic import LogisticRegression
from isogloss.backends.transforms import Affine, Centre, LengthNorm


class OLR2020(Chain):
    """lda_dim: "auto" (C − 1) or a number up to E. Saved as the chain that it is."""

    def __init__(self, lda_dim: int | Literal["auto"] = "auto") -> None:
        super().__init__([LDA(lda_dim, estimate_on_unit_length=True), Centre(), LengthNorm()], LogisticRegression())

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Chain:
        """From a file of version 0.1.0, which named the four parts."""
        centre = Centre()
        centre.mean = state["mean"]
        languages = state["languages"].tolist()
        logistic = LogisticRegression.from_weights(state["logistic_weight"], np.arange(len(languages)), languages)
        return Chain([Affine(state["lda_weight"], state["lda_offset"]), centre, LengthNorm()], logistic)
