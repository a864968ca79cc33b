"""M_e: the shared frame-level encoder of the extended TDNN."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from isogloss.nn.encoder import Encoder
from isogloss.nn.tdnn import TDNNLayer

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


class ETDNN(Encoder):
    """The frame-level encoder M_e, tdnn1 … tdnn4: T frames in, T frames out, each seeing ±11 frames; out_dim = width.

    Source: the paper's section 4.3 (E-TDNN of the OLR 2020 baseline); layer table of ASV-Subtools.
    """

    contexts: ClassVar[dict[str, tuple[int, ...]]] = CONTEXTS

    def __init__(self, feature_dim: int = 23, width: int = 512) -> None:
        super().__init__(feature_dim, width)
        in_dim = feature_dim
        for name, offsets in self.contexts.items():
            self.add_module(name, TDNNLayer(in_dim, width, offsets))
            in_dim = width

    def frames(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.children():
            x = layer(x, mask)
        return x
