"""Audio of cuts, file by file: what the stages that listen to audio share."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from isogloss.corpora.pipe import contents
from isogloss.frontend.audio import read_audio
from isogloss.stages.jobs import process_pool, quiet_worker

if TYPE_CHECKING:
    from lhotse import CutSet


@dataclass(frozen=True)
class Clip:
    """One cut, as plain data that travels to a worker process."""

    id: str
    start_seconds: float
    duration_seconds: float


@dataclass(frozen=True)
class FileTask:
    """All wanted clips of one audio file, so that it is decoded once."""

    source: str  # a path, or `command |`
    clips: list[Clip]
    sample_rate: int
    work: Callable[[str, np.ndarray], Any]  # (clip id, samples [S]) → anything that pickles

    def run(self) -> list[Any]:
        samples = read_audio(contents(self.source), self.sample_rate)
        return [self.work(clip.id, _part(samples, clip, self.sample_rate)) for clip in self.clips]


def map_clips(
    cuts: CutSet, wanted: Callable[[str], bool], work: Callable[[str, np.ndarray], Any], sample_rate: int, label: str
) -> Iterator[Any]:
    """`work(clip id, samples)` for every wanted cut, in the cuts' order by file, in one worker process per core."""
    by_file: dict[str, list[Clip]] = defaultdict(list)
    for cut in cuts:
        if wanted(cut.id):
            source = cut.recording.sources[0]
            name = f"{source.source}|" if source.type == "command" else source.source
            by_file[name].append(Clip(cut.id, cut.start, cut.duration))
    tasks = [FileTask(source, clips, sample_rate, work) for source, clips in by_file.items()]
    with process_pool(os.cpu_count() or 1, one_thread) as pool:
        try:
            for results in track(pool.map(FileTask.run, tasks, chunksize=4), label, total=len(tasks), transient=True):
                yield from results
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def draw(seed: int, *names: str) -> float:
    """A number in [0, 1) that depends on nothing but its arguments, so that a resumed stage draws the same."""
    digest = hashlib.sha256("\0".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _part(samples: np.ndarray, clip: Clip, sample_rate: int) -> np.ndarray:
    start = round(clip.start_seconds * sample_rate)
    return samples[start : start + round(clip.duration_seconds * sample_rate)]


def one_thread() -> None:
    """In a worker process, before numba or torch are imported in it."""
    quiet_worker()
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
