"""A trained phone recogniser on transcribed audio: align it, measure the phone error rate. `phone_decoding`: any audio."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from isogloss.config import DecodeConfig
from isogloss.corpora.transcribed import TranscribedItem
from isogloss.phones.hmm.decode import ACOUSTIC_SCALE, Decoder
from isogloss.phones.hmm.error_rate import PhoneErrors
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.hmm.recognise import Recogniser, align_speaker, group_by_speaker
from isogloss.phones.hmm.speech import TrainingSpeech
from isogloss.phones.lexicon import Lexicon
from isogloss.stages.ledger import write_json
from isogloss.stages.phone_decoding import from_path, write_phones
from isogloss.stages.transcribed import cepstra_store, first_pronunciation, pronounce, some, write_left_out
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
LM_WEIGHTS = range(7, 18)  # inverse acoustic scales that are tried in scoring, as in Kaldi's local/score.sh
INSERTION_PENALTIES = (0.0, 0.5, 1.0)  # nats per phone, likewise
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def score_phones(
    items: Sequence[TranscribedItem], lexicon: Lexicon, model_folder: Path, work: Path, config: DecodeConfig
) -> dict[str, Any]:
    """Phone error rate of the items of use `test`, per cent: the best of language-model weights 7 to 17 and three penalties.

    As Kaldi scores: both are chosen on the scored speech itself, so that two recognisers can be compared, and neither
    figure is a promise for other speech; `per_by_lm_weight` are those without a penalty. Of a word's pronunciations the first
    is expected; silence does not count. `work`: where the cepstra are kept. Of `config` the beam, max_active and adapt matter.
    """
    testing = [item for item in items if item.use == "test"]
    if not testing:
        raise IsoglossError(
            f"none of {len(items)} utterances is for testing; does the table's column `split` say test?"
        )
    model = PhoneModel.load(model_folder)
    speech, left_out = _speech(testing, lexicon, model, work)
    references = [first_pronunciation(words) for words in speech.words]
    cepstra = _parts(speech, speech.frames)
    groups = group_by_speaker(speech.speakers)
    recogniser = Recogniser(model, _decoder(model, config))
    passes = {"independent": dict.fromkeys(range(len(cepstra)))}
    if model.adapts and config.adapt:
        passes["adapted"] = {}
        for positions in groups.values():
            transform = recogniser.transform([cepstra[i] for i in positions])
            passes["adapted"] |= dict.fromkeys(positions, transform)
    report: dict[str, Any] = {}
    for name, transforms in passes.items():
        # a speaker that could not be adapted to has no transform
        logliks = [
            (recogniser.independent if transforms[i] is None else model.gmm).loglik(model.frames(x, transforms[i]))
            for i, x in enumerate(cepstra)
        ]
        tried: dict[tuple[int, float], PhoneErrors] = {}
        for weight in LM_WEIGHTS:
            for penalty in INSERTION_PENALTIES:
                found = _in_threads(recogniser.decoder.rescaled(1.0 / weight, penalty).decode, logliks)
                pairs = zip(references, found, strict=True)
                tried[weight, penalty] = sum(
                    (PhoneErrors.of(said, of.phones, {model.silence}) for said, of in pairs), PhoneErrors()
                )
        best = min(tried, key=lambda setting: (tried[setting].errors, setting))
        report[name] = {
            "per": round(100 * tried[best].rate, 2),
            "lm_weight": best[0],
            "insertion_penalty": best[1],
            **asdict(tried[best]),
            "per_by_lm_weight": {weight: round(100 * tried[weight, 0.0].rate, 2) for weight in LM_WEIGHTS},
        }
    return {
        **report[name],
        "passes": report,
        "utterances": len(references),
        "left_out": left_out,
        "problems": recogniser.problems,
    }


def align_phones(
    items: Sequence[TranscribedItem], lexicon: Lexicon, model_folder: Path, out: Path, config: DecodeConfig
) -> Path:
    """Phone times (OUT/phones.ctm) and pdf-ids (OUT/pdf_ids, a store) of transcribed utterances; returns `out`.

    Of `config` only `adapt` matters.
    """
    model = PhoneModel.load(model_folder)
    speech, left_out = _speech(list(items), lexicon, model, out)
    cepstra = _parts(speech, speech.frames)
    paths: dict[str, np.ndarray] = {}
    for positions in group_by_speaker(speech.speakers).values():
        transcripts = [speech.words[i] for i in positions]
        found = align_speaker(model, [cepstra[i] for i in positions], transcripts, config.adapt)
        for i, path in zip(positions, found, strict=True):
            if path is None:
                left_out[speech.utterances[i]] = "no path fits the transcript"
            else:
                paths[speech.utterances[i]] = path
    if not paths:
        raise IsoglossError(
            f"none of {len(cepstra)} utterances fits its transcript; do texts and audio belong together?"
        )
    about = {"model": str(model_folder), "adapt": config.adapt}
    recognised = ((name, from_path(model, path)) for name, path in paths.items())
    frames = write_phones(out, recognised, model.pdf_names(), about)
    write_left_out(out / "left_out.tsv", left_out)
    write_json(out / "about.json", {**about, "utterances": len(paths), "frames": frames, "left_out": len(left_out)})
    if left_out:
        logger.warning("left out %d of %d utterances: %s", len(left_out), len(items), some(left_out))
    return out


def _speech(
    items: Sequence[TranscribedItem], lexicon: Lexicon, model: PhoneModel, work: Path
) -> tuple[TrainingSpeech, dict[str, str]]:
    numbers = {phone: number for number, phone in enumerate(model.phones)}
    if unknown := [phone for phone in lexicon.phones if phone not in numbers]:
        raise IsoglossError(
            f"the lexicon has {len(unknown)} phones that the model of {len(numbers) - 1} does not know, such as {unknown[0]!r}; "
            "use the lexicon.txt that lies beside the model's stages, or one of the same phones"
        )
    cepstra = cepstra_store(items, work / "cepstra", model.with_pitch)
    topologies = model.transition_model.topologies
    used = pronounce(items, lexicon, numbers, topologies, cepstra, model.normalise_variance)
    return used.speech, used.left_out


def _decoder(model: PhoneModel, config: DecodeConfig) -> Decoder:
    graph = build_graph(model.transition_model, model.tree, model.lm, silence_phone=model.silence)
    return Decoder(
        graph,
        model.transition_model,
        beam=config.beam,
        max_active=config.max_active,
        acoustic_scale=config.acoustic_scale or ACOUSTIC_SCALE,
        best_path_scale=config.best_path_scale,
    )


def _parts(speech: TrainingSpeech, frames: np.ndarray) -> list[np.ndarray]:
    return [frames[a:b] for a, b in zip(speech.frame_start[:-1], speech.frame_start[1:], strict=True)]


def _in_threads(work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> list[ResultT]:
    """The search and the likelihoods release Python's lock, so that threads do."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(work, items))
