"""ReLU and batch normalisation in one, in training: what is kept for the gradient is the result, and nothing else."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from isogloss.types import IsoglossError

SUMMED = {torch.bfloat16: 512}  # rows summed at a time; 128 in types that have digits to lose
CACHED = 2048  # rows at a time that stay in the cache


def relu_norm(z: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """norm(relu(z)) for a `norm` in training, without scale and shift; its running statistics move as if it were called.

    Shape: z [N, C], which is overwritten → [N, C]. Once differentiable. A subclass, such as batch normalisation over several
    processes, is itself called.

    Errors: IsoglossError for a single row, which has no variance.
    """
    if type(norm) is not nn.BatchNorm1d or norm.num_batches_tracked is None:
        out: Tensor = norm(torch.relu(z))
        return out
    if len(z) < 2:
        raise IsoglossError(
            "batch normalisation over a single value per channel; expected 2 at least: "
            "train on larger batches, or call network.eval() to use the network"
        )
    norm.num_batches_tracked.add_(1)
    momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum  # None: a plain mean
    out = _ReluNorm.apply(z, norm.running_mean, norm.running_var, momentum, norm.eps)
    return out


class _ReluNorm(torch.autograd.Function):
    """y = (relu(z) − mean)/sqrt(variance + eps). y says all: z ≤ 0 where it is least, and x̂ of the gradient is y."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float) -> Tensor:
        mean, variance = _relu_and_statistics(z)
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * (len(z) / (len(z) - 1))).to(running_var.dtype), momentum)
        y = z.detach()
        for rows in y.split(
            CACHED
        ):  # in place: a second tensor of this size for every layer would be half of all memory
            rows.copy_(F.batch_norm(rows, mean, variance, eps=eps))
        least = F.batch_norm(torch.zeros_like(z[:1]), mean, variance, eps=eps)  # [1, C]: bit for bit what 0 became
        ctx.save_for_backward(y, least, torch.rsqrt(variance + eps))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        y, least, scale = ctx.saved_tensors
        of_z: Tensor = torch.ops.aten.native_batch_norm_backward(
            gradient.contiguous(), y, scale, None, None, torch.zeros_like(scale), torch.ones_like(scale), True, 0.0,
            [True, False, False],
        )[0]  # fmt: skip
        for of_rows, rows in zip(of_z.split(CACHED), y.split(CACHED), strict=True):
            # a factor of 0 or 1 in the gradient's own type: with masks of bool torch is many times slower
            of_rows.mul_(torch.gt(rows, least, out=torch.empty_like(rows)))
        return of_z, None, None, None, None


def _relu_and_statistics(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [C] and biased variance [C], in float32 or wider, of relu(z), which is left in z.

    Those of a few rows, and then of their means: the kernel adds one row after the other, which in float32 and over 50,000
    frames would cost two digits.
    """
    wide, step = torch.promote_types(z.dtype, torch.float32), SUMMED.get(z.dtype, 128)
    unused = torch.zeros(2, z.shape[1], dtype=wide)  # to update: without them the statistics of bf16 would be in bf16
    parts = [torch.batch_norm_update_stats(rows.relu_(), unused[0], unused[1], 0.0) for rows in z.split(step)]
    means, variances = (torch.stack(part) for part in zip(*parts, strict=True))  # [parts, C]
    share = torch.full((len(parts), 1), step / len(z), dtype=wide)
    share[-1] = 1 - step * (len(parts) - 1) / len(z)
    mean = (share * means).sum(dim=0)
    return mean, (share * (variances + (means - mean).square())).sum(dim=0)
