"""A Mandarin teacher: a small frame classifier trained on one language's phone times, then run over every language.

It stands where the paper has a GMM-HMM trained on THCHS-30: every frame of every language is named by the phones of
*one* language (Figure 3 of the paper, "virtual phonemes"). Labels that share symbols across languages would leak the
language into the phoneme task; one teacher's labels cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from isogloss.types import IGNORE_PDF, IsoglossError

WINDOW_FRAMES = 100
BATCH_WINDOWS = 64
CHANNELS = 128


class FrameClassifier(nn.Module):
    """Three convolutions that see ±8 frames. Shape: [B, T, D] → [B, T, K]."""

    def __init__(self, feature_dim: int, num_pdfs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = feature_dim
        for taps, dilation in ((5, 1), (3, 2), (3, 4)):
            layers += [
                nn.Conv1d(channels, CHANNELS, taps, dilation=dilation, padding=dilation * (taps // 2)),
                nn.ReLU(),
                nn.BatchNorm1d(CHANNELS),
            ]
            channels = CHANNELS
        self.layers = nn.Sequential(*layers, nn.Conv1d(CHANNELS, num_pdfs, 1))

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames.transpose(1, 2)).transpose(1, 2)


def train(
    utterances: Iterable[tuple[np.ndarray, np.ndarray]], num_pdfs: int, epochs: int, seed: int
) -> tuple[FrameClassifier, float]:
    """Fit on (frames [T, D], labels [T]) pairs; returns the classifier and its frame accuracy in the last epoch."""
    pairs = list(utterances)
    if not pairs:
        raise IsoglossError(
            "no labelled speech for the teacher; is phones.teacher_language a language of the corpus with phone times?"
        )
    frames = torch.from_numpy(np.concatenate([frames for frames, _ in pairs]).astype(np.float32))
    labels = torch.from_numpy(np.concatenate([labels for _, labels in pairs]).astype(np.int64))
    if len(frames) < WINDOW_FRAMES:
        raise IsoglossError(f"{len(frames)} labelled frames for the teacher; at least {WINDOW_FRAMES} are needed")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FrameClassifier(frames.shape[1], num_pdfs)
    generator = np.random.default_rng(seed)
    windows_per_epoch = len(frames) // WINDOW_FRAMES
    steps = epochs * max(1, windows_per_epoch // BATCH_WINDOWS)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=max(steps, 2))
    within = torch.arange(WINDOW_FRAMES)
    hits = total = 0.0
    for step in range(steps):
        starts = torch.from_numpy(generator.integers(0, len(frames) - WINDOW_FRAMES + 1, BATCH_WINDOWS))
        rows = starts[:, None] + within
        logits = model(frames[rows])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels[rows].flatten(), ignore_index=IGNORE_PDF)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step >= steps - steps // epochs:
            hits += float((logits.argmax(2) == labels[rows]).sum())
            total += float((labels[rows] != IGNORE_PDF).sum())
    return model.eval(), hits / max(total, 1.0)


@torch.no_grad()
def label(model: FrameClassifier, utterances: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """[T, D] frames → [T] int16, the likeliest pdf of every frame."""
    for frames in utterances:
        if not len(frames):
            yield np.empty(0, dtype=np.int16)
            continue
        yield model(torch.from_numpy(frames.astype(np.float32))[None])[0].argmax(1).numpy().astype(np.int16)
