"""The multi-task network: M_e shared, M_p for phonemes per frame, M_c for the language of the segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from isogloss.nn.encoder import Encoder
from isogloss.nn.etdnn import ETDNN
from isogloss.nn.frame_affine import frame_affine
from isogloss.nn.pooling import StatisticsPooling
from isogloss.nn.tdnn import TDNNLayer
from isogloss.types import Encoded, IsoglossError

EMBEDDING_KINDS = ("far", "near_affine", "near")
"""far: tdnn6's affine output, the default · near_affine: tdnn7's · near: tdnn7's after ReLU and batch norm."""


class PhoneBranch(nn.Module):
    """M_p: three frame-level layers and an affine. Shape: [B, in_dim, T], mask [B, T] → logits [B, T, num_pdfs]."""

    def __init__(self, in_dim: int, width: int, num_pdfs: int) -> None:
        super().__init__()
        self.tdnn5 = TDNNLayer(in_dim, width)
        self.tdnn6 = TDNNLayer(width, width)
        self.tdnn7 = TDNNLayer(width, width)
        self.output = nn.Linear(width, num_pdfs)
        nn.init.normal_(self.output.weight, std=0.01)  # as in ASV-Subtools
        nn.init.zeros_(self.output.bias)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.tdnn7(self.tdnn6(self.tdnn5(frames, mask), mask), mask)
        # Transposed before the widest layer, not after: the logits, the largest tensor of all, come out contiguous.
        x = x.transpose(1, 2)
        if self.training and x.device.type == "cpu":
            return frame_affine(x, self.output.weight.unsqueeze(2), self.output.bias)
        return self.output(x)


class LanguageBranch(nn.Module):
    """M_c without its output layer, which lives in the loss head: tdnn5, statistics pooling, tdnn6, tdnn7.

    Shape: [B, in_dim, T], mask [B, T] bool or None → [B, width], the embedding of the given kind.
    """

    def __init__(
        self, in_dim: int, width: int, pooled_dim: int, pooling: Callable[[int], nn.Module] = StatisticsPooling
    ) -> None:
        super().__init__()
        self.tdnn5 = TDNNLayer(in_dim, pooled_dim)
        self.pooling = pooling(pooled_dim)
        self.tdnn6 = TDNNLayer(2 * pooled_dim, width)
        self.tdnn7 = TDNNLayer(width, width)

    def forward(self, frames: Tensor, mask: Tensor | None = None, kind: str = "near") -> Tensor:
        return self.embedding(self.segment(frames, mask), kind)

    def segment(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, in_dim, T] → [B, 2·pooled_dim, 1], what every kind of embedding is made of."""
        pooled: Tensor = self.pooling(self.tdnn5(frames, mask), mask)
        return pooled.unsqueeze(2)

    def embedding(self, segment: Tensor, kind: str) -> Tensor:
        """[B, 2·pooled_dim, 1] → [B, width]."""
        if kind == "far":
            embedding = self.tdnn6.affine(segment)
        elif kind == "near_affine":
            embedding = self.tdnn7.affine(self.tdnn6(segment))
        elif kind == "near":
            embedding = self.tdnn7(self.tdnn6(segment))
        else:
            raise IsoglossError(f"embedding {kind!r}; expected one of {', '.join(EMBEDDING_KINDS)}")
        return embedding.squeeze(2)


class MultitaskNetwork(nn.Module):
    """E-TDNN x-vector with an optional phoneme branch (Figure 1 of the paper), or another encoder in the same place.

    Args:
        feature_dim: D, dimensions of a frame (20 MFCC + 3 pitch).
        num_pdfs: K, classes of the phoneme branch, read from the acoustic model's tree; None: single task, no M_p.
        width: channels of every layer and of the embedding; tdnn5 has 1500/512 of it. 512 is the paper's network:
            6,307,302 parameters with Softmax over ten languages, 7,868,361 with 1507 pdfs as well.
        encoder: `encoder(feature_dim, width)` makes M_e; one of `isogloss.nn.ENCODERS`, or any of that shape.
        pooling: `pooling(channels)` makes [B, channels, T], mask → [B, 2·channels]; one of `isogloss.nn.POOLINGS`.

    Shape: features [B, T, D], mask [B, T] bool (True: a real frame) or None → Encoded(embedding [B, width], which is
    "near", and phone_logits [B, T, K] or None). With a mask, padding never changes the result.
    """

    def __init__(
        self,
        feature_dim: int = 23,
        num_pdfs: int | None = None,
        width: int = 512,
        encoder: Callable[[int, int], Encoder] = ETDNN,
        pooling: Callable[[int], nn.Module] = StatisticsPooling,
    ) -> None:
        super().__init__()
        self.embedding_dim = width
        self.encoder = encoder(feature_dim, width)
        frame_dim = self.encoder.out_dim
        self.phone = PhoneBranch(frame_dim, width, num_pdfs) if num_pdfs is not None else None
        self.language = LanguageBranch(frame_dim, width, round(1500 * width / 512), pooling)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Encoded:
        frames = self.encoder(features, mask)
        # The later comes first in the backward pass, which is then rid of the logits before it needs room for tdnn5's frames.
        embedding = self.language(frames, mask)
        phone_logits = self.phone(frames, mask) if self.phone is not None else None
        return Encoded(embedding, phone_logits)

    def embed(self, features: Tensor, mask: Tensor | None = None, kind: str = "far") -> Tensor:
        """Embeddings [B, width] of features [B, T, D]; `kind` is one of EMBEDDING_KINDS. M_p is not computed."""
        return self.language(self.encoder(features, mask), mask, kind)

    def embed_long(self, features: Tensor, kind: str = "far", max_frames: int = 10_000) -> Tensor:
        """The embedding [width] of one utterance [T, D] of any length, in memory bounded by `max_frames`.

        A longer utterance is cut into the fewest pieces of equal length (± 1 frame) and their embeddings are averaged,
        weighted by length: as in ASV-Subtools, which cuts at 10,000 frames.
        """
        return self.embed_long_kinds(features, [kind], max_frames)[0]

    def embed_long_kinds(self, features: Tensor, kinds: Sequence[str], max_frames: int = 10_000) -> Tensor:
        """`embed_long` of several kinds, [kinds, width], for one pass of M_e."""
        num_frames = len(features)
        if num_frames == 0:
            raise IsoglossError(
                "an utterance of 0 frames has no embedding; expected at least one: was all of it dropped as silence?"
            )
        embeddings = features.new_zeros(len(kinds), self.embedding_dim)
        for piece in torch.tensor_split(features, -(-num_frames // max_frames)):
            segment = self.language.segment(self.encoder(piece.unsqueeze(0)))
            of_piece = torch.cat([self.language.embedding(segment, kind) for kind in kinds])
            embeddings = embeddings + of_piece * (len(piece) / num_frames)
        return embeddings


class Embedder(nn.Module):
    """What is left of a network after training: M_e and M_c up to the embedding, as a module to export.

    Shape: features [B, T, D] → [B, width], for any B and T. The phoneme branch is left out.
    """

    def __init__(self, network: MultitaskNetwork, kind: str = "far") -> None:
        super().__init__()
        self.encoder, self.language, self.kind = network.encoder, network.language, kind

    def forward(self, features: Tensor) -> Tensor:
        return self.language(self.encoder(features), kind=self.kind)
