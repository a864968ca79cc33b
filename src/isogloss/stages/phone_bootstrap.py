"""A stage's alignment of the transcribed speech → a neural acoustic model of the same pdfs, that hears through noise.

    OUT/model.json, arrays.npz, phones.arpa   the stage's own: its phones, tree, graph
    OUT/neural.json, neural.safetensors       the classifier, which takes the mixtures' place in `phones label`

With untranscribed speech it goes on to learn from its own labels of that, where it is sure (phones/self_training.py).
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.config import BootstrapConfig
from isogloss.corpora.listing import listing
from isogloss.corpora.transcribed import TranscribedItem
from isogloss.phones.hmm.decode import Decoder
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.labeller import NEURAL, NEURAL_ACOUSTIC_SCALE
from isogloss.phones.hmm.model import ARRAYS, GRAMMAR, MODEL, PhoneModel
from isogloss.phones.neural import AlignedSpeech, NeuralOptions, NeuralPhones, num_frames, train
from isogloss.phones.self_training import SelfTrainingOptions, self_train
from isogloss.stages.clips import Clip, Unreadable, map_clips, map_files
from isogloss.stages.ledger import done, is_done, made_from, stamp
from isogloss.stages.phone_model import ALIGNMENT
from isogloss.stages.prepare import read_cuts, read_split
from isogloss.stages.transcribed import heard
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
SAMPLE_RATE = 16000  # Hz


def bootstrap(
    items: Sequence[TranscribedItem],
    stage: Path,
    out: Path,
    config: BootstrapConfig,
    untranscribed: Path | None = None,
    split: str | None = None,
) -> Path:
    """Train on the utterances that `stage` (a folder of `phones train`) aligned; returns `out`.

    untranscribed: audio as `phones decode` takes it, or a folder that `prepare` made: then the clips that `split` trains on, so
    that no test clip is heard.
    """
    _check(out, untranscribed, split)
    model = PhoneModel.load(stage)
    work = stamp(
        "phone bootstrap", config, stage,
        untranscribed=str(untranscribed and untranscribed.resolve()), split=split,
        prepared=_made_of(untranscribed, split) if untranscribed else None,
    )  # fmt: skip
    if is_done(out, work):
        return out
    aligned = _aligned(items, stage, model)
    phones = model.transition_model.states
    silence_pdfs = np.unique(phones[phones[:, 0] == model.silence, 2]).tolist()
    phone_of_pdf = np.zeros(model.num_pdfs, dtype=np.int64)
    phone_of_pdf[phones[::-1, 2]] = phones[::-1, 0]  # of a pdf that several share, the first
    options = NeuralOptions(copies=config.copies, epochs=config.epochs, seed=config.seed)
    logger.info("%d aligned utterances → neural model of %d pdfs", len(aligned), model.num_pdfs)
    neural = train(aligned, model.num_pdfs, silence_pdfs, options)
    if untranscribed is not None and config.self_training_rounds:
        other = _untranscribed(untranscribed, split)
        graph = build_graph(model.transition_model, model.tree, model.lm, silence_phone=model.silence)
        decoder = Decoder(graph, model.transition_model, acoustic_scale=NEURAL_ACOUSTIC_SCALE)

        def decode(loglik: np.ndarray) -> np.ndarray:
            return model.transition_model.pdf_of[decoder.decode(loglik).transition_ids]

        long = [of for of in other if num_frames(len(of[1])) >= decoder.min_frames]
        rounds = SelfTrainingOptions(config.self_training_rounds, config.min_confidence)
        neural = self_train(neural, aligned, long, decode, phone_of_pdf, silence_pdfs, rounds)
    return _finish(neural, stage, out, work)


def _check(out: Path, untranscribed: Path | None, split: str | None) -> None:
    """What would be wrong only after the training."""
    if out.exists() and not (out / NEURAL).exists() and (not out.is_dir() or any(out.iterdir())):
        raise IsoglossError(f"{out} holds something else; give a folder of its own, for it is replaced as a whole")
    if split is not None and untranscribed is None:
        raise IsoglossError(
            f"split {split} of what? Give the folder that `prepare` made as the untranscribed audio too"
        )
    if split is None and untranscribed is not None and (untranscribed / "cuts.jsonl.gz").exists():
        raise IsoglossError(
            f"{untranscribed} is a prepared corpus; say which split's training clips may be heard, such as --split fold0"
        )
    if split is not None and untranscribed is not None:
        read_split(untranscribed, split)


def _made_of(untranscribed: Path, split: str | None) -> str | list[Any]:
    """Of what other audio, for the stamp."""
    return made_from(untranscribed) if split else [heard(of) for of in listing(untranscribed)[0]]


def _finish(neural: NeuralPhones, stage: Path, out: Path, work: str) -> Path:
    """All files of the folder, beside and then in one move."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    neural.save(part)
    for name in (MODEL, ARRAYS, GRAMMAR):
        shutil.copyfile(stage / name, part / name)
    done(part, work, **neural.about)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)
    return out


