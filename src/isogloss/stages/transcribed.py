"""Transcribed speech as cepstra: what training, aligning and scoring a phone recogniser share."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.config import fingerprint
from isogloss.corpora.kaldi_dir import Utterance
from isogloss.corpora.pipe import is_pipe
from isogloss.corpora.transcribed import TranscribedItem
from isogloss.frontend.store import Store, StoreWriter
from isogloss.phones.hmm.speech import NUM_CEPS, TrainingSpeech, cepstra, normalised_by_speaker
from isogloss.phones.hmm.topology import Topology
from isogloss.phones.hmm.utterance_graph import Words
from isogloss.phones.lexicon import Lexicon
from isogloss.stages.clips import Clip, Unreadable, map_files
from isogloss.stages.ledger import replacing, write_json
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
SAMPLE_RATE = 16000  # Hz
UNREADABLE = "unreadable.json"
SILENT = "silent: all samples are the same"


@dataclass(frozen=True)
class Cepstra:
    """Of every item whose audio can be read: [T, 13] or, with pitch, [T, 16], not normalised."""

    store: Store
    unreadable: dict[str, str]  # item → reason

    def unusable(self, name: str, min_frames: int) -> str | None:
        """Why this item cannot be used; None if it can."""
        if name not in self.store:
            return self.unreadable.get(name, "audio could not be read")
        frames = self.store[name]
        if len(frames) < min_frames:
            return f"too short: {len(frames)} frames, and what it should hold takes {min_frames}"
        if (frames[:, 0] == frames[0, 0]).all():
            return SILENT
        return None


@dataclass(frozen=True)
class Pronounced:
    """Utterances with phones and frames, and why others have none."""

    speech: TrainingSpeech
    left_out: dict[str, str]  # utterance → reason


def pronounce(
    items: Sequence[TranscribedItem],
    lexicon: Lexicon,
    numbers: Mapping[str, int],
    topologies: dict[int, Topology],
    cepstra: Cepstra,
    variance: bool,
) -> Pronounced:
    """The items that the lexicon can say and whose frames suffice for their phones; normalised by speaker.

    numbers: phone → its number, which `topologies` goes by. Raises IsoglossError if there is no such item.
    """
    transcripts = lexicon.transcribe({item.id: item.words for item in items})
    if transcripts.skipped:
        logger.warning("transcripts: %s", transcripts.summary())
    left_out = {
        name: f"unknown words: {' '.join(words)}" if words else "no words"
        for name, words in transcripts.skipped.items()
    }
    kept, words = [], []
    for item in items:
        if item.id not in transcripts.pronunciations:
            continue
        said = [
            [tuple(numbers[phone] for phone in phones) for phones in of_word]
            for of_word in transcripts.pronunciations[item.id]
        ]
        needed = sum(min(sum(len(topologies[phone]) for phone in phones) for phones in of_word) for of_word in said)
        reason = cepstra.unusable(item.id, needed)
        if reason is None:
            kept.append(item)
            words.append(said)
        else:
            left_out[item.id] = reason
    if not kept:
        raise IsoglossError(f"none of {len(items)} utterances can be used: {some(left_out)}")
    speakers = [item.speaker for item in kept]
    normalised = normalised_by_speaker([cepstra.store[item.id] for item in kept], speakers, variance)
    return Pronounced(TrainingSpeech.of([item.id for item in kept], speakers, words, normalised), left_out)


def first_pronunciation(words: Words) -> list[int]:
    """The phones of a transcript, each word as the lexicon says it first."""
    return [phone for word in words for phone in word[0]]


def cepstra_store(items: Sequence[TranscribedItem], out: Path, with_pitch: bool) -> Cepstra:
    """Cepstra of every item whose audio can be read, in a store at `out`; a killed run goes on where it was."""
    meta = {"with_pitch": with_pitch, "items": fingerprint(sorted(heard(item) for item in items))}
    if (out / UNREADABLE).exists() and Store(out).meta == meta:
        return Cepstra(Store(out), json.loads((out / UNREADABLE).read_text(encoding="utf-8")))
    unreadable: dict[str, str] = {}
    with StoreWriter(out, np.float32, (NUM_CEPS + (3 if with_pitch else 0),), meta) as writer:
        by_file: dict[str, list[Clip]] = defaultdict(list)
        for item in items:
            if item.id not in writer.finished:
                length = None if item.end_seconds is None else item.end_seconds - item.start_seconds
                by_file[item.source].append(Clip(item.id, item.start_seconds, length))
        work = partial(_cepstra, with_pitch=with_pitch)
        for made in map_files(by_file, work, SAMPLE_RATE, "cepstra", keep_going=True):
            if isinstance(made, Unreadable):
                unreadable[made.id] = made.reason
            else:
                writer.add(*made)
    if unreadable:
        logger.warning("%d of %d utterances cannot be read: %s", len(unreadable), len(items), some(unreadable))
    write_json(out / UNREADABLE, unreadable)
    return Cepstra(Store(out), unreadable)


def heard(item: TranscribedItem | Utterance) -> list[Any]:
    """What an item's frames depend on: which part of which file, and the file's size and time."""
    status = None if is_pipe(item.source) or not Path(item.source).exists() else Path(item.source).stat()
    file = [status.st_size, status.st_mtime_ns] if status else []
    return [item.id, item.source, item.start_seconds, item.end_seconds, *file]


def some(reasons: Mapping[str, str], shown: int = 3) -> str:
    """The first utterances with their reasons, in one line."""
    named = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items())[:shown])
    return f"{named} … and {len(reasons) - shown} more" if len(reasons) > shown else named


def _cepstra(name: str, samples: np.ndarray, with_pitch: bool) -> tuple[str, np.ndarray]:
    return name, cepstra(samples, SAMPLE_RATE, with_pitch)


def write_left_out(path: Path, reasons: dict[str, str]) -> None:
    with replacing(path) as part:
        part.write_text(
            "utterance\treason\n" + "".join(f"{name}\t{reason}\n" for name, reason in sorted(reasons.items())),
            encoding="utf-8",
        )
