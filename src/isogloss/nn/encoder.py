"""What every frame-level encoder M_e is: frames in, as many frames of `out_dim` channels out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from isogloss.types import IsoglossError


class Encoder(nn.Module, ABC):
    """M_e: `SubClass(feature_dim, width)`; says how wide its frames are (`out_dim`) and computes them (`frames`).

    Shape: features [B, T, D], mask [B, T] bool (True: a real frame) or None → [B, out_dim, T]. As many frames out as in,
    which is what keeps phoneme labels on their frames.

    Whatever stands in the masked frames, NaN included, has no effect on the others; with a mask they come out as zeros.

    Errors: IsoglossError if the features have another number of dimensions than the encoder.
    """

    def __init__(self, feature_dim: int, out_dim: int) -> None:
        super().__init__()
        self.feature_dim, self.out_dim = feature_dim, out_dim

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        if features.dim() != 3 or features.shape[2] != self.feature_dim:
            raise IsoglossError(
                f"features of shape {list(features.shape)}; expected [batch, frames, {self.feature_dim}]: "
                "is the front end (MFCC, pitch) the one this network was trained with?"
            )
        x = features.transpose(1, 2)
        if mask is not None:
            x = x.masked_fill(~mask.unsqueeze(1), 0)
        return self.frames(x, mask)

    @abstractmethod
    def frames(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[B, D, T], zero where masked → [B, out_dim, T], zero where masked."""


def channels_in_groups(width: int, groups: int, encoder: str) -> int:
    """width / groups; IsoglossError if that is no whole number."""
    if width % groups:
        raise IsoglossError(
            f"width {width} for {encoder}, which cuts its channels in {groups}; expected a multiple of {groups}, "
            f"such as train.width={max(groups, round(width / groups) * groups)}"
        )
    return width // groups


def mean_over_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """[B, C, T], zero where masked → [B, C], over the real frames."""
    if mask is None:
        return x.mean(dim=2)
    return x.sum(dim=2) / mask.sum(dim=1, keepdim=True)
