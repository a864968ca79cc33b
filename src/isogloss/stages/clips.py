"""Audio of cuts, file by file: what the stages that listen to audio share."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from rich.progress import track

from isogloss.corpora.pipe import contents
from isogloss.frontend.audio import read_audio
from isogloss.stages.jobs import one_thread, process_pool, single_threaded_children
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from lhotse import CutSet

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Clip:
    """One cut, as plain data that travels to a worker process."""

    id: str
    start_seconds: float
    duration_seconds: float | None  # None: to the end of the file


@dataclass(frozen=True)
class Unreadable:
    """What comes in the place of a clip's result if its file cannot be read, where the caller can go on without."""

    id: str
    reason: str


@dataclass(frozen=True)
class FileTask:
    """All wanted clips of one audio file, so that it is decoded once."""

    source: str  # a path, or `command |`
    clips: list[Clip]
    sample_rate: int
    work: Callable[[str, np.ndarray], Any]  # (clip id, samples [S]) → anything that pickles
    keep_going: bool = False  # an unreadable file is answered with Unreadable, not with an error

    def run(self) -> list[Any]:
        try:
            samples = read_audio(contents(self.source), self.sample_rate)
        except IsoglossError as error:
            if not self.keep_going:
                raise
            return [Unreadable(clip.id, str(error)) for clip in self.clips]
        return [self.work(clip.id, _part(samples, clip, self.sample_rate)) for clip in self.clips]


def map_clips(
    cuts: CutSet, wanted: Callable[[str], bool], work: Callable[[str, np.ndarray], Any], sample_rate: int, label: str
) -> Iterator[Any]:
    """`work(clip id, samples)` for every wanted cut, in the cuts' order by file, in one worker process per core."""
    yield from map_files(clips_by_file(cuts, wanted), work, sample_rate, label)


def clips_by_file(cuts: Iterable[Any], wanted: Callable[[str], bool]) -> dict[str, list[Clip]]:
    """File (a path, or `command |`) → its wanted clips, both in the cuts' order."""
    by_file: dict[str, list[Clip]] = defaultdict(list)
    for cut in cuts:
        if wanted(cut.id):
            source = cut.recording.sources[0]
            name = f"{source.source}|" if source.type == "command" else source.source
            by_file[name].append(Clip(cut.id, cut.start, cut.duration))
    return by_file


def map_files(
    by_file: dict[str, list[Clip]],
    work: Callable[[str, np.ndarray], Any],
    sample_rate: int,
    label: str,
    keep_going: bool = False,
) -> Iterator[Any]:
    """`work(clip id, samples)` for the clips of every file (a path, or `command |`), in one worker process per core."""
    tasks = [FileTask(source, clips, sample_rate, work, keep_going) for source, clips in by_file.items()]
    for results in in_workers(FileTask.run, tasks, label, chunksize=4):
        yield from results


def in_workers(
    run: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], label: str, chunksize: int = 1
) -> Generator[ResultT, None, None]:
    """`run(task)` of every task, in their order, in one single-threaded worker process per core. Closed, it stops them."""
    with single_threaded_children():
        pool = process_pool(os.cpu_count() or 1, one_thread)
        results = pool.map(run, tasks, chunksize=chunksize)  # starts the workers
    with pool:
        try:
            yield from track(results, label, total=len(tasks), transient=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def draw(seed: int, *names: str) -> float:
    """A number in [0, 1) that depends on nothing but its arguments, so that a resumed stage draws the same."""
    digest = hashlib.sha256("\0".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _part(samples: np.ndarray, clip: Clip, sample_rate: int) -> np.ndarray:
    start = round(clip.start_seconds * sample_rate)
    stop = None if clip.duration_seconds is None else start + round(clip.duration_seconds * sample_rate)
    return samples[start:stop]
