"""The value of a counter or running mean at this call, safe in a compiled graph."""

from __future__ import annotations

import torch
from torch import Tensor


def snapshot(buffer: Tensor) -> Tensor:
    """`buffer` as it is now, whatever is done to it in place later in the same call.

    A compiled backward pass may compute anew, from the buffer, what the forward pass made of it; by then the buffer has
    moved on, and the gradients are those of the next step (seen with torch 2.13, in silence with inductor). What an
    opaque operator returned has to be kept instead.
    """
    return _copy(buffer) if torch.compiler.is_compiling() else buffer


@torch.library.custom_op("isogloss::snapshot", mutates_args=())
def _copy(buffer: Tensor) -> Tensor:
    return buffer.clone()


@_copy.register_fake
def _(buffer: Tensor) -> Tensor:
    return torch.empty_like(buffer)
