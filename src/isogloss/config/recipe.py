"""Options of `isogloss recipe`: those of all stages."""

from __future__ import annotations

from isogloss.config.backend import BackendConfig
from isogloss.config.evaluate import EvaluateConfig
from isogloss.config.features import FeaturesConfig
from isogloss.config.phones import PhonesConfig
from isogloss.config.prepare import PrepareConfig
from isogloss.config.stage import StageConfig
from isogloss.config.train import TrainConfig


class RecipeConfig(StageConfig):
    """All stages together; written beside the results so that a run can be repeated."""

    prepare: PrepareConfig = PrepareConfig()
    features: FeaturesConfig = FeaturesConfig()
    phones: PhonesConfig = PhonesConfig()
    train: TrainConfig = TrainConfig()
    backend: BackendConfig = BackendConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
