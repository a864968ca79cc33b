"""M_e of the x-vector: the E-TDNN without its extra layers."""

from __future__ import annotations

from typing import ClassVar

from isogloss.nn.etdnn import ETDNN


class XVector(ETDNN):
    """frame1 … frame4 of the x-vector network, each frame seeing ±7; its frame5 is tdnn5 of the language branch.

    With 24 filter banks, width 512 and statistics pooling, up to the embedding: the paper's 4.2 million parameters.

    Source: Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018, table 1.
    """

    contexts: ClassVar[dict[str, tuple[int, ...]]] = {
        "frame1": (-2, -1, 0, 1, 2),
        "frame2": (-2, 0, 2),
        "frame3": (-3, 0, 3),
        "frame4": (0,),
    }
