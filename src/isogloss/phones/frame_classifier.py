"""A frame classifier and its training: frames in, one phone class per frame out, a few dilated convolutions between.

Source: Waibel et al., "Phoneme recognition using time-delay neural networks", IEEE Trans. ASSP 37(3), 1989; dilation as in
Peddinti et al., "A time delay neural network architecture for efficient modeling of long temporal contexts", Interspeech 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from isogloss.types import IGNORE_PDF, IsoglossError

WINDOW_FRAMES = 100
BATCH_WINDOWS = 64
CHANNELS = 128
CONTEXT = ((5, 1), (3, 2), (3, 4))  # (taps, dilation) of each convolution: ±8 frames


class FrameClassifier(nn.Module):
    """Convolution → ReLU → BatchNorm (→ dropout) for each of `context`, then a linear layer. Shape: [B, T, D] → [B, T, K]."""

    def __init__(
        self,
        feature_dim: int,
        num_pdfs: int,
        channels: int = CHANNELS,
        context: Sequence[tuple[int, int]] = CONTEXT,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = feature_dim
        for taps, dilation in context:
            layers += [
                nn.Conv1d(width, channels, taps, dilation=dilation, padding=dilation * (taps // 2)),
                nn.ReLU(),
                nn.BatchNorm1d(channels),
            ]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = channels
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, num_pdfs, 1))

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames.transpose(1, 2)).transpose(1, 2)


@dataclass(frozen=True)
class Fit:
    """How the training went."""

    accuracy: float  # share of the last epoch's labelled frames that were classified right
    losses: list[float]  # mean cross-entropy in nats of every epoch


def fit(
    model: FrameClassifier,
    frames: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    seed: int,
    *,
    learning_rate: float = 3e-3,
    window_frames: int = WINDOW_FRAMES,
    batch_windows: int = BATCH_WINDOWS,
) -> Fit:
    """Train `model` on random windows of frames [N, D] (utterances joined) and labels [N]; IGNORE_PDF frames teach nothing.

    AdamW under a one-cycle schedule; the model is left in evaluation mode. The same seed gives the same model. The caller
    has checked that there are at least `window_frames` frames.
    """
    if len(frames) < window_frames:
        raise IsoglossError(f"{len(frames)} labelled frames to train on; at least {window_frames} are needed")
    all_frames = torch.from_numpy(frames)
    all_labels = torch.from_numpy(labels.astype(np.int64))
    generator = np.random.default_rng(seed)
    steps_per_epoch = max(1, len(frames) // window_frames // batch_windows)
    steps = epochs * steps_per_epoch
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=learning_rate, total_steps=max(steps, 2))
    within = torch.arange(window_frames)
    losses: list[float] = []
    model.train()
    with torch.random.fork_rng(devices=[]):  # dropout
        torch.manual_seed(seed)
        for _ in range(epochs):
            hits = total = summed = 0.0
            for _ in range(steps_per_epoch):
                starts = torch.from_numpy(generator.integers(0, len(frames) - window_frames + 1, batch_windows))
                rows = starts[:, None] + within
                logits, wanted = model(all_frames[rows].float()), all_labels[rows]
                labelled = int((wanted != IGNORE_PDF).sum())
                loss = nn.functional.cross_entropy(
                    logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE_PDF, reduction="sum"
                ) / max(labelled, 1)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                hits += float((logits.argmax(2) == wanted).sum())
                total += labelled
                summed += float(loss.detach()) * labelled
            losses.append(summed / max(total, 1.0))
    model.eval()
    return Fit(hits / max(total, 1.0), losses)
