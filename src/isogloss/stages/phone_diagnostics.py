"""Label sources held against each other: statistics, agreement, and a picture of one utterance."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.frontend.audio import read_audio
from isogloss.frontend.store import Store
from isogloss.phones.ctm import read_ctm
from isogloss.phones.diagnostics import agreement, label_statistics, v_measure
from isogloss.phones.imports import FrameLabels, imported
from isogloss.report.labels_picture import labels_picture
from isogloss.types import IsoglossError

SAMPLE_RATE = 16000  # Hz


def compare_labels(paths: list[Path]) -> dict[str, Any]:
    """Statistics of each source, and for each two the frames of the utterances that both have."""
    sources = {str(path): open_labels(path) for path in paths}
    result: dict[str, Any] = {
        name: label_statistics(of.labels.items(), of.num_pdfs, phone_of_pdf=_phones(of.pdf_names))
        for name, of in sources.items()
    }
    pairs = []
    for (name_a, a), (name_b, b) in combinations(sources.items(), 2):
        common = [u for u in a.labels if u in b.labels and len(a.labels[u]) == len(b.labels[u])]
        if not common:
            pairs.append({"a": name_a, "b": name_b, "utterances": 0})
            continue
        one, other = (np.concatenate([of.labels[u] for u in common]) for of in (a, b))
        measured = v_measure(one, other)
        pairs.append(
            {
                "a": name_a,
                "b": name_b,
                "utterances": len(common),
                "homogeneity": round(measured.homogeneity, 4),
                "completeness": round(measured.completeness, 4),
                "v_measure": round(measured.v_measure, 4),
                "same_pdf": round(agreement(one, other), 4),
            }
        )
    return {"sources": result, "pairs": pairs}


def open_labels(path: Path) -> FrameLabels:
    """A label store, a folder of `phones decode` or `align`, or whatever can be imported."""
    for store in (path, path / "pdf_ids"):
        if (store / "meta.json").exists():
            of = Store(store)
            return FrameLabels(of.meta["num_pdfs"], of.meta["pdf_names"], {name: of[name] for name in of})
    return imported(path)


def draw_labels(audio: Path, labels: list[Path], out: Path, utterance: str | None = None) -> Path:
    """Write the picture; `labels` are CTM files, or folders that hold a phones.ctm."""
    name = utterance or audio.stem
    strips = {}
    for path in labels:
        ctm = path / "phones.ctm" if path.is_dir() else path
        of_all = read_ctm(ctm, silences=())
        matching = [key for key in of_all if key == name or key.rsplit("/", 1)[-1] == name]
        if len(matching) != 1:
            raise IsoglossError(
                f"{ctm} has {len(matching)} utterances called {name}, and {len(of_all)} in all such as "
                f"{min(of_all, default='none')}; say which with --utterance"
            )
        strips[path.stem if path.is_file() else path.name] = of_all[matching[0]]
    labels_picture(read_audio(audio, SAMPLE_RATE), SAMPLE_RATE, strips, out, name)
    return out


def _phones(pdf_names: list[str]) -> list[str]:
    """The phone of each pdf, by its name `phone:state`; of one that several phones share, the first."""
    return [name.split("|")[0].rsplit(":", 1)[0] for name in pdf_names]
