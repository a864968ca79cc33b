"""cos(θ + P) without an arc cosine, and what becomes of it where θ + P leaves [0, π]."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Boundary = Literal["linear", "clamp", "easy", "none"]


def shifted_cosine(cosine: Tensor, margin: Tensor, boundary: Boundary) -> Tensor:
    """cos(θ + P) of eq. 16 for θ in [0, π], exact and with finite gradients everywhere, cos θ = ±1 and beyond included.

    Shape: cosine [B] and margin [B] (radians), float32 or float64 → [B].

    Beyond θ + P = π the cosine turns upward again and the loss would *reward* a larger angle. The rule says what then
    (for P < 0, a bonus, there is nothing to say, and all but easy are the cosine itself):

    * linear: cos θ − P·sin P, ArcFace's own. From P = 2.33 on that would begin above −1, the target's lowest so far, and
      past π it would be more than cos θ; there cos θ − 1 + cos P takes its place, which begins at −1, and cos θ − 2 from π on.
      It never rises with θ, and always has a gradient
    * clamp: −1, as if θ + P were π; it never rises with θ either, but the target logit has no gradient there
    * easy: cos θ wherever θ > π/2 (ArcFace's "easy margin"): a margin only for what is already roughly right;
      what remains beyond π, at θ ≤ π/2 for P > π/2, follows the cosine
    * none: the cosine itself, upward again
    """
    sine_squared = (1 - cosine) * (1 + cosine)
    # Only |c| ≥ 1 meets the floor, for an ulp below 1 − c² is eps. There d sin θ / dc is infinite, and the floor makes it 0.
    sine = sine_squared.clamp_min(torch.finfo(cosine.dtype).smallest_normal).sqrt()
    shifted = cosine * torch.cos(margin) - sine * torch.sin(margin)  # cos θ cos P − sin θ sin P = cos(θ + P)
    if boundary == "none":
        return shifted
    if boundary == "easy":
        return torch.where(cosine > 0, shifted, cosine)
    beyond = ((margin > 0) & (cosine < -torch.cos(margin))) | (margin >= math.pi)  # θ > π − P
    if boundary == "clamp":
        return torch.where(beyond, -torch.ones_like(shifted), shifted)
    up_to_pi = margin.clamp(max=math.pi)
    penalty = torch.maximum(up_to_pi * torch.sin(up_to_pi), 1 - torch.cos(up_to_pi))  # equal at 0 and 2.33
    return torch.where(beyond, cosine - penalty, shifted)
