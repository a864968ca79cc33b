"""What a reader of a result must know of its data: who was enrolled and on what, which clips these are, what leaks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.stages.leaks import FILE as LEAKS
from isogloss.stages.prepare import read_cuts, read_splits
from isogloss.stages.runs import TrainedSystem, data_of


def enrolment(system: TrainedSystem) -> dict[str, Any] | None:
    """{by_language: utterances enrolled, num_seen: how many of them the network was trained on, copies: whether their copies were
    enrolled too, how: what the back end says of it, calibrated: back ends whose scores are}, of all splits of one seed together;
    None where the embeddings are gone.
    """
    folders = next(iter(system.seeds.values()))
    data = data_of(system)
    splits = read_splits(data) if data else {}
    language_of: dict[str, str] = {}
    seen: set[str] = set()
    back_ends: dict[str, Any] = {}
    for split, folder in folders.items():
        path = folder / "embeddings" / "enrol.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            enrolled = dict(zip(arrays["utterances"].tolist(), arrays["languages"].tolist(), strict=True))
        language_of |= enrolled
        seen |= enrolled.keys() & set(splits[split].train) if split in splits else set()
        if (about := folder / "backend" / "stage.json").exists():
            back_ends = json.loads(about.read_text(encoding="utf-8"))
    return {
        "by_language": dict(sorted(Counter(language_of.values()).items())),
        "num_seen": len(seen) if splits else None,
        "copies": back_ends.get("copies", 0) > 0,
        "how": back_ends.get("enrolment"),
        "calibrated": back_ends.get("calibrated"),
    }


def clips(data: Path, wanted: set[str]) -> dict[str, dict[str, Any]]:
    """Clip → {path of its recording, start, duration (seconds), language (the true one, of unknown ones too)}."""
    found = {}
    for cut in read_cuts(data):
        if cut.id in wanted:
            sources = cut.recording.sources if cut.has_recording else []
            found[cut.id] = {
                "path": str(sources[0].source) if sources else "",
                "start": cut.start,
                "duration": cut.duration,
                "language": cut.supervisions[0].language,
            }
    return found


def leaks(systems: Sequence[TrainedSystem]) -> dict[str, Any] | None:
    """What `isogloss leaks` found of a run (RUN/leaks.json) or of the corpus (OUT/leaks, OUT/data); None where it was not run."""
    runs = list(dict.fromkeys(folder.parents[1] for one in systems for folder in one.folders))
    for place in (*runs, *(run.parent / name for run in runs for name in ("leaks", "data"))):
        if (place / LEAKS).exists():
            return dict(json.loads((place / LEAKS).read_text(encoding="utf-8")))
    return None
