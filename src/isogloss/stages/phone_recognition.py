"""A trained phone recogniser at work: align transcribed audio, decode any audio, measure the phone error rate."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from isogloss.config import DecodeConfig
from isogloss.corpora.kaldi_dir import Utterance
from isogloss.corpora.listing import listing
from isogloss.corpora.transcribed import TranscribedItem
from isogloss.frontend.store import StoreWriter
from isogloss.phones.hmm.decode import Decoded, Decoder
from isogloss.phones.hmm.error_rate import PhoneErrors
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.hmm.recognise import Recogniser, align_speaker, group_by_speaker
from isogloss.phones.hmm.speech import TrainingSpeech, normalised_by_speaker
from isogloss.phones.lexicon import Lexicon
from isogloss.stages.ledger import replacing, write_json
from isogloss.stages.transcribed import cepstra_store, pronounce, write_left_out
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
LM_WEIGHTS = range(7, 18)  # inverse acoustic scales that are tried in scoring, as in Kaldi's local/score.sh
INSERTION_PENALTIES = (0.0, 0.5, 1.0)  # nats per phone, likewise
FRAME_SECONDS = 0.01
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def score_phones(
    items: Sequence[TranscribedItem], lexicon: Lexicon, model_folder: Path, work: Path, config: DecodeConfig
) -> dict[str, Any]:
    """Phone error rate of the items of use `test`, per cent: the best of language-model weights 7 to 17 and three penalties.

    As Kaldi scores: both are chosen on the scored speech itself, so that two recognisers can be compared, and neither
    figure is a promise for other speech; `per_by_lm_weight` are those without a penalty. `work`: where the cepstra are kept.
    """
    testing = [item for item in items if item.use == "test"]
    if not testing:
        raise IsoglossError(
            f"none of {len(items)} utterances is for testing; does the table's column `split` say test?"
        )
    model = PhoneModel.load(model_folder)
    speech, left_out = _speech(testing, lexicon, model, work)
    references = [[phone for word in words for phone in word[0]] for words in speech.words]
    cepstra = _parts(speech, speech.frames)
    groups = group_by_speaker(speech.speakers)
    recogniser = Recogniser(model, _decoder(model, config))
    passes = {"independent": dict.fromkeys(range(len(cepstra)))}
    if model.adapts:
        passes["adapted"] = {}
        for positions in groups.values():
            transform = recogniser.transform([cepstra[i] for i in positions])
            passes["adapted"] |= dict.fromkeys(positions, transform)
    report: dict[str, Any] = {}
    for name, transforms in passes.items():
        gmm = model.gmm if name == "adapted" else recogniser.independent
        logliks = [gmm.loglik(model.frames(cepstra[i], transforms[i])) for i in range(len(cepstra))]
        tried: dict[tuple[int, float], PhoneErrors] = {}
        for weight in LM_WEIGHTS:
            for penalty in INSERTION_PENALTIES:
                found = _in_threads(recogniser.decoder.rescaled(1.0 / weight, penalty).decode, logliks)
                pairs = zip(references, found, strict=True)
                tried[weight, penalty] = sum((PhoneErrors.of(said, of.phones) for said, of in pairs), PhoneErrors())
        best = min(tried, key=lambda setting: (tried[setting].errors, setting))
        report[name] = {
            "per": round(100 * tried[best].rate, 2),
            "lm_weight": best[0],
            "insertion_penalty": best[1],
            **asdict(tried[best]),
            "per_by_lm_weight": {weight: round(100 * tried[weight, 0.0].rate, 2) for weight in LM_WEIGHTS},
        }
    final = report["adapted" if model.adapts else "independent"]
    return {
        **final,
        "passes": report,
        "utterances": len(references),
        "left_out": left_out,
        "problems": recogniser.problems,
    }


def align_phones(
    items: Sequence[TranscribedItem], lexicon: Lexicon, model_folder: Path, out: Path, config: DecodeConfig
) -> Path:
    """Phone times (OUT/phones.ctm) and pdf-ids (OUT/pdf_ids, a store) of transcribed utterances; returns `out`."""
    model = PhoneModel.load(model_folder)
    speech, left_out = _speech(list(items), lexicon, model, out)
    cepstra = _parts(speech, speech.frames)
    paths: list[np.ndarray | None] = [None] * len(cepstra)
    for positions in group_by_speaker(speech.speakers).values():
        aligned = align_speaker(
            model, [cepstra[i] for i in positions], [speech.words[i] for i in positions], config.adapt
        )
        for i, path in zip(positions, aligned, strict=True):
            paths[i] = path
    left_out |= {
        name: "no path fits the transcript" for name, path in zip(speech.utterances, paths, strict=True) if path is None
    }
    made = ((name, path) for name, path in zip(speech.utterances, paths, strict=True) if path is not None)
    return _write(out, model, made, left_out, {"model": str(model_folder), "config": config.model_dump(mode="json")})


def decode_phones(source: Path | list[Path], model_folder: Path, out: Path, config: DecodeConfig) -> Path:
    """Phones (OUT/phones.ctm) and pdf-ids (OUT/pdf_ids) of any audio: files, folders, tables, Kaldi directories; returns `out`.

    Each recording is a speaker of its own: its mean is removed, and the model adapted to it if `config.adapt`.
    """
    utterances, unreadable = listing(source)
    model = PhoneModel.load(model_folder)
    items = [_untranscribed(utterance) for utterance in utterances]
    frames = cepstra_store(items, out / "cepstra", model.with_pitch)
    left_out = dict(unreadable) | {item.id: "audio could not be read" for item in items if item.id not in frames}
    recogniser = Recogniser(model, _decoder(model, config))
    readable = [item for item in items if item.id in frames]
    short = [item for item in readable if frames.span(item.id)[1] < recogniser.decoder.min_frames]
    left_out |= {item.id: f"too short: {frames.span(item.id)[1]} frames" for item in short}
    readable = [item for item in readable if item.id not in left_out]
    if not readable:
        raise IsoglossError(f"nothing to decode: {'; '.join(sorted(set(left_out.values()))[:3])}")
    groups = list(group_by_speaker([item.source for item in readable]).values())

    def recording(positions: list[int]) -> list[tuple[str, Decoded]]:
        names = [readable[i].id for i in positions]
        plain = [frames[name] for name in names]
        normalised = normalised_by_speaker(plain, [""] * len(plain), model.normalise_variance)
        return list(zip(names, recogniser.speaker(normalised, config.adapt), strict=True))

    made = ((name, decoded.transition_ids) for of in _in_threads(recording, groups) for name, decoded in of)
    for problem in recogniser.problems:
        logger.warning("not adapted: %s", problem)
    return _write(out, model, made, left_out, {"model": str(model_folder), "config": config.model_dump(mode="json")})


def _speech(
    items: Sequence[TranscribedItem], lexicon: Lexicon, model: PhoneModel, work: Path
) -> tuple[TrainingSpeech, dict[str, str]]:
    if ["<eps>", *lexicon.phones] != model.phones:
        raise IsoglossError(
            f"the lexicon has {len(lexicon.phones)} phones and the model {len(model.phones) - 1}, or others; "
            "use the lexicon.txt that lies beside the model's stages"
        )
    frames = cepstra_store(items, work / "cepstra", model.with_pitch)
    used = pronounce(items, lexicon, model.transition_model.topologies, frames, model.normalise_variance)
    return used.speech, used.left_out


def _decoder(model: PhoneModel, config: DecodeConfig) -> Decoder:
    graph = build_graph(model.transition_model, model.tree, model.lm, silence_phone=model.silence)
    return Decoder(
        graph,
        model.transition_model,
        beam=config.beam,
        max_active=config.max_active,
        acoustic_scale=config.acoustic_scale,
        best_path_scale=config.best_path_scale,
    )


def _parts(speech: TrainingSpeech, frames: np.ndarray) -> list[np.ndarray]:
    return [frames[a:b] for a, b in zip(speech.frame_start[:-1], speech.frame_start[1:], strict=True)]


def _in_threads(work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> list[ResultT]:
    """The search and the likelihoods release Python's lock, so that threads do."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(work, items))


