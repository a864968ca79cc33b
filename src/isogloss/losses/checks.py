"""Checks of values in a tensor that neither break a compiled graph nor make the host wait for an accelerator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from isogloss.types import IsoglossError


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
