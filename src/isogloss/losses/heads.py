"""The language output layer and its loss: Softmax, A-, AM- and AAM-Softmax, each fed its margin per call.

A head knows nothing of where a margin comes from; `margins` knows nothing of heads. Margins are computed in float32
with autocast off; loss and gradients are finite in float32, bfloat16 and float16 for every embedding, zero included.
All of it compiles as one graph (`torch.compile(head, fullgraph=True)`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isogloss.losses.boundary import Boundary, shifted_cosine
from isogloss.losses.checks import checked_batch, require, require_finite, require_one_of
from isogloss.losses.snapshot import snapshot
from isogloss.types import IsoglossError

MIN_NORM = 1e-3
"""A shorter embedding or class weight has no direction: 1/MIN_NORM bounds the gradient of x/‖x‖, in float16 too."""

MAX_ANGULAR_MARGIN = 8
"""Largest m of A-Softmax: a bound that is known beforehand keeps its cos(mθ) one graph. Its papers use 1 to 4."""


def unit_rows(x: Tensor) -> Tensor:
    """x/max(‖x‖, MIN_NORM) of every row of [N, E], also where ‖x‖² would overflow."""
    return F.normalize(x / _largest(x), eps=1.0)


def row_lengths(x: Tensor) -> Tensor:
    """‖x‖ of every row of [N, E], [N, 1], also where ‖x‖² would overflow."""
    return _largest(x) * torch.linalg.vector_norm(x / _largest(x), dim=1, keepdim=True)


def _largest(x: Tensor) -> Tensor:
    """A size to divide rows by, [N, 1]. Neither ‖x‖ nor x/‖x‖ depends on it, so it needs no gradient."""
    return x.detach().abs().amax(dim=1, keepdim=True).clamp_min(MIN_NORM)


def at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """The tensors in their widest common float type, float32 or wider."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


class Softmax(nn.Module):
    """Softmax cross-entropy on W_j·x + b_j (eq. 1); has no margin.

    Shape: embedding [B, E], labels [B] of any integer type → the mean loss over B, a float32 scalar.

    Errors: IsoglossError for a margin other than 0 or None, and for what `checked_batch` finds.
    """

    def __init__(self, embedding_dim: int, num_languages: int) -> None:
        super().__init__()
        self.num_languages = num_languages
        self.affine = nn.Linear(embedding_dim, num_languages)
        nn.init.normal_(self.affine.weight, std=0.01)  # as in ASV-Subtools
        nn.init.zeros_(self.affine.bias)

    def forward(self, embedding: Tensor, labels: Tensor, margin: float | Tensor | None = None) -> Tensor:
        if isinstance(margin, Tensor):
            require((margin == 0).all(), "Softmax: expected margin 0", lambda: self._no_margin(margin.abs().max()))
        elif margin:
            raise IsoglossError(self._no_margin(margin))
        labels = checked_batch(embedding, labels, self.affine.in_features, self.num_languages)
        return F.cross_entropy(self.logits(embedding), labels)

    def logits(self, embedding: Tensor) -> Tensor:
        """W_j·x + b_j, [B, C] float32."""
        with torch.autocast(embedding.device.type, enabled=False):
            x, weight, bias = at_least_float32(embedding, self.affine.weight, self.affine.bias)
            return F.linear(x, weight, bias)

    def _no_margin(self, margin: float | Tensor) -> str:
        return (
            f"margin {float(margin):g} for Softmax; expected 0, eq. 1 has no margin: use head am or aam, or set m to 0"
        )