def _untranscribed(utterance: Utterance) -> TranscribedItem:
    return TranscribedItem(
        id=utterance.id,
        path=Path(utterance.source),
        speaker=utterance.source,
        words=(),
        start_seconds=utterance.start_seconds,
        end_seconds=utterance.end_seconds,
        command=utterance.source if utterance.source.rstrip().endswith("|") else None,
    )


def _write(
    out: Path,
    model: PhoneModel,
    paths: Iterator[tuple[str, np.ndarray]],
    left_out: dict[str, str],
    about: dict[str, Any],
) -> Path:
    """Phone times as a CTM (utterance, channel, start, duration, phone) and the pdf-ids of every frame."""
    of = model.transition_model
    num_frames = 0
    meta = {**about, "num_pdfs": model.num_pdfs, "pdf_names": model.pdf_names()}
    with (
        replacing(out / "phones.ctm") as part,
        open(part, "w", encoding="utf-8") as ctm,
        StoreWriter(out / "pdf_ids", np.int16, meta=meta) as writer,
    ):
        for name, path in sorted(paths):
            for phone, start, stop in of.phone_segments(path):
                seconds = f"{start * FRAME_SECONDS:.2f} {(stop - start) * FRAME_SECONDS:.2f}"
                ctm.write(f"{name} 1 {seconds} {model.phones[phone]}\n")
            if name not in writer.finished:
                writer.add(name, of.pdf_of[path].astype(np.int16))
            num_frames += len(path)
    write_left_out(out / "left_out.tsv", left_out)
    write_json(out / "about.json", {**about, "frames": num_frames, "left_out": len(left_out)})
    logger.info("%s: %d frames, %d utterances left out", out, num_frames, len(left_out))
    return out
