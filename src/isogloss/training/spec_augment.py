"""What is changed in the chunks of a batch before the network sees them: masks, vocal tract length, jitter.

A pure function of (seed, epoch, step), so that a resumed run sees the same batches. Labels stay: every frame keeps its place.

Source: Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", Interspeech 2019
(masks; no time warping, which the speed copies do); vocal tract length: `training/cepstral_warp.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from isogloss.config import FrontEndConfig, SpecAugmentConfig
from isogloss.training.cepstral_warp import warp_matrices

Augment = Callable[[Tensor, int, int, int], Tensor]
"""(features [B, T, D], seed, epoch, step) → [B, T, D]"""

NUM_WARPS = 41  # factors from 1 − warp to 1 + warp


def make(config: SpecAugmentConfig, front_end: FrontEndConfig) -> Augment | None:
    """The function that `config` describes, for frames of `front_end`; None where it changes nothing."""
    if not (config.time_masks or config.column_masks or config.warp or config.jitter):
        return None
    warps = None
    if config.warp:
        factors = np.linspace(1 - config.warp, 1 + config.warp, NUM_WARPS)
        warps = torch.from_numpy(warp_matrices(factors, front_end).astype(np.float32))

    def augment(features: Tensor, seed: int, epoch: int, step: int) -> Tensor:
        state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0]
        return spec_augment(features, torch.Generator().manual_seed(int(state)), config, warps)

    return augment


def spec_augment(
    features: Tensor, generator: torch.Generator, config: SpecAugmentConfig, warps: Tensor | None = None
) -> Tensor:
    """A changed copy of `features` [B, T, D]; `generator` is one of the CPU, `warps` [F, D, D] of `warp_matrices`.

    In this order: each chunk through one of the warps, jitter, masks. Masked values are 0, which after mean normalisation is
    the column's mean. Widths are drawn evenly from 0 … the configured one, places evenly from where the mask fits.
    """
    num_chunks, num_frames, dim = features.shape
    device = features.device
    if warps is not None:
        chosen = torch.randint(len(warps), (num_chunks,), generator=generator)
        features = features @ warps[chosen].to(device)
    if config.jitter:
        std = features.std(dim=(0, 1), correction=0)
        noise = torch.randn(features.shape, generator=generator).to(device)
        features = torch.addcmul(features, noise, config.jitter * std)
    masked = None
    for count, width, length, dim_of in (
        (config.time_masks, config.time_width, num_frames, 2),
        (config.column_masks, config.column_width, dim, 1),
    ):
        if count:
            runs = random_runs(num_chunks, count, width, length, generator).unsqueeze(dim_of)
            masked = runs if masked is None else masked | runs
    return features if masked is None else features.masked_fill(masked.to(device), 0)


def random_runs(num_chunks: int, count: int, width: int, length: int, generator: torch.Generator) -> Tensor:
    """[num_chunks, length] bool: in each row `count` runs of 0 … `width` places, drawn one by one; they may overlap."""
    widths = torch.randint(min(width, length) + 1, (num_chunks, count, 1), generator=generator)
    begins = (torch.rand((num_chunks, count, 1), generator=generator) * (length - widths + 1)).long()
    places = torch.arange(length)
    return ((places >= begins) & (places < begins + widths)).any(dim=1)