class CosineHead(nn.Module, ABC):
    """What A-, AM- and AAM-Softmax share: cos θ_j between x and W_j, the target's replaced by φ(θ) (eq. 3, 5, 7, 14).

    A subclass gives `target_logit`, the φ of its paper, and may override `size`, the factor before all cosines.

    Args:
        num_subcentres: weights per language; cos θ_j is that of the nearest (Deng et al., "Sub-center ArcFace", ECCV
            2020), so that dialects and channels of a language, or its mislabelled clips, may lie apart. 1: none.

    `weight` is [C·num_subcentres, E], the rows of a language one after the other.

    Shape: embedding [B, E], labels [B] of any integer type, margin a number, [B], or None → the mean loss over B, a float32
    scalar. None is margin off, as in evaluation.

    Errors: IsoglossError for a margin of another shape, a number that is not finite, and for what `checked_batch` finds.
    """

    def __init__(self, embedding_dim: int, num_languages: int, scale: float = 30.0, num_subcentres: int = 1) -> None:
        super().__init__()
        if num_subcentres < 1:
            raise IsoglossError(f"num_subcentres {num_subcentres}; expected 1 (none) or more, 2 or 3 are usual")
        require_finite(scale=scale)
        if scale <= 0:
            raise IsoglossError(
                f"scale {scale:g}; expected more than 0: with less, the wrong language has the best score"
            )
        self.num_languages, self.num_subcentres = num_languages, num_subcentres
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_languages * num_subcentres, embedding_dim))
        nn.init.normal_(self.weight, std=0.01)  # as in ASV-Subtools; only the direction enters the loss

    def forward(self, embedding: Tensor, labels: Tensor, margin: float | Tensor | None = None) -> Tensor:
        labels = checked_batch(embedding, labels, self.weight.shape[1], self.num_languages)
        if margin is None:
            return F.cross_entropy(self.logits(embedding), labels)
        index = labels.unsqueeze(1)  # [B, 1]
        with torch.autocast(embedding.device.type, enabled=False):
            cosine = self.cosines(embedding)
            target = self.target_logit(cosine.gather(1, index).squeeze(1), _per_sample(margin, cosine))
            logits = self.size(embedding) * cosine.scatter(1, index, target.unsqueeze(1))
            return F.cross_entropy(logits, labels)

    def logits(self, embedding: Tensor) -> Tensor:
        """The logits without a margin, as in evaluation: [B, C] float32."""
        with torch.autocast(embedding.device.type, enabled=False):
            return self.size(embedding) * self.cosines(embedding)

    def cosines(self, embedding: Tensor) -> Tensor:
        """cos θ_j = W_j·x / (‖W_j‖ ‖x‖): [B, C], float32 or wider; may pass ±1 by one rounding step."""
        x, weight = at_least_float32(embedding, self.weight)
        cosine = F.linear(unit_rows(x), unit_rows(weight))
        if self.num_subcentres == 1:
            return cosine
        return cosine.view(len(x), self.num_languages, self.num_subcentres).amax(dim=2)

    @torch.no_grad()
    def class_cosine(self) -> float:
        """Mean cosine between the weights of two languages: −1/(C − 1) when they lie as far apart as they can, 1 in one heap.

        Two sub-centres of one language are no such pair.

        An angular margin costs nothing at θ = 0 and little at θ = π. Where the languages are hard to tell, all weights may
        therefore fall together, and every embedding onto them, or opposite: a loss just above log C that never moves again.
        """
        weight = unit_rows(at_least_float32(self.weight)[0])
        of_languages = weight.view(self.num_languages, self.num_subcentres, -1).sum(dim=1)
        pairs = self.num_languages * (self.num_languages - 1) * self.num_subcentres**2
        total = of_languages.sum(dim=0).square().sum() - of_languages.square().sum()  # Σ_i Σ_{j≠i} ⟨l_i, l_j⟩
        return (total / max(1, pairs)).item()

    def size(self, embedding: Tensor) -> Tensor | float:
        """The factor before the cosines: the scale s, a number or [B, 1]."""
        return self.scale

    @abstractmethod
    def target_logit(self, cosine: Tensor, margin: Tensor) -> Tensor:
        """φ(θ) of the target language, before the scale: cosine [B], margin [B] → [B]."""


def _per_sample(margin: float | Tensor, cosine: Tensor) -> Tensor:
    """The margin as [B], of the cosines' type and device."""
    if not isinstance(margin, Tensor):
        require_finite(margin=margin)
        return cosine.new_full((len(cosine),), margin)
    if margin.dim() > 1 or (margin.dim() == 1 and len(margin) != len(cosine)):
        raise IsoglossError(
            f"margin of shape {list(margin.shape)} for {len(cosine)} embeddings; expected a number or one per sample, "
            f"[{len(cosine)}]: was it made for another batch?"
        )
    return margin.to(cosine.device, cosine.dtype, non_blocking=True).expand(len(cosine))


