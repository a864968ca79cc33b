"""The network's own language head as a back end: what it learnt in training, without enrolment.

    logits = scale · cos(W_l, x)    margin losses (the margin is off outside training)
    logits = W x + b                softmax

With sub-centres a language has several rows W_l, and the largest counts.

x is the near embedding [U, E], the one that enters the head. The scores are log softmax(logits), as sure as
on the training clips; `calibration.py` makes them fit unheard ones.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.length_norm import check_embeddings, unit_length
from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError


class Head:
    """weight [C, E] in the order of `languages`; bias [C] or None; cosine: weight rows and embeddings get unit length.

    num_subcentres K: weight is [C·K, E], the K rows of a language one after the other; its logit is the largest of theirs.
    A-Softmax keeps ‖x‖: give it unit-length weight rows and cosine=False.
    """

    kind = "head"

    def __init__(
        self,
        languages: list[str],
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        scale: float = 1.0,
        cosine: bool = False,
        num_subcentres: int = 1,
    ) -> None:
        self.languages = list(languages)
        self.weight = check_embeddings(weight)
        self.bias = np.zeros(len(self.languages)) if bias is None else np.asarray(bias, dtype=np.float64)
        self.scale = float(scale)
        self.cosine = bool(cosine)
        self.num_subcentres = int(num_subcentres)
        num_rows = len(self.languages) * self.num_subcentres
        if len(self.weight) != num_rows or self.bias.shape != (len(self.languages),):
            raise IsoglossError(
                f"a head of weight {self.weight.shape} and bias {self.bias.shape} for {len(self.languages)} languages; "
                f"expected {num_rows} rows ({self.num_subcentres} for each) and one bias for each: is the language list this "
                "network's?"
            )

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] near embeddings → [U, C] log-posteriors, natural log."""
        x = check_embeddings(embeddings, self.weight.shape[1])
        cosine_or_dot = unit_length(x) @ unit_length(self.weight).T if self.cosine else x @ self.weight.T
        if self.num_subcentres > 1:
            cosine_or_dot = cosine_or_dot.reshape(len(x), len(self.languages), self.num_subcentres).max(axis=2)
        return log_softmax(self.scale * cosine_or_dot + self.bias)

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to score, as plain arrays (names as a unicode array: no pickle)."""
        return {
            "kind": np.array(self.kind),
            "languages": np.array(self.languages),
            "weight": self.weight,
            "bias": self.bias,
            "scale": np.array(self.scale),
            "cosine": np.array(self.cosine),
            "num_subcentres": np.array(self.num_subcentres),
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Head:
        """The inverse of `state`."""
        languages = state["languages"].tolist()
        num_subcentres = int(state.get("num_subcentres", np.array(1)))  # files older than sub-centres lack it
        weight, bias, scale = state["weight"], state["bias"], float(state["scale"])
        return cls(languages, weight, bias, scale, bool(state["cosine"]), num_subcentres)
