"""Checks of what a loss is given, that neither break a compiled graph nor make the host wait for an accelerator."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from isogloss.types import IsoglossError

WHOLE_TYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32)


def require(holds: Tensor, expected: str, message: Callable[[], str]) -> None:
    """IsoglossError with `message()` unless the boolean scalar `holds` is true.

    Inside torch.compile and on a GPU looking at the value would end the graph, or stall the queue at every step. There
    the check is an assertion that runs with the other kernels: a RuntimeError that says `expected`, on a GPU at the
    next synchronisation.
    """
    if torch.compiler.is_compiling() or holds.device.type == "cuda":
        torch._assert_async(holds, expected)
    elif not bool(holds):
        raise IsoglossError(message())


def require_one_of(name: str, value: str, options: Collection[str]) -> None:
    """IsoglossError unless `value` is one of the options."""
    if value not in options:
        raise IsoglossError(f"{name} {value!r}; expected one of {', '.join(options)}")


def require_finite(**values: float | None) -> None:
    """IsoglossError for a number that is nan or infinite; None is no number, and passes."""
    for name, value in values.items():
        if value is not None and not abs(value) < math.inf:  # math.isfinite would break the graph of a compiled head
            raise IsoglossError(f"{name} {value}; expected a finite number: did a computation before it divide by 0?")


def whole_numbers(labels: Tensor, what: str) -> Tensor:
    """Labels of any integer type as int64; IsoglossError for anything else, lists and 0/1 masks included."""
    if not isinstance(labels, Tensor) or labels.dtype not in WHOLE_TYPES:
        given = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise IsoglossError(
            f"{what} labels of type {given}; expected a tensor of whole numbers: torch.as_tensor(labels).long() makes it"
        )
    return labels.to(torch.int64)


def checked_batch(embedding: Tensor, labels: Tensor, embedding_dim: int, num_languages: int) -> Tensor:
    """The labels as int64 [B], once embedding [B, E] and labels [B] are what a head can use.

    Errors: IsoglossError for other shapes, an empty batch, labels that are no whole numbers or outside [0, num_languages);
    the last is a RuntimeError where compiled or on a GPU, see `require`.
    """
    if embedding.dim() != 2 or embedding.shape[0] == 0 or embedding.shape[1] != embedding_dim:
        raise IsoglossError(
            f"embeddings of shape {list(embedding.shape)}; expected [batch, {embedding_dim}], one at least: was the head built "
            "for another embedding_dim, or are frames not pooled over time yet? Skip a batch that is empty"
        )
    labels = whole_numbers(labels, "language")
    if labels.shape != embedding.shape[:1]:
        raise IsoglossError(
            f"language labels of shape {list(labels.shape)} for {len(embedding)} embeddings; expected one each, "
            f"[{len(embedding)}]: squeeze(1) makes them of [batch, 1], argmax(1) of one-hot rows"
        )
    require(
        ((labels >= 0) & (labels < num_languages)).all(),
        f"expected language labels from 0 to {num_languages - 1}",
        lambda: (
            f"language labels from {int(labels.min())} to {int(labels.max())}; expected 0 to {num_languages - 1}: "
            "was the head built for another list of languages? An out-of-set utterance has no label to train on"
        ),
    )
    return labels
