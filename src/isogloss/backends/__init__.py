"""From embeddings [U, E] to scores [U, C], arrays only. To add a scorer or transform: a file, and a line in chain.py."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from isogloss.backends.adaptation import adapt_plda, coral, coral_plus
from isogloss.backends.calibration import Calibration
from isogloss.backends.chain import SCORERS, TRANSFORMS, Chain, Scorer, from_spec
from isogloss.backends.cosine import Cosine
from isogloss.backends.fusion import Fusion
from isogloss.backends.gaussian import Gaussian
from isogloss.backends.head import Head
from isogloss.backends.lda import LDA
from isogloss.backends.length_norm import centred_unit_length, check_embeddings, sqrt_dim_length, unit_length
from isogloss.backends.logistic import LogisticRegression
from isogloss.backends.olr2020 import OLR2020
from isogloss.backends.open_set import OpenSet, certainty, choose_threshold
from isogloss.backends.plda import PLDA
from isogloss.backends.plda_model import PldaModel
from isogloss.backends.transforms import Affine, Centre, LengthNorm
from isogloss.backends.whitening import WCCN, PCAWhitening
from isogloss.types import IsoglossError

__all__ = [
    "BACKENDS",
    "LDA",
    "OLR2020",
    "PLDA",
    "TRANSFORMS",
    "WCCN",
    "Affine",
    "Backend",
    "Calibration",
    "Centre",
    "Chain",
    "Cosine",
    "Fusion",
    "Gaussian",
    "Head",
    "LengthNorm",
    "LogisticRegression",
    "OpenSet",
    "PCAWhitening",
    "PldaModel",
    "adapt_plda",
    "centred_unit_length",
    "certainty",
    "check_embeddings",
    "choose_threshold",
    "coral",
    "coral_plus",
    "load_backend",
    "make_backend",
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


BACKENDS: dict[str, Any] = {"olr2020": OLR2020, "head": Head, "chain": Chain, **SCORERS}
"""Kind → class, whose `from_state` loads what `state` saved."""


def make_backend(name: str, lda_dim: int | Literal["auto"] = "auto") -> Scorer:
    """An unfitted back end: "olr2020", a scorer such as "plda", or a chain such as "lda+centre+length+plda" (chain.py).

    lda_dim is for an LDA that states no dims. Raises IsoglossError for what there is not.
    """
    return OLR2020(lda_dim) if name == "olr2020" else from_spec(name, lda_dim)


def load_backend(state: dict[str, np.ndarray]) -> Backend:
    """The back end whose `state()` this is. Raises IsoglossError for an unknown kind or a missing array."""
    kind = str(state.get("kind", np.array("nothing")))
    if kind not in BACKENDS:
        raise IsoglossError(f"back end of kind {kind!r}; known are {', '.join(BACKENDS)}: made by a newer version?")
    try:
        return BACKENDS[kind].from_state(state)
    except KeyError as missing:
        raise IsoglossError(f"the {kind} back end lacks its array {missing}; was the file cut short?") from None
