"""A margin that grows during training: large margins from the first step on can keep a network from starting to learn."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from isogloss.losses.checks import require_one_of
from isogloss.losses.margins import ConstantMargin, Margin, PhonemeAwareMargin
from isogloss.losses.phone_frames import PhoneFrames, read_phone_frames
from isogloss.losses.snapshot import snapshot
from isogloss.types import IsoglossError

Ramp = Literal["linear", "cosine"]


class ScheduledMargin(nn.Module):
    """r(n)·P, P another margin and r rising from 0 to 1: 0 for the first `start` training calls, 1 after `steps` more.

    Between them x = (n − start)/steps, and r = x (linear) or (1 − cos πx)/2 (cosine: a gentle start and end).

        margin = ScheduledMargin(0.2, steps=2000)
        loss = AMSoftmax(512, 10)(embedding, labels, margin().total)

    Args:
        margin: what it grows to: a number, a ConstantMargin or a PhonemeAwareMargin, whose m and β·p then grow together
            (its own `warmup_steps` is for β alone).

    Called as the margin it holds → Margin; what it reports as β·p is r·β·p.

    State (saved with the weights): `step`, training calls so far; it does not move in evaluation.

    Errors: IsoglossError for steps < 1, start < 0 and an unknown ramp. A-Softmax takes no scheduled margin: its m is a whole
    number, and λ-annealing is its schedule.
    """

    step: Tensor

    def __init__(
        self,
        margin: float | ConstantMargin | PhonemeAwareMargin,
        steps: int,
        start: int = 0,
        ramp: Ramp = "linear",
    ) -> None:
        super().__init__()
        if steps < 1 or start < 0:
            raise IsoglossError(f"a margin that rises over {steps} steps from step {start} on; expected ≥ 1 and ≥ 0")
        require_one_of("ramp", ramp, get_args(Ramp))
        self.margin = margin if isinstance(margin, nn.Module) else ConstantMargin(margin)
        self.steps, self.start, self.ramp = steps, start, ramp
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, phone_logits: Tensor | None = None, mask: Tensor | None = None) -> Margin:
        if phone_logits is None or isinstance(self.margin, ConstantMargin):
            return self.from_frames(None)
        phone_logits = phone_logits.detach() if self.margin.detach else phone_logits
        return self.from_frames(read_phone_frames(phone_logits, mask=mask))

    def from_frames(self, frames: PhoneFrames | None) -> Margin:
        full = self.margin.from_frames(frames)
        grown = self._grown()
        if self.training:
            self.step += 1
        return Margin(grown * full.total, full.p, None if full.beta_p is None else grown * full.beta_p)

    def _grown(self) -> Tensor:
        """r of the current step, a scalar in [0, 1]."""
        x = ((snapshot(self.step) - self.start) / self.steps).clamp(0, 1)
        return x if self.ramp == "linear" else (1 - torch.cos(math.pi * x)) / 2
