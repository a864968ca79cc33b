"""Kaldi's numbers (tests/data/README.md) and sounds that tests share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def kaldi() -> Mapping[str, np.ndarray]:
    """`what/recording` → array; `audio/recording` is int16."""
    with np.load(Path(__file__).parents[1] / "data" / "kaldi_reference.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def speechlike() -> np.ndarray:
    """2 s at 16 kHz, int16: gliding harmonics with pauses, in faint noise."""
    rng = np.random.default_rng(7)
    time = np.arange(32000) / 16000
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * time)) / 16000
    voice = sum(np.sin(h * phase) / h for h in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None)
    return (3000 * syllables * voice + rng.normal(0, 20, time.size)).astype(np.int16)
