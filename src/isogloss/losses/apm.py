"""APM-Softmax in one line, for use outside this project's training loop."""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import Tensor, nn

from isogloss.losses.boundary import Boundary
from isogloss.losses.checks import require_one_of
from isogloss.losses.heads import AAMSoftmax, AMSoftmax, CosineHead
from isogloss.losses.margins import PRESETS, PhonemeAwareMargin

Form = Literal["am", "aam"]


class APMSoftmax(nn.Module):
    """Additive phoneme-aware margin Softmax: AM (eq. 14, 15) or AAM (eq. 16) fed P_i = m + β·p_i (eq. 12, 13).

    Not a fifth loss but a composition: `head` is an AMSoftmax or AAMSoftmax, `margin` a PhonemeAwareMargin.

        loss = APMSoftmax(512, 10)(embedding, labels, phone_logits)

    Args:
        form: "am", margin on the cosine, or "aam", margin on the angle (radians).
        m, beta, scale: 0.2 and 10 are the paper's; s = 30 the authors' toolkit's.
        boundary: what the "aam" form does beyond θ + P = π, see `shifted_cosine`.
        preset: how p is read, a key of PRESETS; `options` are PhonemeAwareMargin's and override it. The default has the
            mean margin m + β·0.002, which Table 1 prints, in a batch of any size; `paper` has m + β/B.
        num_subcentres: weights per language, see `CosineHead`.

    Shape: embedding [B, E], labels [B], phone_logits [B, T, K], mask [B, T] bool, False where a frame is padding, or None
    where none is → the mean loss over B, a float32 scalar. In evaluation mode the margin is off and phone_logits may be
    left out; `head.logits(embedding)` gives the scores [B, C].

    The phoneme branch's own loss L_p is not in it: see `MultitaskLoss` for eq. 9.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_languages: int,
        form: Form = "am",
        m: float = 0.2,
        beta: float = 10.0,
        scale: float = 30.0,
        boundary: Boundary = "linear",
        preset: str = "literal_scaled",
        num_subcentres: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        require_one_of("form", form, get_args(Form))
        require_one_of("boundary", boundary, get_args(Boundary))  # also where the am form has no use for it
        require_one_of("preset", preset, PRESETS)
        self.head: CosineHead = (
            AMSoftmax(embedding_dim, num_languages, scale, num_subcentres)
            if form == "am"
            else AAMSoftmax(embedding_dim, num_languages, scale, boundary, num_subcentres)
        )
        self.margin = PhonemeAwareMargin(m, beta, **(PRESETS[preset] | options))

    def forward(
        self, embedding: Tensor, labels: Tensor, phone_logits: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if not self.training:
            return self.head(embedding, labels)
        return self.head(embedding, labels, self.margin(phone_logits, mask).total)
