"""What is changed in the chunks of a batch before the network sees them: masks over time and over columns.

A pure function of (seed, epoch, step), so that a resumed run sees the same batches. Labels stay: every frame keeps its place.

Source: Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", Interspeech 2019
(no time warping, which the speed copies do). Vocal tract length and jitter gained nothing and are gone: docs/log.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from isogloss.config import SpecAugmentConfig

Augment = Callable[[Tensor, int, int, int], Tensor]
"""(features [B, T, D], seed, epoch, step) → [B, T, D]"""


def make(config: SpecAugmentConfig) -> Augment | None:
    """The function that `config` describes; None where it changes nothing."""
    if not (config.time_masks or config.column_masks):
        return None

    def augment(features: Tensor, seed: int, epoch: int, step: int) -> Tensor:
        state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0]
        return spec_augment(features, torch.Generator().manual_seed(int(state)), config)

    return augment


def spec_augment(features: Tensor, generator: torch.Generator, config: SpecAugmentConfig) -> Tensor:
    """`features` [B, T, D] with masks; `generator` is one of the CPU.

    Masked values are 0, which after mean normalisation is the column's mean. Widths are drawn evenly from 0 … the configured
    one, places evenly from where the mask fits.
    """
    num_chunks, num_frames, dim = features.shape
    masked = None
    for count, width, length, dim_of in (
        (config.time_masks, config.time_width, num_frames, 2),
        (config.column_masks, config.column_width, dim, 1),
    ):
        if count:
            runs = random_runs(num_chunks, count, width, length, generator).unsqueeze(dim_of)
            masked = runs if masked is None else masked | runs
    return features if masked is None else features.masked_fill(masked.to(features.device), 0)


def random_runs(num_chunks: int, count: int, width: int, length: int, generator: torch.Generator) -> Tensor:
    """[num_chunks, length] bool: in each row `count` runs of 0 … `width` places, drawn one by one; they may overlap."""
    widths = torch.randint(min(width, length) + 1, (num_chunks, count, 1), generator=generator)
    begins = (torch.rand((num_chunks, count, 1), generator=generator) * (length - widths + 1)).long()
    places = torch.arange(length)
    return ((places >= begins) & (places < begins + widths)).any(dim=1)
