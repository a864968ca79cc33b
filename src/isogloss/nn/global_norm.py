"""Batch normalisation over all processes: DDP leaves each with the statistics of its own samples.

torch.nn.SyncBatchNorm does this on GPUs only. Here the sums are exchanged with whatever backend the processes have, and
the passes over the activations are the kernels of plain batch normalisation, on CPU and GPU alike.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm1d whose batch statistics are those of all processes' samples together; all must call it together.

    Shape: [N, C] or [B, C, T], N and B as each process has them → the same. Buffers as in BatchNorm1d, equal everywhere.
    """

    def forward(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)
        if not self.training:
            return super().forward(x)
        normalised, mean, variance, count = cast(tuple[Tensor, ...], _Normalise.apply(x, self.eps))
        move_running_statistics(self, mean, variance, count)
        if self.weight is None:
            return normalised
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return normalised * self.weight.view(shape) + self.bias.view(shape)


def convert(module: ModuleT) -> ModuleT:
    """Turn every BatchNorm1d in `module` into a GlobalBatchNorm1d, in place; the names in its state stay."""
    for child in module.modules():
        if type(child) is nn.BatchNorm1d:
            child.__class__ = GlobalBatchNorm1d  # the same attributes; only forward differs
    return module


def statistics_of_all(mean: Tensor, variance: Tensor, count: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C] and biased variance [C] of each process's `count` samples → those of all samples, and how many these are []."""
    num_channels = len(mean)
    parts = of_everyone(torch.cat([mean, variance, mean.new_tensor([count])]))
    counts, means, variances = parts[:, -1:], parts[:, :num_channels], parts[:, num_channels:-1]
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total
    # between the processes + within them; E[x²] − E[x]² would cancel
    return mean, (counts * (variances + (means - mean) ** 2)).sum(dim=0) / total, total


def of_everyone(own: Tensor) -> Tensor:
    """[...] of each process → [processes, ...]. For a few numbers gloo does this in less than half the time of all_reduce."""
    everyone = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(everyone, own)
    return torch.stack(everyone)


@torch.no_grad()
def move_running_statistics(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: Tensor | int) -> None:
    """What a call of `norm` in training does to its buffers; mean [C], biased variance [C] of `count` samples."""
    momentum = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if momentum is None:  # a plain mean over the batches seen
            momentum = 1.0 / float(norm.num_batches_tracked)
    if norm.running_mean is not None and norm.running_var is not None:
        assert momentum is not None
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
        norm.running_var.lerp_((variance * (count / (count - 1))).to(norm.running_var.dtype), momentum)


class _Normalise(torch.autograd.Function):
    """x → (x − mean)/sqrt(variance + eps), mean [C], biased variance [C], count []; the last three without gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        num_channels, wide = x.shape[1], torch.promote_types(x.dtype, torch.float32)
        # float32 buffers to update make the kernel keep the statistics of bf16 input in float32
        scratch = torch.zeros(2, num_channels, dtype=wide, device=x.device)
        own = torch.batch_norm_update_stats(x, scratch[0], scratch[1], 0.0)
        mean, variance, count = statistics_of_all(*own, x.numel() / num_channels)
        normalised, _, _ = torch.native_batch_norm(x, None, None, mean, variance, False, 0.0, eps)
        ctx.save_for_backward(x, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        return normalised, mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None]:
        """With g the gradient and x̂ the output: (g − mean(g) − x̂·mean(g·x̂))/sqrt(variance + eps), means over all processes.

        Made of the kernel's evaluation passes, which are several times as fast in bf16 as its own backward pass.
        """
        x, mean, variance, count = ctx.saved_tensors
        gradient, eps = gradient.contiguous(), ctx.eps
        # as the gradients of a scale and a shift nobody has, the sums of g·x̂ and of g
        _, with_x, alone = torch.ops.aten.native_batch_norm_backward(
            gradient, x, torch.ones_like(mean), mean, variance, None, None, False, eps, [False, True, True]
        )
        with_x, alone = of_everyone(torch.stack([with_x, alone])).sum(dim=0) / count
        scale = with_x * torch.rsqrt(variance + eps)
        centred = torch.native_batch_norm(gradient, None, None, alone, variance, False, 0.0, eps)[0]
        of_x = torch.native_batch_norm(x, scale, None, mean, variance, False, 0.0, eps)[0]
        return centred.sub_(of_x), None
