"""Labels made elsewhere, one function for each source and one result: pdf-ids per frame, 100 frames a second.

`imported` takes any of them, by what is there.

espeak's events and pocketsphinx's phones are segments already: `from_segments`.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from isogloss.phones.ctm import read_ctm
from isogloss.phones.hmm.topology import TransitionModel
from isogloss.phones.kaldi_ali import Archives, read_alignments, read_pdf_ark
from isogloss.phones.kaldi_model import check_tree, read_transition_model, read_tree
from isogloss.phones.segments import FRAME_CENTRE_SECONDS, FRAME_SHIFT_SECONDS, Inventory, Segment, segments_to_labels
from isogloss.phones.silence import SILENCES, without_silence
from isogloss.phones.textgrid import read_textgrid
from isogloss.types import IGNORE_PDF, IsoglossError

MAX_FRAME_DIFFERENCE = 2  # frames; what another handling of the utterance's edges makes
MAX_PDFS = 2**15  # labels are stored as int16
MAX_NAMED_PHONES = 3
KALDI_MODEL = "final.mdl"
Kind = Literal["npz", "ali", "pdf", "ctm", "textgrid"]


@dataclass(frozen=True)
class FrameLabels:
    """`labels`: utterance → [T] int16 pdf-ids below `num_pdfs`, or IGNORE_PDF. `pdf_names` [num_pdfs] are for people."""

    num_pdfs: int
    pdf_names: list[str]
    labels: dict[str, np.ndarray]

    def for_frames(self, utterance: str, num_frames: int) -> np.ndarray:
        """The labels of an utterance of that many frames: [num_frames] int16. Raises IsoglossError."""
        if utterance not in self.labels:
            raise IsoglossError(
                f"no labels for utterance {utterance}, but for {len(self.labels)} others such as "
                f"{min(self.labels, default='none')}; are utterances named alike, and were all of them labelled?"
            )
        return fit_to_frames(self.labels[utterance], num_frames, utterance)


def label_files(path: str | Path) -> tuple[Kind, list[Path]]:
    """What labels `path` holds, and the files they come from, the first of them labels. Raises IsoglossError.

    .npz of pdf-ids; .ctm; a folder of TextGrids; a folder with ali.*.gz, or one such file (its name begins with ali), and
    the final.mdl that made it beside it; any other file is an archive of pdf-ids.
    """
    path = Path(path)
    if not path.exists():
        raise IsoglossError(
            f"no {path}; expected an .npz, a .ctm, an archive of pdf-ids, a Kaldi alignment or a folder of TextGrids"
        )
    if path.is_file() and path.suffix in (".npz", ".ctm"):
        return ("npz" if path.suffix == ".npz" else "ctm"), [path]
    if path.is_file() and not path.name.startswith("ali"):
        model = path.parent / KALDI_MODEL
        return "pdf", [path, *([model] if model.exists() else [])]
    archives = [path] if path.is_file() else sorted(path.glob("ali.*.gz"))
    if archives:
        folder = archives[0].parent
        if not (folder / KALDI_MODEL).exists():
            raise IsoglossError(
                f"{archives[0]} is a Kaldi alignment, but no {KALDI_MODEL} lies beside it; put the model there that made it, "
                "or give the pdf-ids that Kaldi's ali-to-pdf writes"
            )
        return "ali", [*archives, *(f for name in (KALDI_MODEL, "tree", "phones.txt") if (f := folder / name).exists())]
    grids = _textgrids(path)
    if not grids:
        raise IsoglossError(
            f"{path} holds neither ali.*.gz with {KALDI_MODEL} nor TextGrids; which file has the labels?"
        )
    return "textgrid", grids


def imported(path: str | Path, num_frames: Mapping[str, int] | None = None, states: int = 1) -> FrameLabels:
    """The labels that `label_files` finds. `num_frames` and `states` are for phone times: see `from_segments`."""
    kind, files = label_files(path)
    beside = {file.name: file for file in files}
    if kind == "npz":
        return from_npz(path)
    if kind == "ctm":
        return from_ctm(path, num_frames, states)
    if kind == "textgrid":
        return from_textgrids(path, num_frames, states)
    if kind == "pdf":
        model = beside.get(KALDI_MODEL)
        return from_pdf_ark(files[0], read_transition_model(model).num_pdfs if model else None)
    model = beside.pop(KALDI_MODEL)
    tree, phones = beside.pop("tree", None), beside.pop("phones.txt", None)
    return from_kaldi_ali(list(beside.values()), model, tree, phones)


def names_in(labels: Mapping[str, object], utterances: Iterable[str]) -> dict[str, str]:
    """Utterance → what `labels` calls it: its whole id, or the last part of it (`deu/a` is `a`); those found alone.

    IsoglossError if labels may be of either of two utterances.
    """
    owner: dict[str, str] = {}
    found = {}
    for utterance in utterances:
        name = utterance if utterance in labels else last_part(utterance)
        if name in labels:
            if owner.setdefault(name, utterance) != utterance:
                raise IsoglossError(
                    f"labels {name!r} may be of {owner[name]} or of {utterance}; name labels by the whole id of the utterance"
                )
            found[utterance] = name
    return found


def last_part(utterance: str) -> str:
    """The file name, of an id that is a path."""
    return utterance.rsplit("/", 1)[-1]


def from_kaldi_ali(
    archives: Archives, model: str | Path, tree: str | Path | None = None, phones: str | Path | None = None
) -> FrameLabels:
    """Alignments `ali.*.gz` and the final.mdl that made them. `tree` is only checked against the model; `phones`, Kaldi's
    phones.txt, gives the pdfs readable names. Raises IsoglossError."""
    transitions = read_transition_model(model)
    if tree is not None:
        check_tree(read_tree(tree), transitions, tree, model)
    labels = {
        utterance: _as_labels(transitions.pdf_of[alignment], utterance, transitions.num_pdfs)
        for utterance, alignment in read_alignments(archives, transitions)
    }
    return FrameLabels(transitions.num_pdfs, _names(transitions, phones), labels)


def from_pdf_ark(archives: Archives, num_pdfs: int | None = None) -> FrameLabels:
    """Archives of pdf-ids. Without `num_pdfs` the highest pdf-id is taken for the last. Raises IsoglossError."""
    return _from_numbers(dict(read_pdf_ark(archives)), num_pdfs)


def from_npz(path: str | Path, num_pdfs: int | None = None) -> FrameLabels:
    """An .npz with an array [T] of pdf-ids for each utterance. Raises IsoglossError."""
    try:
        with np.load(path) as arrays:
            numbers = {utterance: arrays[utterance] for utterance in arrays.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise IsoglossError(f"{path} is not an .npz of pdf-ids per utterance ({error}); was it copied whole?") from None
    for utterance, values in numbers.items():
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise IsoglossError(
                f"{path}, utterance {utterance}: {values.dtype} of shape {values.shape}; expected whole numbers, one a frame"
            )
    if not numbers:
        raise IsoglossError(f"{path} holds no utterance; did the command that wrote it fail?")
    return _from_numbers(numbers, num_pdfs)


def from_ctm(path: str | Path, num_frames: Mapping[str, int] | None = None, states: int = 1) -> FrameLabels:
    """Phone times in a CTM file; see `from_segments`. Raises IsoglossError."""
    return from_segments(read_ctm(path, silences=()), num_frames, states)


def from_textgrids(
    folder: str | Path, num_frames: Mapping[str, int] | None = None, states: int = 1, tier: str = "phones"
) -> FrameLabels:
    """Phone times of all TextGrids in `folder` and below, utterance = file name without ending; see `from_segments`."""
    segments: dict[str, list[Segment]] = {}
    for path in _textgrids(Path(folder)):
        if path.stem in segments:
            raise IsoglossError(
                f"two TextGrids for utterance {path.stem} under {folder}; the second is {path}: rename one"
            )
        segments[path.stem] = read_textgrid(path, tier, silences=())
    if not segments:
        raise IsoglossError(f"no .TextGrid in {folder} or below; expected one for each utterance")
    return from_segments(segments, num_frames, states)


def from_segments(
    segments: Mapping[str, list[Segment]], num_frames: Mapping[str, int] | None = None, states: int = 1
) -> FrameLabels:
    """Phone times of each utterance, each phone cut in `states` equal parts, silence left without a label.

    `num_frames` says how many frames an utterance has; without it (or without the utterance in it) the labels end with its
    last segment, so give it unless silence is listed too. Raises IsoglossError.
    """
    spoken = {utterance: without_silence(found) for utterance, found in segments.items()}
    phones = sorted({symbol for found in spoken.values() for symbol, _, _ in found})
    if not phones:
        raise IsoglossError(f"no phone in {len(segments)} utterances, only silence ({', '.join(sorted(SILENCES))})")
    inventory = Inventory(phones, states)
    _check_num_pdfs(inventory.num_pdfs)
    labels = {}
    for utterance, found in spoken.items():
        length = (num_frames or {}).get(utterance)
        if length is None:
            length = _frames_until(max((end for _, _, end in segments[utterance]), default=0.0))
        labels[utterance] = segments_to_labels(found, length, inventory)
    return FrameLabels(inventory.num_pdfs, inventory.pdf_names(), labels)


def _textgrids(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".textgrid")


def fit_to_frames(labels: np.ndarray, num_frames: int, utterance: str) -> np.ndarray:
    """`labels` [T] as [num_frames]: at most two too many are cut off, at most two too few are IGNORE_PDF, at the end.

    IsoglossError if they differ by more.
    """
    difference = len(labels) - num_frames
    if abs(difference) > MAX_FRAME_DIFFERENCE:
        raise IsoglossError(
            f"utterance {utterance}: {len(labels)} labels but {num_frames} feature frames; expected at most "
            f"{MAX_FRAME_DIFFERENCE} more or fewer: {_cause(len(labels), num_frames)}"
        )
    return np.concatenate([labels[:num_frames], np.full(max(-difference, 0), IGNORE_PDF, dtype=labels.dtype)])


def _cause(num_labels: int, num_frames: int) -> str:
    if num_labels and 2.5 < num_frames / num_labels < 3.5:
        return "is it a chain model, with a label for every third frame? Make labels with a GMM"
    return "were they made of the same audio (same segment and speed), at 100 frames a second, before any VAD?"


def _frames_until(end_seconds: float) -> int:
    """Frames whose centre lies before `end_seconds`."""
    return max(0, math.ceil(round((end_seconds - FRAME_CENTRE_SECONDS) / FRAME_SHIFT_SECONDS, 6)))


def _from_numbers(numbers: Mapping[str, np.ndarray], num_pdfs: int | None) -> FrameLabels:
    if num_pdfs is None:
        num_pdfs = 1 + max((int(values.max()) for values in numbers.values() if len(values)), default=0)
    labels = {utterance: _as_labels(values, utterance, num_pdfs) for utterance, values in numbers.items()}
    return FrameLabels(num_pdfs, [f"pdf {pdf}" for pdf in range(num_pdfs)], labels)


def _as_labels(pdf_ids: np.ndarray, utterance: str, num_pdfs: int) -> np.ndarray:
    _check_num_pdfs(num_pdfs)
    labelled = pdf_ids[pdf_ids != IGNORE_PDF]
    if len(labelled) and (labelled.min() < 0 or labelled.max() >= num_pdfs):
        strange = labelled[(labelled < 0) | (labelled >= num_pdfs)][0]
        raise IsoglossError(
            f"utterance {utterance}: pdf-id {strange}, expected 0 to {num_pdfs - 1}; is num_pdfs that of the model?"
        )
    return pdf_ids.astype(np.int16)


def _check_num_pdfs(num_pdfs: int) -> None:
    if not 0 < num_pdfs <= MAX_PDFS:
        raise IsoglossError(f"{num_pdfs} pdfs; expected 1 to {MAX_PDFS}: are these pdf-ids, and not transition-ids?")


def _names(transitions: TransitionModel, phones: str | Path | None) -> list[str]:
    """Of each pdf `phones:HMM states`; a pdf that several phones share names the first three."""
    table = _phone_table(phones) if phones is not None else {}
    owners: list[tuple[list[str], set[int]]] = [([], set()) for _ in range(transitions.num_pdfs)]
    for phone, state, pdf in transitions.states.tolist():
        symbols, of_states = owners[pdf]
        of_states.add(state)
        if (symbol := table.get(phone, str(phone))) not in symbols:
            symbols.append(symbol)
    return [
        f"{'+'.join(symbols[:MAX_NAMED_PHONES])}{'+…' if len(symbols) > MAX_NAMED_PHONES else ''}"
        f":{'+'.join(map(str, sorted(of_states)))} ({pdf})"
        for pdf, (symbols, of_states) in enumerate(owners)
    ]


def _phone_table(path: str | Path) -> dict[int, str]:
    try:
        pairs = [line.split() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        return {int(number): symbol for symbol, number in pairs}
    except (OSError, ValueError) as error:
        raise IsoglossError(f"{path} is not a table 'symbol number' as Kaldi's phones.txt is ({error})") from None
