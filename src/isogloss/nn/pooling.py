"""Statistics pooling: an utterance of any length becomes the mean and the standard deviation of its frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isogloss.types import IsoglossError

STD_FLOOR = 1e-5  # sqrt of the 1e-10 at which the variance is floored


def statistics_pooling(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean and std over time: std = sqrt(max(biased variance, 1e-10)).

    Shape: frames [B, C, T] of any float type, mask [B, T] bool or None → [B, 2·C] float32 (float64 for float64).

    Errors: IsoglossError for an utterance without one real frame.

    E[x²] − E[x]² is a little cheaper but cancels: a channel that is constant over the utterance (a dead ReLU after
    batch normalisation) would get std = |mean|·3e-4 of rounding noise instead of 1e-5. So the mean is subtracted first.
    It is subtracted without gradient, which is exact and not an approximation: the centred frames sum to zero, so
    the path through the mean contributes nothing to the derivative of the norm.
    """
    if frames.dtype in (torch.bfloat16, torch.float16):
        frames = frames.float()
    if mask is None:
        mean = frames.mean(dim=2)
        centred = frames - mean.detach().unsqueeze(2)
        root_count: Tensor | float = frames.shape[2] ** 0.5
    else:
        count = mask.sum(dim=1, keepdim=True)
        if bool((count == 0).any()):
            empty = int((count == 0).nonzero()[0, 0])
            raise IsoglossError(
                f"utterance {empty} of the batch has no real frame; expected at least one: "
                "did voice activity detection drop all of it? Leave such utterances out"
            )
        padding = ~mask.unsqueeze(1)
        mean = frames.masked_fill(padding, 0).sum(dim=2) / count
        centred = (frames - mean.detach().unsqueeze(2)).masked_fill(padding, 0)
        root_count = count.sqrt()
    std = (torch.linalg.vector_norm(centred, dim=2) / root_count).clamp_min(STD_FLOOR)
    return torch.cat([mean, std], dim=1)


class StatisticsPooling(nn.Module):
    """`statistics_pooling` in the shape of `isogloss.nn.POOLINGS`; without parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        return statistics_pooling(frames, mask)
