"""Frames → pdf_ids/: one virtual phoneme label for every voiced frame, in the rows' own order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.config import PhonesConfig
from isogloss.frontend.store import Store, StoreWriter
from isogloss.phones import allphone
from isogloss.phones.diagnostics import label_statistics
from isogloss.phones.pdf_names import phones_of_pdfs
from isogloss.phones.segments import Inventory, Segment, segments_to_labels
from isogloss.phones.silence import SILENCES
from isogloss.stages import decoded_labels, imported_labels
from isogloss.stages.clips import map_clips
from isogloss.stages.features import open_frames, speed_of, utterance_of
from isogloss.stages.label_source import Corpus, LabelSource, MakeSource
from isogloss.stages.ledger import done, is_done, stamp
from isogloss.stages.prepare import read_cuts, read_splits
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)


def phones(prepared: Path, frames: Path, out: Path, config: PhonesConfig) -> Path:
    """Label every voiced frame of `frames` from `config.source`; returns `out`, a label store (pdf-ids, int16).

    A killed run goes on where it was. stage.json has the statistics of the labels that training reads.
    """
    if config.source == "none":
        raise IsoglossError(
            "phones.source is none: there is nothing to label; train single-task systems (1, 4s) without labels"
        )
    # by what it holds, not where it lies: a model that was moved makes the same labels
    options = config.model_dump(mode="json", exclude={"model", "labels"})
    if config.source == "gmm" and config.model is not None:
        options["model"] = decoded_labels.digests(config.model)
    if config.source == "kaldi" and config.labels is not None:
        options["labels"] = imported_labels.seen(config.labels)
    work = stamp("phones", options, prepared, frames)
    if is_done(out, work):
        return out
    corpus = Corpus(read_cuts(prepared), open_frames(frames), prepared)
    source = _SOURCES[config.source](corpus, config)
    about = {"source": config.source, "num_pdfs": source.num_pdfs, **source.about}
    with StoreWriter(out, np.int16, meta={**about, "pdf_names": source.pdf_names, "stamp": work}) as writer:
        in_order = sorted(corpus.stores.frames, key=corpus.stores.frames.span)  # rows must lie as the frames' do
        keys = [key for key in in_order if key not in writer.finished]
        for key, labels in zip(keys, source.labels(keys), strict=True):
            writer.add(key, labels)
    logger.info("%s: %d pdfs from %s", out, source.num_pdfs, config.source)
    return done(out, work, **about, **source.figures(), statistics=_statistics(corpus, Store(out), source))


def _statistics(corpus: Corpus, labels: Store, source: LabelSource) -> dict[str, Any]:
    """How good the labels can be: a source that sends everything to a few classes shows in the entropy."""
    read = ((key, labels[key]) for key in sorted(corpus.training_keys()))
    found = label_statistics(read, source.num_pdfs, phones_of_pdfs(source.pdf_names), SILENCES)
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}


def _from_alignments(corpus: Corpus, config: PhonesConfig) -> LabelSource:
    """The corpus's own phone times, each language with its own symbols."""
    return _from_segments({cut.id: _alignment(cut) for cut in corpus.cuts}, corpus, config)


def _from_allphone(corpus: Corpus, config: PhonesConfig) -> LabelSource:
    """One decoding per clip; its speed copies carry the same segments, their times scaled."""
    trained = {name for split in read_splits(corpus.prepared).values() for name in [*split.train, *split.valid]}
    decoded = map_clips(corpus.cuts, trained.__contains__, _decode, allphone.SAMPLE_RATE, "phone recogniser")
    about = {"recogniser": "pocketsphinx allphone, en-us"}
    return _from_segments(dict(decoded), corpus, config, list(allphone.PHONES), about)


def _decode(name: str, samples: np.ndarray) -> tuple[str, list[Segment]]:
    return name, allphone.decode(samples)


def _from_segments(
    segments: dict[str, list[Segment]],
    corpus: Corpus,
    config: PhonesConfig,
    names: list[str] | None = None,
    about: dict[str, Any] | None = None,
) -> LabelSource:
    inventory = Inventory(
        names or sorted({symbol for of_cut in segments.values() for symbol, _, _ in of_cut}), config.states_per_phone
    )
    if not inventory.phones:
        raise IsoglossError("this corpus has no phone times; use phones.source=pocketsphinx, or none")

    def labels(keys: Sequence[str]) -> Iterator[np.ndarray]:
        for key in keys:
            voiced = corpus.stores.voiced[key]
            of_clip = segments.get(utterance_of(key), [])
            yield segments_to_labels(of_clip, len(voiced), inventory, speed_of(key))[voiced]

    return LabelSource(inventory.num_pdfs, inventory.pdf_names(), labels, about or {})


def _from_teacher(corpus: Corpus, config: PhonesConfig) -> LabelSource:
    """A frame classifier of one language's phones, run over everything."""
    from isogloss.phones import teacher

    taught = {cut.id: _alignment(cut) for cut in corpus.cuts if cut.supervisions[0].language == config.teacher_language}
    aligned = _from_segments(taught, corpus, config)
    frames, trained = corpus.stores.frames, corpus.trained()
    keys = [key for key in frames if (name := utterance_of(key)) in taught and name in trained]
    pairs = ((frames[key], labels) for key, labels in zip(keys, aligned.labels(keys), strict=True))
    model, accuracy = teacher.train(pairs, aligned.num_pdfs, config.teacher_epochs, config.seed)
    about = {"teacher_language": config.teacher_language, "teacher_frame_accuracy": round(accuracy, 4)}
    return LabelSource(
        aligned.num_pdfs, aligned.pdf_names, lambda keys: teacher.label(model, (frames[key] for key in keys)), about
    )


def _alignment(cut: Any) -> list[Segment]:
    """Phone times of a cut, in seconds of the cut."""
    aligned = (cut.supervisions[0].alignment or {}).get("phone", [])
    return [(item.symbol, item.start, item.start + item.duration) for item in aligned]


_SOURCES: dict[str, MakeSource] = {
    "gmm": decoded_labels.from_model,
    "kaldi": imported_labels.from_import,
    "espeak": _from_alignments,
    "teacher": _from_teacher,
    "pocketsphinx": _from_allphone,
}
