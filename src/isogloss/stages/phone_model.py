"""Transcribed speech + lexicon → a phone recogniser: one folder for each of its stages, mono to tri4b.

    OUT/cepstra/                a store of the features before normalisation
    OUT/mono/ … OUT/tri4b/      a model each (see phones/hmm/model.py), with alignment.npz of the training speech
    OUT/lexicon.txt             the pronunciations it was trained with
    OUT/left_out.tsv            utterances that were not used, and why
    OUT/stage.json              figures of every stage

A finished stage is not trained again: a killed run goes on with the next.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.config import GmmStageConfig, PhoneModelConfig, TransformStageConfig, TreeStageConfig
from isogloss.corpora.transcribed import TranscribedItem
from isogloss.phones.durations import implausible
from isogloss.phones.hmm import stages
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.phones.hmm.speech import TrainingSpeech
from isogloss.phones.hmm.stages import Phonetics, Stage
from isogloss.phones.hmm.topology import left_to_right, silence_topology
from isogloss.phones.hmm.train import EmOptions
from isogloss.phones.lexicon import Lexicon
from isogloss.stages.ledger import STAMP, done, is_done, replacing, stamp
from isogloss.stages.transcribed import cepstra_store, first_pronunciation, heard, pronounce, write_left_out
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
STAGES = ("mono", "tri1", "tri2b", "tri3b", "tri4b")
ALIGNMENT = "alignment.npz"
MAX_SHARE_SET_ASIDE = 0.05  # of the utterances, for their transcripts; more is the fault of a poor alignment


def train_phones(
    items: Sequence[TranscribedItem], lexicon: Lexicon, out: Path, config: PhoneModelConfig, last: str = "tri4b"
) -> Path:
    """Train every stage up to `last` on the items of use `train`; returns `out`."""
    if last not in STAGES:
        raise IsoglossError(f"no stage {last!r}; they are, in order, {', '.join(STAGES)}")
    training = [item for item in items if item.use == "train"]
    if not training:
        raise IsoglossError(
            f"none of {len(items)} utterances is for training; does the table's column `split` say train?"
        )
    names = STAGES[: STAGES.index(last) + 1]
    stamps = {name: _stamp(name, training, lexicon, config) for name in names}
    if is_done(out, stamps[last]):
        return out
    out.mkdir(parents=True, exist_ok=True)
    phonetics = phonetics_of(lexicon, config)
    cepstra = cepstra_store(training, out / "cepstra", config.with_pitch)
    numbers = {phone: lexicon.number(phone) for phone in lexicon.phones}
    used = pronounce(training, lexicon, numbers, phonetics.topologies, cepstra, config.normalise_variance)
    write_left_out(out / "left_out.tsv", used.left_out)
    with replacing(out / "lexicon.txt") as part:
        part.write_text(
            "".join(f"{word} {' '.join(said)}\n" for word, of in sorted(lexicon.pronunciations.items()) for said in of),
            encoding="utf-8",
        )
    lm = PhoneLM.train(
        [[phone for phone in first_pronunciation(words) if phone != phonetics.silence] for words in used.speech.words],
        config.lm_order,
        [numbers[phone] for phone in lexicon.phones[1:]],
    )
    figures: dict[str, dict[str, Any]] = {}
    aside: dict[str, str] = {}
    previous: Stage | None = None
    speech = used.speech
    for before, name in zip([None, *names], names, strict=False):
        if is_done(out / name, stamps[name]):
            about = json.loads((out / name / STAMP).read_text(encoding="utf-8"))
            figures[name], previous = about["figures"], None
            if name == "mono":
                aside = about["set_aside"]
                speech = speech.without(aside)
            continue
        if previous is None and before is not None:
            previous = _reopened(out / before, speech, phonetics)
        start = time.perf_counter()
        stage = getattr(config, name)
        asking = (
            replace(phonetics, tree_threshold=stage.tree_threshold) if isinstance(stage, TreeStageConfig) else phonetics
        )
        previous = _TRAINERS[name](previous, speech, asking, stage, config)  # type: ignore[arg-type]
        if name == "mono" and (aside := _implausible(previous, lexicon, config.max_duration_ratio)):
            for utterance, reason in aside.items():
                logger.warning("set aside: %s: %s", utterance, reason)
            speech = speech.without(aside)
            previous = _mono(previous, speech, phonetics, config.mono, config)
        figures[name] = _figures(previous, time.perf_counter() - start)
        logger.info(
            "%s: %d pdfs, %d Gaussians, log-likelihood %.2f per frame, %.1f s",
            *(name, *(figures[name][key] for key in ("num_pdfs", "num_gaussians", "loglik_per_frame", "seconds"))),
        )
        _save(previous, out / name, lexicon, lm, config, figures[name])
        done(out / name, stamps[name], figures=figures[name], **({"set_aside": aside} if name == "mono" else {}))
    left_out = used.left_out | aside
    write_left_out(out / "left_out.tsv", left_out)
    if left_out:
        logger.warning("%d of %d utterances not trained on; %s", len(left_out), len(training), out / "left_out.tsv")
    return done(out, stamps[last], utterances=len(speech.utterances), left_out=len(left_out), stages=figures)


def _implausible(stage: Stage, lexicon: Lexicon, ratio: float | None) -> dict[str, str]:
    """Utterance → why its transcript cannot be all that is said: some phone lasts many times what it does elsewhere."""
    if ratio is None:
        return {}
    em, starts = stage.em, stage.em.speech.frame_start
    segments = {
        name: em.model.phone_segments(em.transition_ids[first:stop])
        for name, first, stop in zip(em.speech.utterances, starts[:-1], starts[1:], strict=True)
        if stop > first and em.transition_ids[first]
    }
    found = implausible(segments, {em.silence_phone}, ratio)
    if len(found) > max(1, MAX_SHARE_SET_ASIDE * len(segments)):
        logger.warning(
            "%d of %d utterances have a phone of more than %g times its usual length: so many speak against the alignment, not the "
            "transcripts, and none is set aside",
            *(len(found), len(segments), ratio),
        )
        return {}
    return {
        name: f"phone {lexicon.phones[int(str(phone)) - 1]} lasts {frames / 100:.2f} s; is more said than the transcript has?"
        for name, (phone, frames) in found.items()
    }


def _mono(_: Stage, speech: TrainingSpeech, of: Phonetics, stage: GmmStageConfig, config: PhoneModelConfig) -> Stage:
    return stages.train_mono(speech, of, _options(stage, config.variance_smoothing, config.boost_silence))


def _tri1(before: Stage, _: TrainingSpeech, of: Phonetics, stage: TreeStageConfig, config: PhoneModelConfig) -> Stage:
    return stages.train_deltas(
        before, of, _options(stage, config.variance_smoothing, config.boost_silence), stage.leaves
    )


def _tri2b(
    before: Stage, _: TrainingSpeech, of: Phonetics, stage: TransformStageConfig, config: PhoneModelConfig
) -> Stage:
    return stages.train_lda_mllt(before, of, _options(stage, config.variance_smoothing), stage.leaves)


def _tri3b(
    before: Stage, _: TrainingSpeech, of: Phonetics, stage: TransformStageConfig, config: PhoneModelConfig
) -> Stage:
    return stages.train_sat(before, of, _options(stage, config.variance_smoothing), stage.leaves)


def _tri4b(before: Stage, _: TrainingSpeech, of: Phonetics, stage: TreeStageConfig, config: PhoneModelConfig) -> Stage:
    return stages.train_quick(before, of, _options(stage, config.variance_smoothing), stage.leaves)


_Trainer = Callable[[Stage, TrainingSpeech, Phonetics, Any, PhoneModelConfig], Stage]
_TRAINERS: dict[str, _Trainer] = {"mono": _mono, "tri1": _tri1, "tri2b": _tri2b, "tri3b": _tri3b, "tri4b": _tri4b}


def _options(stage: GmmStageConfig, smoothing: float, boost_silence: float = 1.0) -> EmOptions:
    return EmOptions(
        stage.gaussians,
        stage.iterations,
        stage.grow_until,
        stage.realign,
        stage.transforms if isinstance(stage, TransformStageConfig) else (),
        boost_silence=boost_silence,
        smoothing=smoothing,
    )


def phonetics_of(lexicon: Lexicon, config: PhoneModelConfig) -> Phonetics:
    """Numbers, topologies, root groups and extra questions of a lexicon's phones."""
    silence = lexicon.number(lexicon.phones[0])
    topologies = {silence: silence_topology(config.silence_states)}
    topologies |= {lexicon.number(phone): left_to_right() for phone in lexicon.phones[1:]}
    return Phonetics(
        topologies,
        [[lexicon.number(phone) for phone in group] for group in lexicon.root_groups],
        [frozenset(lexicon.number(phone) for phone in question) for question in lexicon.questions],
        silence,
    )


