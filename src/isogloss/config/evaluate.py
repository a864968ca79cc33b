"""Options of `isogloss evaluate`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from isogloss.config.stage import StageConfig


class EvaluateConfig(StageConfig):
    """Metrics and their intervals."""

    conditions: tuple[Literal["full", "short", "channel", "open", "valid", "enrol"], ...] = Field(
        ("full", "short", "channel", "open"), description="tested besides those the corpus has recordings for"
    )
    short_frames: int = Field(100, ge=1, description="voiced frames kept by the short condition (1.0 s)")
    enrol_copies: bool = Field(
        True,
        description="where back ends enrol on what the network was trained on: on its copies at other speeds and augmented, too",
    )
    min_voiced_frames: int = Field(10, ge=1, description="an utterance with fewer gets no answer and counts as missed")
    num_resamples: int = Field(1000, ge=0, description="bootstrap resamples over recordings; 0: no intervals")
    seed: int = 1024
