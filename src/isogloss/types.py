"""The few nouns that cross a boundary between rooms. Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

OUT_OF_SET = "<out-of-set>"
"""The language of an utterance in none of the enrolled languages. A name, so that no index can stand for it by accident."""

IGNORE_PDF = -100
"""A frame without a phoneme label: left out of the phoneme loss (torch's own `ignore_index`)."""


class IsoglossError(Exception):
    """A problem the user can mend. Its one line says what was seen, what was expected, the likely cause and what to do."""


@dataclass(frozen=True)
class Batch:
    """What the network is trained on."""

    features: Tensor  # [B, T, D] float
    languages: Tensor  # [B] int64, index into the model's languages
    pdf_ids: Tensor | None = None  # [B, T] int64, IGNORE_PDF where there is no label


@dataclass(frozen=True)
class Encoded:
    """What the network makes of a batch."""

    embedding: Tensor  # [B, E], enters the language head
    phone_logits: Tensor | None = None  # [B, T, K], of M_p; None for a single-task network


@dataclass(frozen=True)
class Scores:
    """Log-likelihoods or log-posteriors (natural log) of every enrolled language for every utterance."""

    utterances: list[str]
    languages: list[str]
    loglik: np.ndarray  # [U, C] float64

    def __post_init__(self) -> None:
        expected = (len(self.utterances), len(self.languages))
        if self.loglik.shape != expected:
            raise IsoglossError(
                f"scores of shape {self.loglik.shape} for {expected[0]} utterances and {expected[1]} languages; "
                f"expected {expected}: do the score file and its index come from the same run?"
            )


Key = dict[str, str]
"""Utterance → its true language, or OUT_OF_SET."""
