"""Any audio of any language → phones with times and pdf-ids, by a trained phone model or by pocketsphinx.

OUT/phones.ctm     utterance, channel, start, duration (seconds), phone
OUT/pdf_ids/       a store: [T] pdf-ids of every utterance, 100 a second
OUT/left_out.tsv   utterances that could not be read or are too short, and why
OUT/about.json     with what it was made, and how fast
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.config import DecodeConfig
from isogloss.corpora.kaldi_dir import Utterance
from isogloss.corpora.listing import listing
from isogloss.corpora.pipe import contents
from isogloss.frontend.audio import read_audio
from isogloss.frontend.store import StoreWriter
from isogloss.frontend.windows import Framing
from isogloss.phones import allphone
from isogloss.phones.hmm.labeller import SAMPLE_RATE, LabelOptions, load_labeller, pdf_ids
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.segments import Inventory, Segment, segments_to_labels
from isogloss.stages.clips import in_workers
from isogloss.stages.decoded_labels import labeller_of
from isogloss.stages.ledger import replacing, write_json
from isogloss.stages.transcribed import SILENT, some, write_left_out
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
POCKETSPHINX = "pocketsphinx"
FRAME_SECONDS = 0.01
FRAMING = Framing.from_ms(SAMPLE_RATE, 25.0, 10.0, True)
POCKETSPHINX_STATES = 3


@dataclass(frozen=True)
class Recognised:
    """One utterance: phones in time order, silence among them, and the pdf of every frame."""

    segments: list[Segment]
    pdf_ids: np.ndarray


@dataclass(frozen=True)
class Recording:
    """The utterances of one recording, a speaker to the model. `made`: utterance → Recognised, or why there is nothing."""

    made: dict[str, Recognised | str]
    audio_seconds: float
    core_seconds: float
    problems: list[str]


def decode_phones(source: Path | list[Path], model: Path, out: Path, config: DecodeConfig) -> Path:
    """Phones of every utterance of `source` (files, a folder, a table, a Kaldi directory); returns `out`.

    model: a stage's folder, or `pocketsphinx`. Each recording is a speaker of its own: its mean is removed, and the model
    adapted to it if `config.adapt` and the model can.
    """
    utterances, unreadable = listing(source)
    left_out = dict(unreadable)
    by_recording: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_recording[utterance.recording].append(utterance)
    if str(model) == POCKETSPHINX:
        names = Inventory(list(allphone.PHONES), POCKETSPHINX_STATES).pdf_names()
        work: Any = _with_pocketsphinx
    else:
        phone_model = PhoneModel.load(model)
        names = phone_model.pdf_names()
        neural = (model / "neural.json").exists()
        adapt = config.adapt and phone_model.adapts and not neural
        options = LabelOptions(adapt, config.acoustic_scale, config.best_path_scale, config.beam, config.max_active)
        load_labeller(model, options)  # what is wrong with it shows here, not in a worker
        work = partial(_with_model, model=model, options=options)
    about: dict[str, Any] = {"model": str(model), "config": config.model_dump(mode="json")}
    audio = core = 0.0
    problems: list[str] = []

    def recognised() -> Iterator[tuple[str, Recognised]]:
        nonlocal audio, core
        for recording in in_workers(work, list(by_recording.values()), "phones"):
            audio, core = audio + recording.audio_seconds, core + recording.core_seconds
            problems.extend(recording.problems)
            for name, made in recording.made.items():
                if isinstance(made, str):
                    left_out[name] = made
                else:
                    yield name, made
        if all(utterance.id in left_out for utterance in utterances):
            raise IsoglossError(f"nothing could be decoded: {some(left_out)}")

    frames = write_phones(out, recognised(), names, about)
    if problems:
        logger.warning("%d recordings not adapted to; the first: %s", len(problems), problems[0])
    write_left_out(out / "left_out.tsv", left_out)
    speed = {"audio_seconds": round(audio, 1), "times_real_time_per_core": round(audio / max(core, 1e-9), 1)}
    write_json(out / "about.json", {**about, "frames": frames, "left_out": len(left_out), **speed})
    logger.info(
        "%s: %d frames, %.0f × real time per core, %d left out",
        out,
        frames,
        speed["times_real_time_per_core"],
        len(left_out),
    )
    return out


def write_phones(out: Path, made: Iterable[tuple[str, Recognised]], pdf_names: list[str], about: dict[str, Any]) -> int:
    """OUT/phones.ctm and OUT/pdf_ids; returns the number of frames."""
    total = 0
    meta = {**about, "num_pdfs": len(pdf_names), "pdf_names": pdf_names}
    shutil.rmtree(out / "pdf_ids.part", ignore_errors=True)  # of a killed run, perhaps on other audio
    with (
        replacing(out / "phones.ctm") as part,
        open(part, "w", encoding="utf-8") as ctm,
        StoreWriter(out / "pdf_ids", np.int16, meta=meta) as writer,
    ):
        for name, of in made:
            for phone, start, end in of.segments:
                ctm.write(f"{name} 1 {start:.2f} {end - start:.2f} {phone}\n")
            writer.add(name, of.pdf_ids)
            total += len(of.pdf_ids)
    return total


def from_path(model: PhoneModel, path: np.ndarray) -> Recognised:
    """A path [T] of transition-ids as phones and pdf-ids."""
    segments = [
        (model.phones[phone], start * FRAME_SECONDS, stop * FRAME_SECONDS)
        for phone, start, stop in model.transition_model.phone_segments(path)
    ]
    return Recognised(segments, pdf_ids(model, path))


def _with_model(utterances: list[Utterance], model: Path, options: LabelOptions) -> Recording:
    """In a worker process."""
    labeller = labeller_of(model, options)
    start = time.process_time()
    audio, failed = _read(utterances)
    made: dict[str, Recognised | str] = dict(failed)
    for name, path in zip(audio, labeller.paths(list(audio.values())), strict=True):
        made[name] = from_path(labeller.model, path) if len(path) and path[0] else f"too short: {len(path)} frames"
    problems = list(labeller.problems)
    labeller.problems.clear()
    return Recording(made, _seconds(audio), time.process_time() - start, problems)


def _with_pocketsphinx(utterances: list[Utterance]) -> Recording:
    """In a worker process."""
    start = time.process_time()
    audio, failed = _read(utterances)
    made: dict[str, Recognised | str] = dict(failed)
    inventory = Inventory(list(allphone.PHONES), POCKETSPHINX_STATES)
    for name, samples in audio.items():
        segments = allphone.decode(samples)
        labels = segments_to_labels(segments, FRAMING.num_frames(len(samples)), inventory)
        made[name] = Recognised(segments, labels) if segments else "no phone was found"
    return Recording(made, _seconds(audio), time.process_time() - start, [])


def _read(utterances: list[Utterance]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Utterance → samples, each file decoded once; and utterance → why not."""
    audio: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    files: dict[str, np.ndarray] = {}
    for utterance in utterances:
        try:
            if utterance.source not in files:
                files[utterance.source] = read_audio(contents(utterance.source), SAMPLE_RATE)
            samples = utterance.cut(files[utterance.source], SAMPLE_RATE)
        except IsoglossError as error:
            failed[utterance.id] = str(error)
            continue
        if len(samples) and (samples == samples[0]).all():
            failed[utterance.id] = SILENT
        else:
            audio[utterance.id] = samples
    return audio, failed


def _seconds(audio: dict[str, np.ndarray]) -> float:
    return sum(len(samples) for samples in audio.values()) / SAMPLE_RATE
