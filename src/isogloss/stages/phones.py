"""Frames → pdf_ids/: one virtual phoneme label for every voiced frame, in the rows' own order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isogloss.config import PhonesConfig
from isogloss.frontend.store import Store, StoreWriter
from isogloss.phones import allphone
from isogloss.phones.segments import Inventory, Segment, segments_to_labels
from isogloss.stages.clips import map_clips
from isogloss.stages.features import FrameStores, open_frames
from isogloss.stages.ledger import done, is_done, stamp
from isogloss.stages.prepare import read_cuts, read_splits
from isogloss.types import IGNORE_PDF, IsoglossError

if TYPE_CHECKING:
    from lhotse import CutSet

logger = logging.getLogger(__name__)


def phones(prepared: Path, frames: Path, out: Path, config: PhonesConfig) -> Path:
    """Label every voiced frame of `frames` from `config.source`; returns `out`, a label store (pdf-ids, int16)."""
    work = stamp("phones", config, prepared, frames)
    if is_done(out, work):
        return out
    stores, cuts = open_frames(frames), read_cuts(prepared)
    source: Callable[..., tuple[Inventory, Labeller, dict[str, Any]]] | None = {
        "espeak": _from_alignments,
        "teacher": _from_teacher,
        "pocketsphinx": _from_allphone,
    }.get(config.source)
    if source is None:
        raise IsoglossError(
            "phones.source is none: there is nothing to label; train single-task systems (1) without labels"
        )
    inventory, labeller, about = source(cuts, stores, prepared, config)
    meta = {"source": config.source, "num_pdfs": inventory.num_pdfs, "pdf_names": inventory.pdf_names(), **about}
    with StoreWriter(out, np.int16, meta={**meta, "stamp": work}) as writer:
        for key in sorted(stores.frames, key=stores.frames.span):  # rows must lie as the frames' do
            if key not in writer.finished:
                writer.add(key, labeller(key))
    rows = Store(out).rows
    counts = np.bincount(rows[rows >= 0], minlength=inventory.num_pdfs)
    logger.info("%s: %d pdfs from %s", out, inventory.num_pdfs, config.source)
    return done(out, work, **about, **_statistics(counts, len(rows)))


Labeller = Callable[[str], np.ndarray]  # store key → [V] labels of its voiced frames


def _from_alignments(
    cuts: CutSet, stores: FrameStores, prepared: Path, config: PhonesConfig
) -> tuple[Inventory, Labeller, dict[str, Any]]:
    """The corpus's own phone times, each language with its own symbols."""
    segments = {cut.id: _alignment(cut) for cut in cuts}
    return _segment_labels(segments, stores, config)


def _from_allphone(
    cuts: CutSet, stores: FrameStores, prepared: Path, config: PhonesConfig
) -> tuple[Inventory, Labeller, dict[str, Any]]:
    """One decoding per clip; its speed copies carry the same segments, their times scaled."""
    trained = {name for split in read_splits(prepared).values() for name in [*split.train, *split.valid]}
    decoded = map_clips(cuts, trained.__contains__, _decode, allphone.SAMPLE_RATE, "phone recogniser")
    inventory, labeller, about = _segment_labels(dict(decoded), stores, config, list(allphone.PHONES))
    return inventory, labeller, about | {"recogniser": "pocketsphinx allphone, en-us"}


def _decode(name: str, samples: np.ndarray) -> tuple[str, list[Segment]]:
    return name, allphone.decode(samples)


def _segment_labels(
    segments: dict[str, list[Segment]], stores: FrameStores, config: PhonesConfig, names: list[str] | None = None
) -> tuple[Inventory, Labeller, dict[str, Any]]:
    inventory = Inventory(
        names or sorted({symbol for of_cut in segments.values() for symbol, _, _ in of_cut}), config.states_per_phone
    )
    if not inventory.phones:
        raise IsoglossError("this corpus has no phone times; use phones.source=pocketsphinx, or none")

    def labeller(key: str) -> np.ndarray:
        name, _, version = key.partition("#")
        voiced = stores.voiced[key]
        speed = float(version.removeprefix("sp")) if version.startswith("sp") else 1.0
        return segments_to_labels(segments.get(name, []), len(voiced), inventory, speed)[voiced]

    return inventory, labeller, {}


def _from_teacher(
    cuts: CutSet, stores: FrameStores, prepared: Path, config: PhonesConfig
) -> tuple[Inventory, Labeller, dict[str, Any]]:
    """A frame classifier of one language's phones, run over everything."""
    from isogloss.phones import teacher

    taught = {cut.id: _alignment(cut) for cut in cuts if cut.supervisions[0].language == config.teacher_language}
    train = {name for split in read_splits(prepared).values() for name in split.train}
    inventory, aligned, _ = _segment_labels(taught, stores, config)
    keys = [key for key in stores.frames if (name := key.partition("#")[0]) in taught and name in train]

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((stores.frames[key], aligned(key)) for key in keys)

    model, accuracy = teacher.train(pairs(), inventory.num_pdfs, config.teacher_epochs, config.seed)

    def labeller(key: str) -> np.ndarray:
        return next(teacher.label(model, [stores.frames[key]]))

    return (
        inventory,
        labeller,
        {"teacher_language": config.teacher_language, "teacher_frame_accuracy": round(accuracy, 4)},
    )


def _alignment(cut: Any) -> list[Segment]:
    """Phone times of a cut, in seconds of the cut."""
    aligned = (cut.supervisions[0].alignment or {}).get("phone", [])
    return [(item.symbol, item.start, item.start + item.duration) for item in aligned]


def _statistics(counts: np.ndarray, num_frames: int) -> dict[str, float]:
    """How good the labels can be: a source that sends everything to a few classes shows in the entropy."""
    share = counts / max(counts.sum(), 1)
    used = share[share > 0]
    return {
        "labelled_frames": int(counts.sum()),
        "unlabelled_share": round(1 - counts.sum() / max(num_frames, 1), 4),
        "entropy_bits": round(float(-(used * np.log2(used)).sum()), 3),
        "largest_class_share": round(float(share.max(initial=0.0)), 4),
        "ignored_label": IGNORE_PDF,
    }
