"""Labels by decoding: a trained phone model listens to every speed copy of every clip, in one worker process per core.

The clips of one recording are one speaker, and each speed of them is another, as in Kaldi's speed-perturbed data directories.
An augmented copy is not listened to: it takes the labels of the speed copy nearest to its own speed at the matching time, which
were heard without its noise.
Other versions (enrolment, validation, test) have no labels, because nothing reads them.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.config import FeaturesConfig, PhonesConfig
from isogloss.frontend.augment import labels_at_speed
from isogloss.phones.hmm.labeller import MODEL_FILES, SAMPLE_RATE, Labeller, LabelOptions, load_labeller, pdf_ids
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.imports import fit_to_frames
from isogloss.stages.clips import FileTask, clips_by_file, in_workers
from isogloss.stages.features import speed_copies, speed_copy, speed_of, training_keys, utterance_of
from isogloss.stages.label_source import Corpus, LabelSource

logger = logging.getLogger(__name__)
Copies = list[tuple[str, np.ndarray]]
"""(store key, samples) of every speed copy of a clip."""


@dataclass(frozen=True)
class RecordingTask:
    """All clips of one recording, and what labels them."""

    files: list[FileTask]  # each clip's work: Copies
    taken: dict[str, str]  # augmented copy → speed copy whose labels it takes; store keys
    model: Path
    options: LabelOptions


@dataclass(frozen=True)
class LabelledRecording:
    """`labels`: store key → [T] pdf-ids of all frames of its speed copy; and what it took."""

    labels: dict[str, np.ndarray]
    audio_seconds: float
    core_seconds: float  # from the audio file to the labels
    problems: list[str]


@dataclass
class Cost:
    """Of all that this run decoded."""

    audio_seconds: float = 0.0
    core_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, recording: LabelledRecording) -> None:
        self.audio_seconds += recording.audio_seconds
        self.core_seconds += recording.core_seconds
        self.problems += recording.problems

    def figures(self) -> dict[str, Any]:
        if not self.core_seconds:
            return {}
        if self.problems:
            logger.warning("%d speakers not adapted to; the first: %s", len(self.problems), self.problems[0])
        return {
            "decoded_seconds": round(self.audio_seconds, 1),
            "core_seconds": round(self.core_seconds, 1),
            "times_real_time_per_core": round(self.audio_seconds / self.core_seconds, 1),
            "speakers_not_adapted": len(self.problems),
        }


def from_model(corpus: Corpus, config: PhonesConfig) -> LabelSource:
    """Labels of the phone model in the folder `config.model`."""
    folder = config.model
    assert folder is not None  # the config sees to it
    model = PhoneModel.load(folder)
    options = LabelOptions(**config.model_dump(include=set(LabelOptions.__dataclass_fields__)))
    load_labeller(folder, options)  # what is wrong with it shows here, not in a worker
    cost = Cost()

    def labels(keys: Sequence[str]) -> Iterator[np.ndarray]:
        trained, features = corpus.training_keys(), corpus.features
        wanted = [key for key in keys if key in trained]
        made = in_workers(_label, _tasks(corpus, wanted, folder, options), "phone recogniser")
        pending: dict[str, np.ndarray] = {}
        with closing(made):
            for key in keys:
                if key not in trained:
                    yield corpus.unlabelled(key)
                    continue
                while key not in pending:
                    recording = next(made)
                    pending |= recording.labels
                    cost.add(recording)
                heard, voiced = speed_copy(key, features), corpus.stores.voiced[key]
                found = fit_to_frames(pending.pop(key), len(corpus.stores.voiced[heard]), heard)
                yield labels_at_speed(found, len(voiced), speed_of(key) / speed_of(heard))[voiced]

    about = {"model": str(folder), "stage": model.stage}
    return LabelSource(model.num_pdfs, model.pdf_names(), labels, about, cost.figures)


def digests(folder: Path) -> dict[str, str]:
    """File → sha256, of all files that a model's labels depend on; those that are there."""
    files = [path for name in MODEL_FILES if (path := Path(folder) / name).exists()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _tasks(corpus: Corpus, wanted: Sequence[str], model: Path, options: LabelOptions) -> list[RecordingTask]:
    """Of the recordings of `wanted` keys, in the keys' order; whole, for their mean is that of all their clips."""
    recording_of = {cut.id: cut.supervisions[0].custom["recording"] for cut in corpus.cuts}
    trained = corpus.trained()
    clips: dict[str, list[Any]] = {}
    for cut in corpus.cuts:
        if cut.id in trained:
            clips.setdefault(recording_of[cut.id], []).append(cut)
    features = corpus.features
    work = partial(_copies, features=features)
    return [
        RecordingTask(
            [
                FileTask(file, of, SAMPLE_RATE, work)
                for file, of in clips_by_file(clips[recording], lambda _: True).items()
            ],
            {
                key: speed_copy(key, features)
                for cut in clips[recording]
                for key in training_keys(cut.id, features)[len(features.speeds) :]
            },
            model,
            options,
        )
        for recording in dict.fromkeys(recording_of[utterance_of(key)] for key in wanted)
    ]


def _copies(name: str, samples: np.ndarray, features: FeaturesConfig) -> Copies:
    return list(speed_copies(name, samples, features))


@lru_cache(maxsize=1)
def labeller_of(model: Path, options: LabelOptions) -> Labeller:
    """One per worker process."""
    return load_labeller(model, options)


def _label(task: RecordingTask) -> LabelledRecording:
    """In a worker process."""
    labeller = labeller_of(task.model, task.options)
    start = time.process_time()
    speeds: dict[str, Copies] = {}
    for file in task.files:
        for copies in file.run():
            for key, samples in copies:
                speeds.setdefault(key.partition("#")[2], []).append((key, samples))
    labels: dict[str, np.ndarray] = {}
    for copies in speeds.values():
        paths = labeller.paths([samples for _, samples in copies])
        labels |= {key: pdf_ids(labeller.model, path) for (key, _), path in zip(copies, paths, strict=True)}
    labels |= {key: labels[heard] for key, heard in task.taken.items()}
    seconds = sum(len(samples) for copies in speeds.values() for _, samples in copies) / SAMPLE_RATE
    problems = list(labeller.problems)
    labeller.problems.clear()
    return LabelledRecording(labels, seconds, time.process_time() - start, problems)
