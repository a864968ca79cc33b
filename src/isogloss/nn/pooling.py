"""Statistics pooling: an utterance of any length becomes the mean and the standard deviation of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from isogloss.types import IsoglossError

STD_FLOOR = 1e-5  # sqrt of the 1e-10 at which the variance is floored
CHUNK_ELEMENTS = {"cpu": 2**19, "cuda": 2**24}  # in float32 at a time: fits a CPU's cache; few GPU launches


def statistics_pooling(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean and std over time: std = sqrt(max(biased variance, 1e-10)).

    Shape: frames [B, C, T] of any float type, mask [B, T] bool or None → [B, 2·C] float32 (float64 for float64).

    Errors: IsoglossError for an utterance without one real frame.

    E[x²] − E[x]² is a little cheaper but cancels: a channel that is constant over the utterance (a dead ReLU after
    batch normalisation) would get std = |mean|·3e-4 of rounding noise instead of 1e-5. So the mean is subtracted first.
    """
    count: Tensor | int = frames.shape[2]
    if mask is not None:
        count = mask.sum(dim=1, keepdim=True)
        if bool((count == 0).any()):
            empty = int((count == 0).nonzero()[0, 0])
            raise IsoglossError(
                f"utterance {empty} of the batch has no real frame; expected at least one: "
                "did voice activity detection drop all of it? Leave such utterances out"
            )
    if torch.is_grad_enabled() and frames.requires_grad and not torch.jit.is_tracing():
        mean, variance = _Moments.apply(frames, mask, count)
    else:
        mean, variance = _moments(frames, mask, count)
    return torch.cat([mean, variance.clamp_min(STD_FLOOR**2).sqrt()], dim=1)


def _moments(frames: Tensor, mask: Tensor | None, count: Tensor | int) -> tuple[Tensor, Tensor]:
    """Mean [B, C] and variance [B, C], in float32 or wider."""
    x = frames.to(torch.promote_types(frames.dtype, torch.float32))
    if mask is not None:
        x = x.masked_fill(~mask.unsqueeze(1), 0)
    mean = x.sum(dim=2) / count
    centred = x - mean.unsqueeze(2)
    if mask is not None:
        centred = centred.masked_fill(~mask.unsqueeze(1), 0)
    return mean, centred.square().sum(dim=2) / count


class _Moments(torch.autograd.Function):
    """`_moments` of a few utterances at a time, in the gradient too: no float32 copy of all frames is made, nor any kept."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, mask: Tensor | None, count: Tensor | int) -> tuple[Tensor, Tensor]:
        parts = [_moments(*part) for part in _few(frames, mask, count)]
        mean, variance = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(frames, mask, mean)
        ctx.count = count
        return mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_variance: Tensor) -> tuple[Tensor, None, None]:
        frames, mask, mean = ctx.saved_tensors
        slope = of_variance * 2 / ctx.count
        # the mean's own derivative is not in it: the centred frames sum to zero
        shift, slope = (of_mean / ctx.count - mean * slope).unsqueeze(2), slope.unsqueeze(2)
        gradient = torch.empty_like(frames)
        start = 0
        for part in _few(frames, mask, ctx.count):
            rows = slice(start, start + len(part[0]))
            of_frames = torch.addcmul(shift[rows], part[0], slope[rows])
            gradient[rows] = of_frames if mask is None else of_frames.masked_fill_(~mask[rows].unsqueeze(1), 0)
            start = rows.stop
        return gradient, None, None


def _few(
    frames: Tensor, mask: Tensor | None, count: Tensor | int
) -> Iterator[tuple[Tensor, Tensor | None, Tensor | int]]:
    """frames, mask and count of a few utterances after the other."""
    num = max(1, CHUNK_ELEMENTS.get(frames.device.type, CHUNK_ELEMENTS["cuda"]) // frames[0].numel())
    for start in range(0, len(frames), num):
        rows = slice(start, start + num)
        yield frames[rows], None if mask is None else mask[rows], count if isinstance(count, int) else count[rows]


class StatisticsPooling(nn.Module):
    """`statistics_pooling` in the shape of `isogloss.nn.POOLINGS`; without parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        return statistics_pooling(frames, mask)
