"""Heads × margins = all of Table 1: every loss of the paper is a head fed a constant or a phoneme-aware margin.

For any PyTorch training, not this project's alone: docs/losses.md.

Imports torch and isogloss.types only. Angles are in radians. A new head: one file, one line in HEADS.
"""

from isogloss.losses.apm import APMSoftmax
from isogloss.losses.heads import AAMSoftmax, AMSoftmax, ASoftmax, CosineHead, Softmax
from isogloss.losses.margins import PRESETS, ConstantMargin, Margin, PhonemeAwareMargin
from isogloss.losses.multitask import LossParts, MultitaskLoss
from isogloss.losses.scheduled import ScheduledMargin

HEADS: dict[str, type[Softmax] | type[CosineHead]] = {
    "softmax": Softmax,
    "a": ASoftmax,
    "am": AMSoftmax,
    "aam": AAMSoftmax,
}
"""Name in a config → class; each is built from (embedding_dim, num_languages)."""

__all__ = [
    "HEADS",
    "PRESETS",
    "AAMSoftmax",
    "AMSoftmax",
    "APMSoftmax",
    "ASoftmax",
    "ConstantMargin",
    "CosineHead",
    "LossParts",
    "Margin",
    "MultitaskLoss",
    "PhonemeAwareMargin",
    "ScheduledMargin",
    "Softmax",
]
