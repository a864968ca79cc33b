"""M_e: the shared frame-level encoder of the extended TDNN."""

from __future__ import annotations

from torch import Tensor, nn

from isogloss.nn.tdnn import TDNNLayer
from isogloss.types import IsoglossError

CONTEXTS: dict[str, tuple[int, ...]] = {
    "tdnn1": (-2, -1, 0, 1, 2),
    "ex1": (0,),
    "tdnn2": (-2, 0, 2),
    "ex2": (0,),
    "tdnn3": (-3, 0, 3),
    "ex3": (0,),
    "ex4": (-4, 0, 4),
    "ex5": (0,),
    "tdnn4": (0,),
}
"""Layer → the frames it sees, relative to its own; together ±11 frames."""


class ETDNN(nn.Module):
    """The frame-level encoder M_e, tdnn1 … tdnn4: T frames in, T frames out, each seeing ±11 frames.

    Shape: features [B, T, D], mask [B, T] bool (True: a real frame) or None → [B, width, T].

    Whatever stands in the masked frames, NaN included, has no effect on the others.

    Errors: IsoglossError if the features have another number of dimensions than the encoder.
    Source: the paper's section 4.3 (E-TDNN of the OLR 2020 baseline); layer table of ASV-Subtools.
    """

    def __init__(self, feature_dim: int = 23, width: int = 512) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        in_dim = feature_dim
        for name, offsets in CONTEXTS.items():
            self.add_module(name, TDNNLayer(in_dim, width, offsets))
            in_dim = width

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        if features.dim() != 3 or features.shape[2] != self.feature_dim:
            raise IsoglossError(
                f"features of shape {list(features.shape)}; expected [batch, frames, {self.feature_dim}]: "
                "is the front end (MFCC, pitch) the one this network was trained with?"
            )
        x = features.transpose(1, 2)
        if mask is not None:
            x = x.masked_fill(~mask.unsqueeze(1), 0)
        for layer in self.children():
            x = layer(x, mask)
        return x
