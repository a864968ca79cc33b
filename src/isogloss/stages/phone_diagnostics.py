"""Label sources held against each other: statistics, agreement, and a picture of one utterance."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.corpora.item import utterance_id
from isogloss.frontend.audio import read_audio
from isogloss.frontend.store import Store
from isogloss.phones.ctm import read_ctm
from isogloss.phones.diagnostics import agreement, label_statistics, v_measure
from isogloss.phones.imports import FrameLabels, imported, last_part
from isogloss.phones.pdf_names import phones_of_pdfs
from isogloss.phones.phonotactics import language_accuracy
from isogloss.phones.silence import SILENCES
from isogloss.report.labels_picture import labels_picture
from isogloss.stages.prepare import read_cuts, read_splits
from isogloss.types import IsoglossError

SAMPLE_RATE = 16000  # Hz


def compare_labels(paths: list[Path]) -> dict[str, Any]:
    """Statistics of each source, and for each two the frames of the utterances that both have."""
    sources = {str(path): open_labels(path) for path in paths}
    result: dict[str, Any] = {
        name: label_statistics(of.labels.items(), of.num_pdfs, phones_of_pdfs(of.pdf_names), SILENCES)
        for name, of in sources.items()
    }
    pairs = []
    for (name_a, a), (name_b, b) in combinations(sources.items(), 2):
        common = _common(a, b)
        if not common:
            pairs.append({"a": name_a, "b": name_b, "utterances": 0})
            continue
        one, other = (np.concatenate(column) for column in zip(*common, strict=True))
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


def _common(a: FrameLabels, b: FrameLabels) -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels of the utterances that both have at equal length; names are compared whole, or else by their file name."""
    named = b.labels if set(a.labels) & set(b.labels) else {last_part(name): of for name, of in b.labels.items()}
    pairs = ((of, named.get(name, named.get(last_part(name)))) for name, of in a.labels.items())
    return [(one, other) for one, other in pairs if other is not None and len(one) == len(other)]


def language_accuracies(decoded: list[Path], prepared: Path) -> dict[str, Any]:
    """How well the phones alone tell the languages of a prepared, cross-validated corpus: folder of `phones decode` → figures.

    A naive Bayes classifier on runs of phones and pairs of them, tones left away (phones/phonotactics.py); chance is one in the
    number of languages. Utterances are matched by id, or by file name.
    """
    cuts = {cut.id: cut.supervisions[0] for cut in read_cuts(prepared) if not cut.supervisions[0].custom["out_of_set"]}
    splits = enumerate(read_splits(prepared).values())
    fold_of = {name: fold for fold, split in splits for name in split.test if name in cuts}
    if len(set(fold_of.values())) < 2:
        raise IsoglossError(f"{prepared} has no folds; phone-sequence accuracy is measured by cross-validation")
    result = {}
    for folder in decoded:
        ctm = read_ctm(folder / "phones.ctm" if folder.is_dir() else folder, silences=())
        by_name = {name.rsplit("/", 1)[-1]: segments for name, segments in ctm.items()} | ctm
        found = {name: by_name.get(name, by_name.get(name.rsplit("/", 1)[-1], [])) for name in fold_of}
        bases = sorted({_base(symbol) for segments in found.values() for symbol, _, _ in segments})
        number = {base: index for index, base in enumerate(bases)}
        result[str(folder)] = language_accuracy(
            {name: [number[_base(symbol)] for symbol, _, _ in segments] for name, segments in found.items()},
            {name: cuts[name].language for name in fold_of},
            fold_of,
            {name: cuts[name].custom["recording"] for name in fold_of},
        )
    return result


def _base(phone: str) -> str:
    """Without its tone or stress."""
    return phone.rstrip("0123456789") or phone


def open_labels(path: Path) -> FrameLabels:
    """A label store, a folder of `phones decode` or `align`, or whatever can be imported."""
    for store in (path, path / "pdf_ids"):
        if (store / "meta.json").exists():
            of = Store(store)
            if "pdf_names" not in of.meta:
                raise IsoglossError(
                    f"{store} holds frames, not labels; expected a folder that `phones label`, `decode` or `align` made"
                )
            return FrameLabels(of.meta["num_pdfs"], of.meta["pdf_names"], {name: of[name] for name in of})
    return imported(path)


def draw_labels(audio: Path, labels: list[Path], out: Path, utterance: str | None = None) -> Path:
    """Write the picture; `labels` are CTM files, or folders that hold a phones.ctm.

    utterance: its name in them; None: the file's, with as many of its folders as the labels' names have.
    """
    place = audio.resolve()
    whole, name = utterance or utterance_id(place, Path(place.anchor)), utterance or utterance_id(audio, audio.parent)
    strips = {}
    for path in labels:
        ctm = path / "phones.ctm" if path.is_dir() else path
        of_all = read_ctm(ctm, silences=())
        found = max((key for key in of_all if f"/{whole}".endswith(f"/{key}")), key=len, default=None)
        matching = [found] if found else [key for key in of_all if f"/{key}".endswith(f"/{name}")]
        if len(matching) != 1:
            raise IsoglossError(
                f"{ctm} has {len(matching)} utterances called {name}, and {len(of_all)} in all such as "
                f"{min(of_all, default='none')}; say which with --utterance"
            )
        strip = path.stem if path.is_file() else path.resolve().name
        strips[str(path) if strip in strips else strip] = of_all[matching[0]]
    out.parent.mkdir(parents=True, exist_ok=True)
    labels_picture(read_audio(audio, SAMPLE_RATE), SAMPLE_RATE, strips, out, name)
    return out
