"""What a chain of transforms is made of: an affine map, centring, length normalisation; [U, E] → [U, D].

A transform has `fit(embeddings, languages) -> itself`, `transform(embeddings)` and `state()` of plain arrays, from which
`from_state` makes one that transforms alike. Those that are estimated and affine (lda.py, whitening.py) come back as Affine.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from isogloss.backends.length_norm import check_embeddings, sqrt_dim_length, unit_length
from isogloss.types import IsoglossError


class Affine:
    """y = weight x + offset; weight [D, E], offset [D]. As it stands there is nothing to estimate."""

    kind = "affine"

    def __init__(self, weight: np.ndarray, offset: np.ndarray) -> None:
        self.weight = weight
        self.offset = offset

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> Affine:
        return self

    def transform(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, D] float64."""
        return check_embeddings(embeddings, self.weight.shape[1]) @ self.weight.T + self.offset

    def state(self) -> dict[str, np.ndarray]:
        return {"kind": np.array(self.kind), "weight": self.weight, "offset": self.offset}

    @staticmethod
    def from_state(state: dict[str, np.ndarray]) -> Affine:
        return Affine(state["weight"], state["offset"])


class Centre:
    """y = x − mean of what it was fitted on (Kaldi: ivector-mean, ivector-subtract-global-mean)."""

    kind = "centre"

    def __init__(self) -> None:
        self.mean = np.empty(0)  # [E]

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> Centre:
        x = check_embeddings(embeddings)
        if not len(x):
            raise IsoglossError("no embeddings to centre on; expected at least one")
        self.mean = x.mean(axis=0)
        return self

    def transform(self, embeddings: np.ndarray) -> np.ndarray:
        return check_embeddings(embeddings, len(self.mean)) - self.mean

    def state(self) -> dict[str, np.ndarray]:
        return {"kind": np.array(self.kind), "mean": self.mean}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Centre:
        centre = cls()
        centre.mean = state["mean"]
        return centre


class LengthNorm:
    """y = x / ‖x‖, times √E where `to` is "sqrt_dim" (Kaldi: ivector-normalize-length, --scaleup=false for "unit")."""

    kind = "length"

    def __init__(self, to: Literal["unit", "sqrt_dim"] = "unit") -> None:
        if to not in ("unit", "sqrt_dim"):
            raise IsoglossError(f"length normalisation to {to!r}; expected 'unit' or 'sqrt_dim'")
        self.to = to

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> LengthNorm:
        return self

    def transform(self, embeddings: np.ndarray) -> np.ndarray:
        """A zero row stays zero."""
        return (unit_length if self.to == "unit" else sqrt_dim_length)(check_embeddings(embeddings))

    def state(self) -> dict[str, np.ndarray]:
        return {"kind": np.array(self.kind), "to": np.array(self.to)}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> LengthNorm:
        return cls("unit" if str(state["to"]) == "unit" else "sqrt_dim")