class AMSoftmax(CosineHead):
    """Additive-margin Softmax: φ(θ) = cos θ − m (eq. 5, 6); with m = P_i per sample, APM-Softmax (eq. 14, 15).

    Args: scale is s. The paper does not give it; 30 is the authors' toolkit's. num_subcentres: see CosineHead.
    """

    def target_logit(self, cosine: Tensor, margin: Tensor) -> Tensor:
        return cosine - margin  # eq. 6, 15


class AAMSoftmax(CosineHead):
    """Additive-angular-margin Softmax: φ(θ) = cos(θ + m) (eq. 7, 8); with m = P_i per sample, APM-Softmax (eq. 16).

    Deviation: eq. 8 is printed cos θ + m, which would reward a wrong angle; the paper it cites (ArcFace) and eq. 16
    put m inside the cosine, and so does this.

    Args: scale and num_subcentres as in AMSoftmax; boundary: linear, clamp, easy or none, what to do beyond θ + P = π:
    `shifted_cosine`.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_languages: int,
        scale: float = 30.0,
        boundary: Boundary = "linear",
        num_subcentres: int = 1,
    ) -> None:
        super().__init__(embedding_dim, num_languages, scale, num_subcentres)
        require_one_of("boundary", boundary, get_args(Boundary))
        self.boundary = boundary

    def target_logit(self, cosine: Tensor, margin: Tensor) -> Tensor:
        return shifted_cosine(cosine, margin, self.boundary)  # eq. 8 corrected, 16


class ASoftmax(CosineHead):
    """Angular Softmax: φ(θ) = (−1)^k cos(mθ) − 2k for θ in [kπ/m, (k+1)π/m], times ‖x‖ (eq. 3, 4).

    The margin m is a whole number, 1 to 8, that multiplies the angle; 1 is no margin. Training starts near the plain
    cosine: the target is (λ cos θ + φ)/(1 + λ), λ = max(lambda_min, lambda_base/(1 + lambda_decay·step)), as in SphereFace
    (lambda_base = lambda_min = 0: no annealing). `step` counts training calls and is saved with the weights.

    Errors: IsoglossError for an m that is no such whole number, as a phoneme-aware or a scheduled margin never is.
    """

    step: Tensor

    def __init__(
        self,
        embedding_dim: int,
        num_languages: int,
        lambda_base: float = 1000.0,
        lambda_min: float = 5.0,
        lambda_decay: float = 0.12,
        num_subcentres: int = 1,
    ) -> None:
        super().__init__(embedding_dim, num_languages, num_subcentres=num_subcentres)
        self.lambda_base, self.lambda_min, self.lambda_decay = lambda_base, lambda_min, lambda_decay
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, embedding: Tensor, labels: Tensor, margin: float | Tensor | None = None) -> Tensor:
        loss = super().forward(embedding, labels, margin)
        if self.training:
            self.step += 1
        return loss

    def size(self, embedding: Tensor) -> Tensor:
        return row_lengths(at_least_float32(embedding)[0])

    def target_logit(self, cosine: Tensor, margin: Tensor) -> Tensor:
        require(
            ((margin >= 1) & (margin <= MAX_ANGULAR_MARGIN) & (margin == margin.round())).all(),
            f"A-Softmax: expected whole margins from 1 to {MAX_ANGULAR_MARGIN}",
            lambda: (
                f"margins from {float(margin.min()):g} to {float(margin.max()):g} for A-Softmax; expected a whole number "
                f"from 1 to {MAX_ANGULAR_MARGIN}, it multiplies the angle: set m to 2, 3 or 4, or use head am or aam for "
                "an additive margin"
            ),
        )
        # cos(mθ) as the Chebyshev polynomial T_m(cos θ): no arc cosine, so no infinite slope at cos θ = ±1.
        before, now = torch.ones_like(cosine), cosine
        multiple = cosine
        for order in range(2, MAX_ANGULAR_MARGIN + 1):
            before, now = now, 2 * cosine * now - before
            multiple = torch.where(margin == order, now, multiple)
        theta = torch.acos(cosine.detach().clamp(-1, 1))
        k = torch.minimum((margin * theta / torch.pi).floor(), margin - 1)
        phi = (1 - 2 * (k % 2)) * multiple - 2 * k  # eq. 4
        lam = (self.lambda_base / (1 + self.lambda_decay * snapshot(self.step))).clamp_min(self.lambda_min)
        return (lam * cosine + phi) / (1 + lam)
