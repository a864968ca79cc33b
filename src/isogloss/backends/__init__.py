"""From embeddings [U, E] to scores [U, C], arrays only. To add one: a file like olr2020.py, and a line in BACKENDS."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from isogloss.backends.head import Head
from isogloss.backends.lda import LDA
from isogloss.backends.length_norm import centred_unit_length, check_embeddings, sqrt_dim_length, unit_length
from isogloss.backends.logistic import LogisticRegression
from isogloss.backends.olr2020 import OLR2020
from isogloss.backends.temperature import fit_temperature
from isogloss.types import IsoglossError

__all__ = [
    "BACKENDS",
    "LDA",
    "OLR2020",
    "Backend",
    "Head",
    "LogisticRegression",
    "centred_unit_length",
    "check_embeddings",
    "fit_temperature",
    "load_backend",
    "sqrt_dim_length",
    "unit_length",
]


class Backend(Protocol):
    """What scoring needs of a back end. One that is estimated also has `fit(embeddings, languages) -> itself`."""

    @property
    def languages(self) -> list[str]:
        """The columns of `loglik`."""

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C] log-posteriors or log-likelihoods, natural log."""

    def state(self) -> dict[str, np.ndarray]:
        """Plain arrays, "kind" among them, that `load_backend` makes the same back end of."""


BACKENDS: dict[str, type[OLR2020] | type[Head]] = {"olr2020": OLR2020, "head": Head}


def load_backend(state: dict[str, np.ndarray]) -> Backend:
    """The back end whose `state()` this is. Raises IsoglossError for an unknown kind or a missing array."""
    kind = str(state.get("kind", np.array("nothing")))
    if kind not in BACKENDS:
        raise IsoglossError(f"back end of kind {kind!r}; known are {', '.join(BACKENDS)}: made by a newer version?")
    try:
        return BACKENDS[kind].from_state(state)
    except KeyError as missing:
        raise IsoglossError(f"the {kind} back end lacks its array {missing}; was the file cut short?") from None
