"""Attentive statistics pooling: mean and standard deviation of the frames, each channel weighing frames in its own way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isogloss.nn.pooling import STD_FLOOR, statistics_pooling


class AttentiveStatisticsPooling(nn.Module):
    """μ = Σ_t α_t·h_t, σ = sqrt(max(Σ_t α_t·(h_t − μ)², 1e-10)), α = softmax_t(V tanh(W·[h_t; mean; std] + b) + c).

    mean and std are the plain statistics of the utterance, the context that tells a frame how unusual it is. α is a weight per
    frame and channel. V begins at zero, so that an untrained one is plain statistics pooling.

    Shape: frames [B, C, T] of any float type, mask [B, T] bool or None → [B, 2·C] float32 (float64 for float64).

    Softmax and statistics are computed in float32 also under autocast. As in `statistics_pooling` the variance's own mean is
    subtracted without gradient, which is exact: its derivative Σ α·(h − μ) is zero, with respect to α as well.

    Errors: IsoglossError for an utterance without one real frame.
    Source: Okabe et al., "Attentive statistics pooling for deep speaker embedding", Interspeech 2018; with channels and
    context as in Desplanques et al., "ECAPA-TDNN", Interspeech 2020, eq. 1-4.
    """

    def __init__(self, channels: int, bottleneck: int = 128) -> None:
        super().__init__()
        # W in two parts: the context enters once for each utterance, not once for each frame
        self.frame = nn.Linear(channels, bottleneck)
        self.context = nn.Linear(2 * channels, bottleneck, bias=False)
        self.score = nn.Linear(bottleneck, channels)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        if frames.dtype in (torch.bfloat16, torch.float16):
            frames = frames.float()
        statistics = statistics_pooling(frames, mask)
        if mask is not None:
            frames = frames.masked_fill(~mask.unsqueeze(1), 0)
        hidden = torch.tanh(self.frame(frames.transpose(1, 2)) + self.context(statistics).unsqueeze(1))  # [B, T, H]
        scores = self.score(hidden).transpose(1, 2).to(frames.dtype)  # [B, C, T]
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(dim=2)
        mean = (weights * frames).sum(dim=2)
        variance = (weights * (frames - mean.detach().unsqueeze(2)).square()).sum(dim=2)
        return torch.cat([mean, variance.clamp_min(STD_FLOOR**2).sqrt()], dim=1)
