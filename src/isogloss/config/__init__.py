"""One frozen model per stage: every option, its unit, its default. An unknown key is an error that names the nearest."""

from isogloss.config.backend import BackendConfig
from isogloss.config.evaluate import EvaluateConfig
from isogloss.config.features import AugmentConfig, Codec, FeaturesConfig, FrontEndConfig
from isogloss.config.phone_model import (
    BootstrapConfig,
    DecodeConfig,
    GmmStageConfig,
    PhoneModelConfig,
    TransformStageConfig,
    TreeStageConfig,
)
from isogloss.config.phones import PhonesConfig
from isogloss.config.prepare import PrepareConfig
from isogloss.config.recipe import RecipeConfig
from isogloss.config.stage import ConfigT, StageConfig, fingerprint, override, parse
from isogloss.config.train import MarginConfig, SpecAugmentConfig, TrainConfig

__all__ = [
    "AugmentConfig",
    "BackendConfig",
    "BootstrapConfig",
    "Codec",
    "ConfigT",
    "DecodeConfig",
    "EvaluateConfig",
    "FeaturesConfig",
    "FrontEndConfig",
    "GmmStageConfig",
    "MarginConfig",
    "PhoneModelConfig",
    "PhonesConfig",
    "PrepareConfig",
    "RecipeConfig",
    "SpecAugmentConfig",
    "StageConfig",
    "TrainConfig",
    "TransformStageConfig",
    "TreeStageConfig",
    "fingerprint",
    "override",
    "parse",
]
