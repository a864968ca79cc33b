"""cos(θ + P) without an arc cosine, and what becomes of it where θ + P leaves [0, π]."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Boundary = Literal["linear", "clamp", "easy", "none"]

SIN_SQUARED_FLOOR = 1e-7
"""One float32 step below cos θ = 1, 1 − c² is 1.2e-7: only c ≥ 1 meets the floor, where d sin θ / dc is infinite."""


def shifted_cosine(cosine: Tensor, margin: Tensor, boundary: Boundary) -> Tensor:
    """cos(θ + P) of eq. 16 for θ in [0, π], with finite gradients everywhere, cos θ = ±1 and beyond included.

    Shape: cosine [B] and margin [B] (radians), float32 or float64 → [B].

    Beyond θ + P = π the cosine turns upward again and the loss would *reward* a larger angle. The rule says what then
    (for P < 0, a bonus, there is nothing to say, and all but easy are the cosine itself):

    * linear: cos θ − P·sin P, ArcFace's own; falls with θ, but for P > 2.33 it starts above −1, so it is not monotone
    * clamp: −1, as if θ + P were π; monotone for every P, but the target logit has no gradient there
    * easy: cos θ wherever θ > π/2 (ArcFace's "easy margin"): a margin only for what is already roughly right;
      what remains beyond π, at θ ≤ π/2 for P > π/2, follows the cosine
    * none: the cosine itself, upward again
    """
    sine = ((1 - cosine) * (1 + cosine)).clamp_min(SIN_SQUARED_FLOOR).sqrt()
    shifted = cosine * torch.cos(margin) - sine * torch.sin(margin)  # cos θ cos P − sin θ sin P = cos(θ + P)
    if boundary == "none":
        return shifted
    if boundary == "easy":
        return torch.where(cosine > 0, shifted, cosine)
    beyond = ((margin > 0) & (cosine < -torch.cos(margin))) | (margin >= math.pi)  # θ > π − P
    if boundary == "clamp":
        return torch.where(beyond, -torch.ones_like(shifted), shifted)
    return torch.where(beyond, cosine - margin * torch.sin(margin), shifted)
