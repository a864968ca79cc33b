"""Where a margin comes from: a constant, or the phoneme branch's confidence in the segment (eq. 12, 13).

Both are called with phoneme logits [B, T, K], and a mask where some frames are padding (a constant ignores them, None will
do), and return a `Margin`; `from_frames` is the same for logits already read by `phone_frames`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from isogloss.losses.checks import require_finite, require_one_of
from isogloss.losses.phone_frames import PhoneFrames, read_phone_frames
from isogloss.losses.snapshot import snapshot
from isogloss.types import IsoglossError

Statistic = Literal["mean_max_posterior", "sum_max_posterior", "mean_max_logit", "max_logit"]
Normalise = Literal["none", "batch_softmax", "batch_sum", "divide_by_frames", "running_mean"]

RUNNING_MOMENTUM = 0.1  # weight of the newest batch in running_mean

PRESETS: dict[str, dict[str, Any]] = {
    "literal": {"statistic": "mean_max_posterior", "normalise": "none", "target_mean": None},
    "literal_scaled": {"statistic": "mean_max_posterior", "normalise": "none", "target_mean": 0.002},
    "paper": {"statistic": "mean_max_posterior", "normalise": "batch_sum", "target_mean": None},
}
"""Readings of p as arguments of `PhonemeAwareMargin`. Table 1 lists p = 0.002, which eq. 13 cannot give (its floor is
1/K, and a moderate phoneme branch is near 0.3), but which is 1/512, one over the batch size: the mean of anything that
sums to one over the batch. `literal` is eq. 13 as printed (with β = 10 it warns), `literal_scaled` is eq. 13 rescaled
to the printed mean, `paper` sums to one over the batch. The last two agree at a batch of 500; in smaller batches
`paper` gives larger margins (β·p averages β/B)."""


@dataclass(frozen=True)
class Margin:
    """P_i = m + β·p_i (eq. 12) and what it is made of, for logging. Shapes [B]; a constant has total [] and no p."""

    total: Tensor  # P_i; radians in the AAM form
    p: Tensor | None = None  # p_i as it enters eq. 12, after normalisation
    beta_p: Tensor | None = None  # β·p_i with warm-up, before max_margin: what Figure 2 shows


class ConstantMargin(nn.Module):
    """The same margin m for every sample (eq. 4, 6, 8), in the head's unit: cosine (AM), radians (AAM), factor (A).

    Errors: IsoglossError for an m that is not finite.
    """

    def __init__(self, m: float) -> None:
        super().__init__()
        require_finite(m=m)
        self.m = m

    def forward(self, phone_logits: Tensor | None = None, mask: Tensor | None = None) -> Margin:
        return self.from_frames(None)

    def from_frames(self, frames: PhoneFrames | None) -> Margin:
        return Margin(torch.tensor(float(self.m)))  # an m written 2 or 0 is an int


class PhonemeAwareMargin(nn.Module):
    """P_i = m + β·p_i (eq. 12), p_i from the phoneme branch's best posteriors, right or wrong (eq. 13).

    Args:
        m, beta: the paper has 0.2 and 10.
        statistic: s_i, per segment, of the logits z. mean_max_posterior: (1/T) Σ_t max_k softmax(z_t)_k, eq. 13;
            sum_max_posterior: the sum over t; mean_max_logit: (1/T) Σ_t max_k z_tk; max_logit: max over t and k.
        normalise: p_i from s_i. none: s_i; batch_softmax: softmax over the batch; batch_sum: s_i/Σ_j s_j;
            divide_by_frames: s_i/T; running_mean: s_i over a running mean of the batch means of s, about 1.
        target_mean: rescale p so that its mean is this in every batch, and the mean margin does not depend on the batch
            size. With running_mean it is a plain factor, so that it holds on average and confident batches stand out.
        detach: the language loss does not reach the phoneme branch through p; nor can it in the authors' toolkit.
        warmup_steps: β grows linearly from 0 over so many training calls; a random branch's p means nothing.
        max_margin: upper limit of P_i.

    Shape: phone_logits [B, T, K] of any float type, mask [B, T] bool, False where a frame is padding and no part of p, or None
    where none is → Margin of [B] float32.

    State (saved with the weights): `step`, training calls so far; `running_mean`. Neither moves in evaluation.

    Errors: IsoglossError for an unknown option, for a number that cannot be one, for an option that divides by a statistic
    that may be negative, and for what `read_phone_frames` finds.
    Warns if nothing keeps m + β·p below π, where the angle of the AAM form turns over.

    "Batch" is the tensor passed in. Under gradient accumulation or in several processes that is a part of the loss batch:
    set `whole_batch` to a function from the part's statistics [B] to those of the whole loss batch [N] (order is free), and
    p is what it would be in one piece, as are `step` and `running_mean` if they move once per loss batch.
    """

    step: Tensor
    running_mean: Tensor

    def __init__(
        self,
        m: float,
        beta: float,
        statistic: Statistic = "mean_max_posterior",
        normalise: Normalise = "none",
        target_mean: float | None = None,
        detach: bool = True,
        warmup_steps: int = 0,
        max_margin: float | None = None,
    ) -> None:
        super().__init__()
        require_one_of("statistic", statistic, get_args(Statistic))
        require_one_of("normalise", normalise, get_args(Normalise))
        require_finite(m=m, beta=beta, target_mean=target_mean, max_margin=max_margin)
        if warmup_steps < 0 or (target_mean is not None and target_mean <= 0):
            raise IsoglossError(
                f"warmup_steps {warmup_steps}, target_mean {target_mean}; expected 0 or more, and more than 0 or None: "
                "a constant margin has beta = 0, one that falls with the phoneme branch's confidence beta < 0"
            )
        scaled = target_mean is not None and normalise != "batch_softmax"
        if statistic.endswith("logit") and (scaled or normalise in ("batch_sum", "running_mean")):
            raise IsoglossError(
                f"statistic {statistic} with normalise {normalise}, target_mean {target_mean}; expected batch_softmax: "
                "a logit may be negative, so dividing by a mean can turn the sign of p. Or use a posterior statistic"
            )
        if normalise == "none" and target_mean is None and max_margin is None and m + beta > math.pi:
            warnings.warn(
                f"m + β·p can reach {m + beta:g}, past π = 3.14, where the angle of the AAM form turns over: eq. 13 as "
                "printed, with β = 10, does that. The presets paper and literal_scaled avoid it, as does a max_margin",
                stacklevel=2,
            )
        self.m, self.beta = m, beta
        self.statistic, self.normalise, self.target_mean = statistic, normalise, target_mean
        self.detach, self.warmup_steps, self.max_margin = detach, warmup_steps, max_margin
        self.whole_batch: Callable[[Tensor], Tensor] | None = None
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("running_mean", torch.zeros(()))

    def forward(self, phone_logits: Tensor | None = None, mask: Tensor | None = None) -> Margin:
        if phone_logits is None:
            return self.from_frames(None)
        return self.from_frames(read_phone_frames(phone_logits.detach() if self.detach else phone_logits, mask=mask))

    def from_frames(self, frames: PhoneFrames | None) -> Margin:
        if frames is None:
            raise IsoglossError(
                "a phoneme-aware margin without phoneme logits; expected [batch, frames, pdfs]: is the network "
                "single-task? Give it num_pdfs (and pdf labels), or use a constant margin (beta = 0)"
            )
        own = self._segment_statistic(frames)
        if self.detach:
            own = own.detach()
        whole = own if self.whole_batch is None else self.whole_batch(own)
        p = self._normalise(own, whole)
        beta_p = self.beta * p
        if self.warmup_steps:
            beta_p = beta_p * (snapshot(self.step) / self.warmup_steps).clamp(max=1)
        if self.training:
            self.step += 1
        total = self.m + beta_p  # eq. 12
        if self.max_margin is not None:
            total = total.clamp(max=self.max_margin)
        return Margin(total, p, beta_p)

    def _segment_statistic(self, frames: PhoneFrames) -> Tensor:
        """s_i of every segment, [B]; s_i/T where that is the normalisation, for T is the segment's own."""
        mask, of_frame = frames.mask, frames.max_logit
        num_frames: int | Tensor = of_frame.shape[1] if mask is None else mask.sum(dim=1)
        if self.statistic == "max_logit":
            statistic = (of_frame if mask is None else of_frame.masked_fill(~mask, -math.inf)).amax(dim=1)
        else:
            if self.statistic != "mean_max_logit":
                of_frame = torch.exp(of_frame - frames.log_sum_exp)  # max_k softmax(z_t)_k, [B, T]
            statistic = (of_frame if mask is None else of_frame.masked_fill(~mask, 0)).sum(dim=1)
            if self.statistic != "sum_max_posterior":
                statistic = statistic / num_frames  # eq. 13
        return statistic / num_frames if self.normalise == "divide_by_frames" else statistic

    @property
    def reads_whole_batch(self) -> bool:
        """True if a sample's p depends on the others of its batch."""
        return self.normalise in ("batch_softmax", "batch_sum", "running_mean") or self.target_mean is not None

    def _normalise(self, own: Tensor, whole: Tensor) -> Tensor:
        """p_i of the own samples, [B], from their statistics [B] and those of the whole batch [N]."""
        if self.normalise == "running_mean":
            factor = 1.0 if self.target_mean is None else self.target_mean
            return own * (factor / self._update_running_mean(whole.detach().mean()))
        if self.normalise == "batch_softmax":
            log_sum = whole.logsumexp(dim=0)
            own, whole = torch.exp(own - log_sum), torch.exp(whole - log_sum)
        elif self.normalise == "batch_sum":
            total = whole.sum()
            own, whole = own / total, whole / total
        if self.target_mean is not None:
            own = own * (self.target_mean / whole.mean())
        return own

    def _update_running_mean(self, batch_mean: Tensor) -> Tensor:
        """The running mean, this batch included while training; the batch's own before the first training call."""
        before, is_first = snapshot(self.running_mean), snapshot(self.step) == 0
        moved = torch.where(is_first, batch_mean, before + RUNNING_MOMENTUM * (batch_mean - before))
        if self.training:
            self.running_mean.view(1).copy_(moved)  # compiled, torch 2.13 loses what is done to a float64 scalar
            return moved
        return torch.where(is_first, batch_mean, before)