def _aligned(items: Sequence[TranscribedItem], stage: Path, model: PhoneModel) -> list[AlignedSpeech]:
    """The utterances of `stage`'s alignment.npz with their audio, in its order."""
    path = stage / ALIGNMENT
    if not path.exists():
        raise IsoglossError(
            f"{stage} has no {ALIGNMENT}; expected the folder of one stage that `isogloss phones train` made"
        )
    with np.load(path, allow_pickle=False) as stored:
        names, starts = stored["utterances"].tolist(), stored["frame_start"].tolist()
        pdf_ids = model.transition_model.pdf_of[stored["transition_ids"]]
        used = stored["transition_ids"] > 0
    spans = {name: slice(a, b) for name, a, b in zip(names, starts[:-1], starts[1:], strict=True) if used[a:b].all()}
    found = {item.id: item for item in items if item.id in spans}
    if len(found) < len(spans):
        missing = next(name for name in spans if name not in found)
        raise IsoglossError(
            f"{len(spans) - len(found)} of the {len(spans)} utterances that {stage} aligned are not in this corpus, such as "
            f"{missing}; is it the corpus that the stage was trained on?"
        )
    by_file: dict[str, list[Clip]] = defaultdict(list)
    for item in found.values():
        length = None if item.end_seconds is None else item.end_seconds - item.start_seconds
        by_file[item.source].append(Clip(item.id, item.start_seconds, length))
    audio = dict(map_files(by_file, _samples, SAMPLE_RATE, "transcribed audio"))
    aligned = []
    for name, span in spans.items():
        try:
            aligned.append(AlignedSpeech(audio[name], pdf_ids[span].astype(np.int64), found[name].speaker))
        except IsoglossError as error:
            raise IsoglossError(f"utterance {name} of {error}") from None
    return aligned


def _untranscribed(source: Path, split: str | None) -> list[tuple[str, np.ndarray]]:
    """(recording or file, samples) in a fixed order."""
    if split is not None:
        cuts, wanted = read_cuts(source), set(read_split(source, split).train)
        recording = {cut.id: cut.supervisions[0].custom["recording"] for cut in cuts}
        made = dict(map_clips(cuts, wanted.__contains__, _samples, SAMPLE_RATE, "untranscribed audio"))
        return [(str(recording[name]), made[name]) for name in sorted(made)]
    utterances, _ = listing(source)
    by_file: dict[str, list[Clip]] = defaultdict(list)
    for of in utterances:
        length = None if of.end_seconds is None else of.end_seconds - of.start_seconds
        by_file[of.source].append(Clip(of.id, of.start_seconds, length))
    found = []
    for result in map_files(by_file, _samples, SAMPLE_RATE, "untranscribed audio", keep_going=True):
        if isinstance(result, Unreadable):
            logger.warning("left out: %s", result.reason)
        else:
            found.append(result)
    speaker = {of.id: of.recording for of in utterances}
    return [(speaker[name], samples) for name, samples in sorted(found, key=lambda pair: pair[0])]


def _samples(name: str, samples: np.ndarray) -> tuple[str, np.ndarray]:
    return name, samples
