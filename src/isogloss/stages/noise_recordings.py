"""A folder of noise recordings, such as MUSAN's (openslr.org/17), to mix into augmented copies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.corpora.folders import AUDIO_SUFFIXES
from isogloss.frontend.audio import read_audio
from isogloss.frontend.augment import SAMPLE_RATE
from isogloss.types import IsoglossError

KEPT = 8  # recordings in memory; an hour of them takes 230 MB


class NoiseRecordings(Sequence[np.ndarray]):
    """Samples [S] at 16 kHz of every audio file below `folder`, in the order of their paths, read when asked for."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        if not self.files:
            raise IsoglossError(
                f"no audio file below {folder}; expected recordings of noise: is features.noise_recordings the right folder?"
            )
        self._read = lru_cache(maxsize=KEPT)(read_audio)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:  # a whole number; slices of noise nobody needs
        return self._read(self.files[index], SAMPLE_RATE)


@lru_cache(maxsize=1)
def noise_recordings(folder: Path) -> NoiseRecordings:
    """One list per process. IsoglossError if the folder holds no audio."""
    return NoiseRecordings(folder)


def seen(folder: Path) -> list[tuple[str, int]]:
    """(path below the folder, bytes) of every recording: what copies made with them depend on, wherever the folder lies."""
    return [(str(file.relative_to(folder)), file.stat().st_size) for file in NoiseRecordings(folder).files]
