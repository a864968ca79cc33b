"""ReLU and batch normalisation in one, in training: only the result is kept for the gradient, half of what two layers keep."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from isogloss.types import IsoglossError

ROWS = 2048  # at a time: they stay in the cache


def relu_norm(z: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """norm(relu(z)) for a `norm` in training, without scale and shift; its running statistics move as if it were called.

    Shape: z [N, C] → [N, C]. Once differentiable. A subclass of BatchNorm1d, such as one over several processes, is called.

    Errors: IsoglossError for a single row, which has no variance.
    """
    if type(norm) is not nn.BatchNorm1d or norm.running_mean is None or norm.num_batches_tracked is None:
        out: Tensor = norm(torch.relu(z))
        return out
    if len(z) < 2:
        raise IsoglossError(
            "batch normalisation over a single value per channel; expected 2 at least: "
            "train on larger batches, or call network.eval() to use the network"
        )
    norm.num_batches_tracked.add_(1)
    momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    out = _ReluNorm.apply(z, norm.running_mean, norm.running_var, momentum, norm.eps)
    return out


class _ReluNorm(torch.autograd.Function):
    """y = (relu(z) − mean)/sqrt(variance + eps). y says all: z ≤ 0 where it is least, and it is its own x̂ in the gradient."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
    ) -> Tensor:
        activation = torch.relu(z)
        mean, variance = torch.batch_norm_update_stats(activation, running_mean, running_var, momentum)
        y = F.batch_norm(activation, mean, variance, eps=eps)
        least = F.batch_norm(torch.zeros_like(activation[:1]), mean, variance, eps=eps)  # [1, C], bit for bit what 0 became
        ctx.save_for_backward(y, least, torch.rsqrt(variance + eps))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        y, least, scale = ctx.saved_tensors
        of_z, _, _ = torch.ops.aten.native_batch_norm_backward(
            gradient.contiguous(), y, scale, None, None, torch.zeros_like(scale), torch.ones_like(scale), True, 0.0,
            [True, False, False],
        )  # fmt: skip
        for of_rows, rows in zip(of_z.split(ROWS), y.split(ROWS), strict=True):
            # a factor of 0 or 1 in the gradient's own type: torch is many times slower with masks of bool
            of_rows.mul_(torch.gt(rows, least, out=torch.empty_like(rows)))
        return of_z, None, None, None, None
