"""Options of `isogloss prepare`."""

from __future__ import annotations

from pydantic import Field

from isogloss.config.stage import StageConfig


class PrepareConfig(StageConfig):
    """What counts as a usable recording, and how the data are split."""

    min_duration_seconds: float = Field(0.3, gt=0, description="shorter clips are left out (seconds)")
    min_recordings_per_language: int = Field(3, ge=2, description="fewer recordings of a language end in an error")
    num_folds: int = Field(5, ge=2, description="cross-validation folds, disjoint by speaker or recording")
    valid_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="share of the training recordings held out for validation"
    )
    seed: int = Field(1024, description="seed of the fold and validation draw")
