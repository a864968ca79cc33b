"""ReLU and batch normalisation in one, in training: what is kept for the gradient is the result, and nothing else."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from isogloss.nn.global_norm import GlobalBatchNorm1d, move_running_statistics, of_everyone, statistics_of_all
from isogloss.types import IsoglossError

SUMMED = {torch.bfloat16: 2048}  # rows summed at a time; 128 in types that have digits to lose
CACHED = 2048  # rows at a time that stay in the cache
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # bytes of a number → the integers that are its bits


def relu_norm(z: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """norm(relu(z)) for a `norm` in training, without scale and shift; its running statistics move as if it were called.

    Shape: z [N, C], which is overwritten → [N, C]. Once differentiable. Over all processes' rows for a GlobalBatchNorm1d; any
    other subclass is itself called.

    Errors: IsoglossError for a single row, which has no variance.
    """
    together = type(norm) is GlobalBatchNorm1d
    if type(norm) is not nn.BatchNorm1d and not together:
        out: Tensor = norm(torch.relu(z))
        return out
    if len(z) < 2 and not together:
        raise IsoglossError(
            "batch normalisation over a single value per channel; expected 2 at least: "
            "train on larger batches, or call network.eval() to use the network"
        )
    out = _ReluNorm.apply(z, norm, together)
    return out


class _ReluNorm(torch.autograd.Function):
    """y = (relu(z) − mean)/sqrt(variance + eps). y says all: z ≤ 0 where it is least, and x̂ of the gradient is y."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, norm: nn.BatchNorm1d, together: bool) -> Tensor:
        mean, variance = _relu_and_statistics(z)
        count: Tensor | int = len(z)
        if together:
            mean, variance, count = statistics_of_all(mean, variance, len(z))
        move_running_statistics(norm, mean, variance, count)
        y, ctx.eps, ctx.count, ctx.together = z.detach(), norm.eps, count, together
        unused = mean.new_empty(2, 0)  # for statistics, which the kernel has no need to write here
        # in place: a second tensor of this size for every layer would be half of all memory
        torch.native_batch_norm(y, None, None, mean, variance, False, 0.0, norm.eps, out=(y, *unused))
        least = F.batch_norm(torch.zeros_like(z[:1]), mean, variance, eps=norm.eps)  # [1, C]: bit for bit what 0 became
        ctx.save_for_backward(y, least, variance)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """With g the gradient: (g − mean(g) − y·mean(g·y))/sqrt(variance + eps) where z > 0, means over all rows."""
        y, least, variance = ctx.saved_tensors
        gradient, one, zero = gradient.contiguous(), torch.ones_like(variance), torch.zeros_like(variance)
        # as the gradients of a scale and a shift nobody has, the sums of g·y and of g
        _, with_y, alone = torch.ops.aten.native_batch_norm_backward(
            gradient, y, one, zero, one, None, None, False, 0.0, [False, True, True]
        )
        sums = torch.stack([with_y, alone])
        if ctx.together:
            sums = of_everyone(sums).sum(dim=0)
        with_y, alone = sums / ctx.count
        with_y = with_y.neg_().to(y.dtype)
        of_z, bits = torch.empty_like(gradient), BITS[y.element_size()]
        for of_rows, g, rows in zip(of_z.split(CACHED), gradient.split(CACHED), y.split(CACHED), strict=True):
            normalised = F.batch_norm(torch.addcmul(g, rows, with_y), alone, variance, eps=ctx.eps)
            # 0 or 1 times the bits: in bf16 half the time of arithmetic, and masks of bool take torch many times as long
            alive = torch.ne(rows.view(bits), least.view(bits), out=torch.empty_like(rows, dtype=bits))
            torch.mul(normalised.view(bits), alive, out=of_rows.view(bits))
        return of_z, None, None


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
