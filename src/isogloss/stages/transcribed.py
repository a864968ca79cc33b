"""Transcribed speech as cepstra: what training, aligning and scoring a phone recogniser share."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from isogloss.config import fingerprint
from isogloss.corpora.transcribed import TranscribedItem
from isogloss.frontend.store import Store, StoreWriter
from isogloss.phones.hmm.speech import NUM_CEPS, TrainingSpeech, cepstra, normalised_by_speaker
from isogloss.phones.hmm.topology import Topology
from isogloss.phones.lexicon import Lexicon
from isogloss.stages.clips import Clip, Unreadable, map_files
from isogloss.stages.ledger import replacing
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
SAMPLE_RATE = 16000  # Hz


@dataclass(frozen=True)
class Pronounced:
    """Utterances with phones and frames, and why others have none."""

    speech: TrainingSpeech
    left_out: dict[str, str]  # utterance → reason


def pronounce(
    items: Sequence[TranscribedItem], lexicon: Lexicon, topologies: dict[int, Topology], frames: Store, variance: bool
) -> Pronounced:
    """The items that the lexicon can say and whose frames suffice for their phones; normalised by speaker."""
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
            [tuple(lexicon.number(phone) for phone in phones) for phones in of_word]
            for of_word in transcripts.pronunciations[item.id]
        ]
        needed = sum(min(sum(len(topologies[phone]) for phone in phones) for phones in of_word) for of_word in said)
        if item.id not in frames:
            left_out[item.id] = "audio could not be read"
        elif frames.span(item.id)[1] < needed:
            left_out[item.id] = f"{frames.span(item.id)[1]} frames, but its phones have {needed} states"
        else:
            kept.append(item)
            words.append(said)
    if not kept:
        reasons = sorted(set(left_out.values()))[:3]
        raise IsoglossError(f"none of {len(items)} utterances can be used: {'; '.join(reasons)}")
    speakers = [item.speaker for item in kept]
    normalised = normalised_by_speaker([frames[item.id] for item in kept], speakers, variance)
    return Pronounced(TrainingSpeech.of([item.id for item in kept], speakers, words, normalised), left_out)


def cepstra_store(items: Sequence[TranscribedItem], out: Path, with_pitch: bool) -> Store:
    """Cepstra of every item whose audio can be read, in a store at `out`; a killed run goes on where it was."""
    meta = {
        "with_pitch": with_pitch,
        "items": fingerprint(sorted([item.id, item.source, item.start_seconds, item.end_seconds] for item in items)),
    }
    if (out / "meta.json").exists() and Store(out).meta == meta:
        return Store(out)
    with StoreWriter(out, np.float32, (NUM_CEPS + (3 if with_pitch else 0),), meta) as writer:
        by_file: dict[str, list[Clip]] = defaultdict(list)
        for item in items:
            if item.id not in writer.finished:
                length = None if item.end_seconds is None else item.end_seconds - item.start_seconds
                by_file[item.source].append(Clip(item.id, item.start_seconds, length))
        work = partial(_cepstra, with_pitch=with_pitch)
        for made in map_files(by_file, work, SAMPLE_RATE, "cepstra", keep_going=True):
            if isinstance(made, Unreadable):
                logger.warning("left out: %s", made.reason)
            else:
                writer.add(*made)
    return Store(out)


def _cepstra(name: str, samples: np.ndarray, with_pitch: bool) -> tuple[str, np.ndarray]:
    return name, cepstra(samples, SAMPLE_RATE, with_pitch)


def write_left_out(path: Path, reasons: dict[str, str]) -> None:
    with replacing(path) as part:
        part.write_text(
            "utterance\treason\n" + "".join(f"{name}\t{reason}\n" for name, reason in sorted(reasons.items())),
            encoding="utf-8",
        )
