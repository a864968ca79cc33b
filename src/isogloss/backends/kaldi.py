"""Kaldi's own back-end models, to score with: PLDA, LDA and logistic regression, from their text form.

`ivector-copy-plda --binary=false`, `copy-matrix --binary=false` and `logistic-regression-copy --binary=false` write it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from isogloss.backends.logistic import LogisticRegression
from isogloss.backends.plda_model import PldaModel
from isogloss.backends.transforms import Affine
from isogloss.types import IsoglossError


def read_plda(path: str | Path) -> PldaModel:
    """<Plda> mean [E], transform [E, E], psi [E]."""
    mean, transform, psi = _arrays(path, "<Plda>", 3, "ivector-copy-plda")
    return PldaModel(mean.ravel(), transform, psi.ravel())


def read_lda(path: str | Path) -> Affine:
    """A matrix [D, E + 1] as of ivector-compute-lda, the offset in its last column."""
    (matrix,) = _arrays(path, "", 1, "copy-matrix")
    return Affine(matrix[:, :-1], matrix[:, -1])


def read_logistic(path: str | Path, languages: list[str]) -> LogisticRegression:
    """<LogisticRegression>; `languages` [C] in the order of the class numbers it was trained with."""
    weight, classes = _arrays(path, "<LogisticRegression>", 2, "logistic-regression-copy")
    return LogisticRegression.from_weights(weight, classes.ravel(), languages)


def _arrays(path: str | Path, token: str, count: int, command: str) -> list[np.ndarray]:
    """The bracketed blocks of numbers, each [rows, columns]."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise IsoglossError(f"{path}: cannot be read ({error.strerror}); expected a model that Kaldi wrote") from None
    if content.startswith(b"\0B"):
        raise IsoglossError(f"{path} is binary; expected text: {command} --binary=false {path} {path}.txt")
    text = content.decode("latin-1")
    blocks = re.findall(r"\[([^\[\]]*)\]", text)
    if not text.lstrip().startswith(token or "[") or len(blocks) != count:
        raise IsoglossError(
            f"{path}: {len(blocks)} arrays; expected {token} with {count}: is it the file that was meant?"
        )
    try:
        return [
            np.array([line.split() for line in block.splitlines() if line.split()], dtype=float) for block in blocks
        ]
    except ValueError:
        raise IsoglossError(f"{path}: rows of unequal length or no numbers; was it copied whole?") from None
