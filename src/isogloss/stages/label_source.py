"""What every source of frame labels gives to the stage that stores them (`stages/phones.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isogloss.config import FeaturesConfig, PhonesConfig
from isogloss.stages.features import FrameStores, training_keys
from isogloss.stages.prepare import read_splits
from isogloss.types import IGNORE_PDF

if TYPE_CHECKING:
    from lhotse import CutSet


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus and its frames."""

    cuts: CutSet
    stores: FrameStores
    prepared: Path

    @property
    def features(self) -> FeaturesConfig:
        """How the frames were made."""
        return FeaturesConfig(**self.stores.frames.meta["config"])

    def trained(self) -> set[str]:
        """Clips that some split trains on."""
        return {name for split in read_splits(self.prepared).values() for name in split.train}

    def training_keys(self) -> set[str]:
        """Store keys whose labels are ever read: training copies. Validation measures the language alone."""
        return {key for name in self.trained() for key in training_keys(name, self.features)}

    def unlabelled(self, key: str) -> np.ndarray:
        """[V] IGNORE_PDF"""
        return np.full(self.stores.frames.span(key)[1], IGNORE_PDF, dtype=np.int16)


@dataclass(frozen=True)
class LabelSource:
    """`labels(keys)` yields, for each of these store keys and in their order, [V] int16: labels of its voiced frames."""

    num_pdfs: int
    pdf_names: list[str]
    labels: Callable[[Sequence[str]], Iterator[np.ndarray]]
    about: dict[str, Any] = field(default_factory=dict)  # known before anything is labelled
    figures: Callable[[], dict[str, Any]] = dict  # known when everything is


MakeSource = Callable[[Corpus, PhonesConfig], LabelSource]
