"""L_total = L_c + α·L_p (eq. 9): a language head, a margin and the phoneme cross-entropy, composed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isogloss.losses.checks import require, whole_numbers
from isogloss.losses.heads import CosineHead, Softmax
from isogloss.losses.margins import ConstantMargin, PhonemeAwareMargin
from isogloss.losses.phone_frames import PhoneFrames, check_phone_logits, read_phone_frames
from isogloss.losses.scheduled import ScheduledMargin
from isogloss.types import IGNORE_PDF, Batch, Encoded, IsoglossError


@dataclass(frozen=True)
class LossParts:
    """The loss of one batch. Only `total` carries a gradient, the rest is for logging (phone: None if single task)."""

    total: Tensor  # L_total, scalar, to call backward on
    language: Tensor  # L_c, scalar; without margin in evaluation
    phone: Tensor | None  # L_p, scalar, before α
    phone_accuracy: Tensor | None  # share of labelled frames whose best pdf is the label, scalar
    p: Tensor | None  # p_i of eq. 12, [B]; None for a constant margin
    beta_p: Tensor | None  # β·p_i, [B]: Figure 2
    margin: Tensor  # P_i, [B]


class MultitaskLoss(nn.Module):
    """L_c + α·L_p (eq. 9 to 11), the margin of L_c from the phoneme logits of the same batch.

    Args:
        head: Softmax, ASoftmax, AMSoftmax, AAMSoftmax or another CosineHead; holds the language output layer.
        margin: ConstantMargin, PhonemeAwareMargin, or a ScheduledMargin of either.
        alpha: weight of L_p; the paper does not give it, 0.3 is the authors' recipe's.

    Call with (encoded, batch) → LossParts; a third argument is α of this call alone. L_p is the mean over the labelled frames
    of the batch (eq. 11); a batch without one labelled frame has L_p = 0. p is over all frames (eq. 13), those without a
    label (IGNORE_PDF) included.
    In evaluation mode the margin is off in L_c, and still reported.
    A network without phoneme branch (phone_logits None) gives L_c alone.

    Errors: IsoglossError for missing, misaligned or out-of-range pdf labels, for a language label outside the head, and
    for a phoneme-aware margin on a single-task network.
    """

    def __init__(
        self,
        head: Softmax | CosineHead,
        margin: ConstantMargin | PhonemeAwareMargin | ScheduledMargin,
        alpha: float = 0.3,
    ) -> None:
        super().__init__()
        self.head, self.margin, self.alpha = head, margin, alpha

    def forward(self, encoded: Encoded, batch: Batch, alpha: float | None = None) -> LossParts:
        alpha = self.alpha if alpha is None else alpha
        frames = phone = accuracy = None
        if encoded.phone_logits is not None:  # before L_c, or p would be the previous batch's
            frames, phone, accuracy = _phone_loss(encoded.phone_logits, batch.pdf_ids)
        margin = self.margin.from_frames(frames)
        language = self.head(encoded.embedding, batch.languages, margin.total if self.training else None)
        total = language if phone is None else language + alpha * phone  # eq. 9
        return LossParts(
            total=total,
            language=language.detach(),
            phone=_detached(phone),
            phone_accuracy=accuracy,
            p=_detached(margin.p),
            beta_p=_detached(margin.beta_p),
            margin=margin.total.detach().to(language.device).expand(len(batch.languages)),
        )


def _phone_loss(phone_logits: Tensor, pdf_ids: Tensor | None) -> tuple[PhoneFrames, Tensor, Tensor]:
    """The frames read, L_p (eq. 11) and the frame accuracy, of logits [B, T, K] and labels [B, T]."""
    if pdf_ids is None:
        raise IsoglossError(
            "phoneme logits but no pdf labels; expected pdf_ids [batch, frames]: "
            "were the features prepared without phoneme labels? Make them, or train a single-task network"
        )
    check_phone_logits(phone_logits)
    pdf_ids = whole_numbers(pdf_ids, "pdf")
    if pdf_ids.shape != phone_logits.shape[:2]:
        raise IsoglossError(
            f"pdf labels of shape {list(pdf_ids.shape)} for {list(phone_logits.shape[:2])} feature frames; expected "
            "one label per frame: were they made with the same frame shift and the same frame selection?"
        )
    num_pdfs = phone_logits.shape[2]
    labelled = pdf_ids != IGNORE_PDF
    wrong = labelled & ((pdf_ids < 0) | (pdf_ids >= num_pdfs))
    require(
        ~wrong.any(),
        f"expected pdf labels from 0 to {num_pdfs - 1}, or {IGNORE_PDF} for none",
        lambda: (
            f"pdf label {int(pdf_ids[wrong][0])}; expected 0 to {num_pdfs - 1}, or {IGNORE_PDF} for none: "
            "do the labels come from another acoustic model than num_pdfs? Read num_pdfs from the model that made them"
        ),
    )
    frames = read_phone_frames(phone_logits, pdf_ids.clamp_min(0))
    count = labelled.sum().clamp_min(1)
    cross_entropy = torch.where(labelled, frames.log_sum_exp - frames.label_logit, 0)
    correct = labelled & (frames.label_logit == frames.max_logit)  # two readings of one number if the pdf is the same
    return frames, cross_entropy.sum() / count, correct.sum() / count  # eq. 11


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