def _figures(stage: Stage, seconds: float) -> dict[str, Any]:
    em = stage.em
    return {
        "num_pdfs": em.gmm.num_pdfs,
        "num_gaussians": em.gmm.num_gaussians,
        "loglik_per_frame": round(em.logliks[-1], 4),
        "seconds": round(seconds, 2),
        "frames": len(em.frames),
        "utterances_not_aligned": em.num_failed,
        "utterances_retried": em.num_retried,  # with the wider beam
        "loglik_by_iteration": [round(value, 4) for value in em.logliks],
    }


def _save(
    stage: Stage, out: Path, lexicon: Lexicon, lm: PhoneLM, config: PhoneModelConfig, figures: dict[str, Any]
) -> None:
    model = PhoneModel.of(
        stage,
        lexicon.phones,
        lm,
        with_pitch=config.with_pitch,
        normalise_variance=config.normalise_variance,
        config=config.model_dump(mode="json"),
        loglik_per_frame=figures["loglik_per_frame"],
    )
    model.save(out)
    speakers = sorted(stage.transforms)
    with replacing(out / ALIGNMENT) as part:
        np.savez_compressed(
            part,
            utterances=np.array(stage.em.speech.utterances),
            frame_start=stage.em.speech.frame_start,
            transition_ids=stage.em.transition_ids,
            speakers=np.array(speakers, dtype=str),
            transforms=np.array([stage.transforms[speaker] for speaker in speakers]),
        )


def _reopened(folder: Path, speech: TrainingSpeech, phonetics: Phonetics) -> Stage:
    """A finished stage as the next one needs it."""
    model = PhoneModel.load(folder)
    with np.load(folder / ALIGNMENT, allow_pickle=False) as stored:
        transition_ids = stored["transition_ids"]
        transforms = dict(zip(stored["speakers"].tolist(), stored["transforms"], strict=True))
    if len(transition_ids) != len(speech.frames):
        raise IsoglossError(f"{folder} was aligned on other frames; remove it and train again")
    return model.reopened(speech, phonetics, transition_ids, transforms)


def _stamp(name: str, items: Sequence[TranscribedItem], lexicon: Lexicon, config: PhoneModelConfig) -> str:
    """Of a stage: it depends on the options of the stages before it, not on those of the stages after."""
    return stamp(
        "phone model",
        config.model_dump(mode="json", exclude=set(STAGES[STAGES.index(name) + 1 :])),
        name=name,
        items=[[*heard(item), item.speaker, item.words] for item in items],
        lexicon=[sorted(lexicon.pronunciations.items()), list(lexicon.root_groups), list(lexicon.questions)],
    )
