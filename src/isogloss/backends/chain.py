"""A back end out of parts: transforms one after the other, a scorer last. Each is fitted on what those before it make.

    lda+centre+length+plda              lda(100)+length(sqrt_dim)+gaussian(relevance=4)

A name, a `+` between, in parentheses the arguments of the class: by place or by name, words without quotes.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

from isogloss.backends.cosine import Cosine
from isogloss.backends.gaussian import Gaussian
from isogloss.backends.lda import LDA
from isogloss.backends.logistic import LogisticRegression
from isogloss.backends.plda import PLDA
from isogloss.backends.transforms import Affine, Centre, LengthNorm
from isogloss.backends.whitening import WCCN, PCAWhitening
from isogloss.types import IsoglossError


class Transform(Protocol):
    """[U, E] → [U, D]."""

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> Any: ...

    def transform(self, embeddings: np.ndarray) -> np.ndarray: ...

    def state(self) -> dict[str, np.ndarray]: ...


class Scorer(Protocol):
    """A back end that is estimated."""

    @property
    def languages(self) -> list[str]: ...

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> Any: ...

    def loglik(self, embeddings: np.ndarray) -> np.ndarray: ...

    def state(self) -> dict[str, np.ndarray]: ...


TRANSFORMS: dict[str, Any] = {"lda": LDA, "wccn": WCCN, "pca": PCAWhitening, "centre": Centre, "length": LengthNorm}
SCORERS: dict[str, Any] = {"cosine": Cosine, "plda": PLDA, "gaussian": Gaussian, "logistic": LogisticRegression}
_SAVED: dict[str, Any] = {"affine": Affine, "centre": Centre, "length": LengthNorm}
"""Kind → class of a saved transform: one that was estimated and is affine is saved as what it came to."""


class Chain:
    """Transforms in their order, then a scorer. `Chain([LDA(), Centre(), LengthNorm()], PLDA()).fit(x, languages)`"""

    kind = "chain"

    def __init__(self, transforms: Sequence[Transform], scorer: Scorer) -> None:
        self.transforms = list(transforms)
        self.scorer = scorer

    @property
    def languages(self) -> list[str]:
        """The columns of `loglik`; empty before `fit`."""
        return self.scorer.languages

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> Chain:
        """From enrolment embeddings [U, E] and their languages. Raises IsoglossError as the parts do."""
        for transform in self.transforms:
            embeddings = transform.fit(embeddings, languages).transform(embeddings)
        self.scorer.fit(embeddings, languages)
        return self

    def transform(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, D], what the scorer is given."""
        for transform in self.transforms:
            embeddings = transform.transform(embeddings)
        return embeddings

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C], whatever the scorer gives."""
        return self.scorer.loglik(self.transform(embeddings))

    def state(self) -> dict[str, np.ndarray]:
        """The arrays of the parts as "0.kind", "0.weight", "1.kind", …"""
        state = {"kind": np.array(self.kind), "languages": np.array(self.languages)}
        parts: list[Transform | Scorer] = [*self.transforms, self.scorer]
        for place, part in enumerate(parts):
            state |= {f"{place}.{name}": array for name, array in part.state().items()}
        return state

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Chain:
        """The inverse of `state`. Raises KeyError for an array that is missing."""
        parts: dict[str, dict[str, np.ndarray]] = {}
        for key, array in state.items():
            place, dot, name = key.partition(".")
            if dot:
                parts.setdefault(place, {})[name] = array
        *transforms, scorer = (parts[str(place)] for place in range(max(len(parts), 1)))
        return Chain(
            [_SAVED[str(part["kind"])].from_state(part) for part in transforms],
            SCORERS[str(scorer["kind"])].from_state(scorer),
        )


def from_spec(spec: str, lda_dim: int | Literal["auto"] = "auto") -> Chain:
    """The unfitted chain that a text such as "lda+centre+length+plda" asks for; lda_dim is for an `lda` without dims.

    Raises IsoglossError for a part or an argument that does not exist, and where the order is wrong.
    """
    *transforms, scorer = _parts(spec)
    for (name, *_), known in [(part, TRANSFORMS) for part in transforms] + [(scorer, SCORERS)]:
        if name not in known:
            role = (
                "a transform" if known is TRANSFORMS else "the scorer, which comes last (olr2020 and head stand alone)"
            )
            raise IsoglossError(f"back end {spec!r}: {name!r} as {role}; expected one of {', '.join(known)}")
    return Chain([_made(spec, *part, lda_dim) for part in transforms], _made(spec, *scorer, lda_dim))


def _parts(spec: str) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """(name, arguments by place, arguments by name) of each part."""

    def parts(node: ast.expr) -> list[tuple[str, list[Any], dict[str, Any]]]:
        match node:
            case ast.BinOp(left, ast.Add(), right):
                return parts(left) + parts(right)
            case ast.Name(name):
                return [(name, [], {})]
            case ast.Call(ast.Name(name), arguments, keywords):
                return [(name, [value(v) for v in arguments], {str(k.arg): value(k.value) for k in keywords})]
        raise ValueError

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return {"true": True, "false": False, "none": None}.get(node.id, node.id)
        return ast.literal_eval(node)

    try:
        return parts(ast.parse(spec.strip(), mode="eval").body)
    except (SyntaxError, ValueError):
        raise IsoglossError(
            f"back end {spec!r} is not understood; expected parts joined by +, such as lda(100)+centre+length+plda"
        ) from None


def _made(spec: str, name: str, by_place: list[Any], by_name: dict[str, Any], lda_dim: int | Literal["auto"]) -> Any:
    if name == "lda" and not by_place and "dims" not in by_name:
        by_name = {"dims": lda_dim, **by_name}
    try:
        return {**TRANSFORMS, **SCORERS}[name](*by_place, **by_name)
    except TypeError as error:
        raise IsoglossError(f"back end {spec!r}: {name} does not take that ({error})") from None
