"""One pass over the phoneme logits for everything the losses need of them: L_p (eq. 11) and p (eq. 13)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isogloss.losses.checks import require, whole_numbers
from isogloss.losses.heads import at_least_float32
from isogloss.types import IsoglossError

CHUNK_ELEMENTS = {"cpu": 2**19, "cuda": 2**24}  # logits in float32 at a time: fits a CPU's cache; few GPU launches
LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class PhoneFrames:
    """Per frame, [B, T] float32, from logits z_k over K pdfs: the posterior of pdf k is exp(z_k − log_sum_exp)."""

    log_sum_exp: Tensor  # log Σ_k exp z_k
    max_logit: Tensor  # max_k z_k
    label_logit: Tensor  # z at the frame's label
    mask: Tensor | None = None  # [B, T] bool: the frames that are the segment's own and not padding; None: all


def read_phone_frames(phone_logits: Tensor, pdf_ids: Tensor | None = None, mask: Tensor | None = None) -> PhoneFrames:
    """Read the logits once, in float32, a few rows at a time, so that no float32 copy of them all is ever made.

    Shape: phone_logits [B, T, K] of any float type, pdf_ids [B, T] of any integer type, every value in [0, K) (the caller
    chooses what stands for a frame without a label), or None: class 0; mask [B, T] bool, or None → PhoneFrames of [B, T].

    Differentiable in the logits; exact, for log Σ exp is computed per frame. The gradient has the logits' type.

    Errors: IsoglossError for other shapes and types, and for a mask that leaves a segment no frame.
    """
    check_phone_logits(phone_logits)
    shape = phone_logits.shape[:2]
    if mask is not None:
        _check_mask(mask, shape)
    labels = phone_logits.new_zeros(shape, dtype=torch.int64) if pdf_ids is None else whole_numbers(pdf_ids, "pdf")
    flat = phone_logits.reshape(-1, phone_logits.shape[2])
    log_sum_exp, max_logit, label_logit = (part.view(shape) for part in _Rows.apply(flat, labels.reshape(-1)))
    return PhoneFrames(log_sum_exp, max_logit, label_logit, mask)


def check_phone_logits(phone_logits: Tensor) -> None:
    """IsoglossError unless they are [B, T, K] of a float type, with a value at least."""
    if phone_logits.dim() != 3 or phone_logits.numel() == 0 or not phone_logits.is_floating_point():
        raise IsoglossError(
            f"phoneme logits of shape {list(phone_logits.shape)} and type {phone_logits.dtype}; expected floats "
            "[batch, frames, pdfs], none of them 0: are they pooled over time already, or is the batch or a segment empty?"
        )


def _check_mask(mask: Tensor, shape: torch.Size) -> None:
    if mask.dtype != torch.bool or mask.shape != shape:
        raise IsoglossError(
            f"a mask of shape {list(mask.shape)} and type {mask.dtype} for {list(shape)} frames; expected bool, one per frame, "
            "False where it is padding: torch.arange(frames) < lengths[:, None] makes it of lengths"
        )
    require(
        mask.any(dim=1).all(),
        "expected a mask that leaves every segment a frame",
        lambda: (
            f"a mask that leaves segment {int((~mask.any(dim=1)).nonzero()[0])} no frame; expected one each at least: "
            "is its length 0, or True where it is padding? Leave such segments out, or invert the mask"
        ),
    )


class _Rows(torch.autograd.Function):
    """(logits [N, K], labels [N]) → log Σ exp, max and label logit, each [N]; keeps the logits, and no float32 copy."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        parts = []
        for rows, z in _chunks(logits):
            top = z.amax(dim=1, keepdim=True)
            log_sum_exp = _exp_of_difference(z, top).sum(dim=1).log_() + top.squeeze(1)
            label = z.gather(1, labels[rows, None])
            parts.append((log_sum_exp, top.squeeze(1), label.squeeze(1)))
        log_sum_exp, top, label = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(logits, labels, log_sum_exp, top)
        return log_sum_exp, top, label

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None]:
        logits, labels, log_sum_exp, top = ctx.saved_tensors
        from_sum, from_top, from_label = grads  # None where the loss does not use that output
        gradient = torch.empty_like(logits)
        for rows, z in _chunks(logits):
            if from_sum is not None:  # ∂ log Σ exp / ∂z = softmax
                out = _exp_of_difference(z, log_sum_exp[rows, None]).mul_(from_sum[rows, None])
            else:
                out = torch.zeros_like(z)
            if from_label is not None:
                out.scatter_add_(1, labels[rows, None], from_label[rows, None])
            if from_top is not None:  # pdfs that tie for the maximum share its gradient
                is_top = z == top[rows, None]
                out += is_top * (from_top[rows, None] / is_top.sum(dim=1, keepdim=True))
            gradient[rows] = out
        return gradient, None


def _exp_of_difference(z: Tensor, less: Tensor) -> Tensor:
    """exp(z − less). torch hands exp to MKL, which on AMD takes four times as long as torch's own exp2."""
    return (z - less).mul_(LOG2_E).exp2_()


def _chunks(logits: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of logits [N, K] a few at a time, in float32 or wider."""
    budget = CHUNK_ELEMENTS.get(logits.device.type, CHUNK_ELEMENTS["cuda"])
    step = max(1, budget // logits.shape[1])
    for start in range(0, len(logits), step):
        rows = slice(start, min(start + step, len(logits)))
        yield rows, at_least_float32(logits[rows])[0]
