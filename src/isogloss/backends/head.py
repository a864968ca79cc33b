"""The network's own language head as a back end: what it learnt in training, without enrolment.

    logits = scale · cos(W_l, x)    margin losses (the margin is off outside training)
    logits = W x + b                softmax

x is the near embedding [U, E], the one that enters the head. The scores are log softmax(logits); `cooled` divides the logits
by a temperature that was fitted on unheard utterances.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.length_norm import check_embeddings, unit_length
from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError


class Head:
    """weight [C, E] in the order of `languages`; bias [C] or None; cosine: weight rows and embeddings get unit length.

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
    ) -> None:
        self.languages = list(languages)
        self.weight = check_embeddings(weight)
        self.bias = np.zeros(len(self.weight)) if bias is None else np.asarray(bias, dtype=np.float64)
        self.scale = float(scale)
        self.cosine = bool(cosine)
        if len(self.languages) != len(self.weight) or self.bias.shape != (len(self.weight),):
            raise IsoglossError(
                f"a head of weight {self.weight.shape} and bias {self.bias.shape} for {len(self.languages)} languages; "
                "expected one row and one bias for each: is the language list this network's?"
            )

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] near embeddings → [U, C] log-posteriors, natural log."""
        x = check_embeddings(embeddings, self.weight.shape[1])
        cosine_or_dot = unit_length(x) @ unit_length(self.weight).T if self.cosine else x @ self.weight.T
        return log_softmax(self.scale * cosine_or_dot + self.bias)

    def cooled(self, temperature: float) -> Head:
        """The same head with its logits divided by `temperature`: as right as before, less sure above 1."""
        return Head(self.languages, self.weight, self.bias / temperature, self.scale / temperature, self.cosine)

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to score, as plain arrays (names as a unicode array: no pickle)."""
        return {
            "kind": np.array(self.kind),
            "languages": np.array(self.languages),
            "weight": self.weight,
            "bias": self.bias,
            "scale": np.array(self.scale),
            "cosine": np.array(self.cosine),
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Head:
        """The inverse of `state`."""
        languages = state["languages"].tolist()
        return cls(languages, state["weight"], state["bias"], float(state["scale"]), bool(state["cosine"]))
