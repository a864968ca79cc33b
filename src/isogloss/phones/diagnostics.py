"""What a label source made of a corpus: how many pdfs it uses, how evenly and how long each; do two sources agree.

Labels that fall on a few broad pdfs with long runs tell a network little. The figures are those printed beside the
Kaldi labels that were measured elsewhere, so that any source can stand next to them. IGNORE_PDF frames have no
label: they are left out of every share and end a run.

V-measure: Rosenberg and Hirschberg, "V-Measure: a conditional entropy-based external cluster evaluation measure",
EMNLP-CoNLL 2007, with β = 1. It compares sources whose pdfs have nothing in common but the frames.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isogloss.phones.segments import FRAME_CENTRE_SECONDS, FRAME_SHIFT_SECONDS, Segment
from isogloss.types import IGNORE_PDF, IsoglossError

Labels = Iterable[tuple[str, np.ndarray]]
"""(utterance, labels [T] int), IGNORE_PDF where a frame has none."""

NUM_TOP_PHONES = 12
SILENCE_PHONES = ("sil",)


@dataclass(frozen=True)
class VMeasure:
    """Each 0 (independent) … 1: is every b one a (homogeneity), is every a one b (completeness), their harmonic mean."""

    homogeneity: float
    completeness: float
    v_measure: float


def label_statistics(
    labels: Labels,
    num_pdfs: int,
    phone_of_pdf: Sequence[str] | None = None,
    silence_phones: Collection[str] = SILENCE_PHONES,
) -> dict[str, Any]:
    """Over all frames of all utterances:

    utterances, frames (labelled), ignored_frames, model_pdfs, distinct_pdfs, entropy_bits of the pdfs' shares,
    perplexity = 2^entropy, max_share, pdfs_for_90pct (the fewest pdfs that hold 90 % of the frames), mean_run_frames
    (of equal labels in a row). With `phone_of_pdf`, the name of each pdf's phone [num_pdfs], also `phone_statistics`.
    Raises IsoglossError for labels outside 0 … num_pdfs − 1 and where no frame has a label.
    """
    if phone_of_pdf is not None and len(phone_of_pdf) != num_pdfs:
        raise IsoglossError(f"{len(phone_of_pdf)} phones for {num_pdfs} pdfs; expected one phone per pdf")
    names, number = np.unique([""] * num_pdfs if phone_of_pdf is None else list(phone_of_pdf), return_inverse=True)
    pdfs, phones = _Tally(num_pdfs), _Tally(len(names))
    for utterance, ids in labels:
        ids = pdfs.checked(utterance, ids)
        pdfs.add(ids)
        phones.add(np.where(ids == IGNORE_PDF, IGNORE_PDF, number[np.maximum(ids, 0)]))
    share = pdfs.shares()  # falling
    entropy = float(-np.sum(share * np.log2(share)))
    found = {
        "utterances": pdfs.utterances,
        "frames": pdfs.frames,
        "ignored_frames": pdfs.ignored,
        "model_pdfs": num_pdfs,
        "distinct_pdfs": len(share),
        "entropy_bits": entropy,
        "perplexity": 2.0**entropy,
        "max_share": float(share[0]),
        # on counts: a cumulative share of exactly 0.9 must not be missed by rounding
        "pdfs_for_90pct": 1 + int(np.searchsorted(10 * np.cumsum(pdfs.falling()), 9 * pdfs.frames)),
        "mean_run_frames": pdfs.frames / pdfs.runs,
    }
    return found if phone_of_pdf is None else found | _of_phones(phones, names.tolist(), silence_phones)


def phone_statistics(
    labels: Labels, phones: Sequence[str], silence_phones: Collection[str] = SILENCE_PHONES
) -> dict[str, Any]:
    """silence_share, distinct_phones, mean_phone_run_frames and top_phones {name: share} of phone ids per frame.

    For sources that know the phone of a frame where pdfs are shared between phones. `phones`: name of each id. Raises
    IsoglossError as `label_statistics`.
    """
    tally = _Tally(len(phones))
    for utterance, ids in labels:
        tally.add(tally.checked(utterance, ids))
    tally.shares()
    return _of_phones(tally, list(phones), silence_phones)


def v_measure(a: np.ndarray, b: np.ndarray) -> VMeasure:
    """Of two sources' labels [N] of the same frames (utterances joined); frames that either leaves out do not count.

    homogeneity 1 − H(a|b)/H(a), completeness 1 − H(b|a)/H(b); 1 where the entropy below is 0. Raises IsoglossError.
    """
    a, b = _both_labelled(a, b)
    (_, a, of_a), (b_names, b, of_b) = (np.unique(side, return_inverse=True, return_counts=True) for side in (a, b))
    _, of_both = np.unique(a * len(b_names) + b, return_counts=True)
    h_a, h_b, h_both = _entropy(of_a), _entropy(of_b), _entropy(of_both)
    homogeneity = 1 - max(h_both - h_b, 0.0) / h_a if h_a else 1.0
    completeness = 1 - max(h_both - h_a, 0.0) / h_b if h_b else 1.0
    total = homogeneity + completeness
    return VMeasure(homogeneity, completeness, 2 * homogeneity * completeness / total if total else 0.0)


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the frames [N] labelled by both that have the same label. Raises IsoglossError."""
    a, b = _both_labelled(a, b)
    return float(np.mean(a == b))


def labels_to_segments(labels: np.ndarray, names: Sequence[str]) -> list[Segment]:
    """Labels [T] per frame → (name, start, end) in seconds of each run, around the frames' centres.

    The inverse of `segments_to_labels` with one state per phone; IGNORE_PDF frames make gaps.
    """
    labels = np.asarray(labels)
    starts = run_starts(labels)
    ends = np.append(starts, len(labels))[1:]
    first = FRAME_CENTRE_SECONDS - FRAME_SHIFT_SECONDS / 2
    return [
        (names[label], first + FRAME_SHIFT_SECONDS * start, first + FRAME_SHIFT_SECONDS * end)
        for label, start, end in zip(labels[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)
        if label != IGNORE_PDF
    ]


def run_starts(labels: np.ndarray) -> np.ndarray:
    """Index of the first frame of each run of equal labels [T], runs of IGNORE_PDF among them."""
    if not len(labels):
        return np.zeros(0, dtype=np.int64)
    return np.append(0, 1 + np.flatnonzero(labels[1:] != labels[:-1]))


class _Tally:
    """Frames of each label and runs, gathered utterance by utterance: a corpus need not fit in memory."""

    def __init__(self, num_labels: int) -> None:
        self.counts = np.zeros(num_labels, dtype=np.int64)
        self.utterances = self.ignored = self.runs = 0

    def checked(self, utterance: str, ids: np.ndarray) -> np.ndarray:
        ids = np.asarray(ids)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise IsoglossError(
                f"utterance {utterance}: labels of shape {ids.shape} and type {ids.dtype}; expected [T] integers"
            )
        ids = ids.astype(np.int64)  # −100 does not fit the unsigned types that labels may be stored in
        wrong = (ids != IGNORE_PDF) & ((ids < 0) | (ids >= len(self.counts)))
        if wrong.any():
            raise IsoglossError(
                f"utterance {utterance}: label {ids[wrong][0]} at frame {int(np.argmax(wrong))}, expected 0 … "
                f"{len(self.counts) - 1} or {IGNORE_PDF}; do the labels and the model belong together?"
            )
        return ids

    def add(self, ids: np.ndarray) -> None:
        used = ids[ids != IGNORE_PDF]
        self.utterances += 1
        self.ignored += len(ids) - len(used)
        self.counts += np.bincount(used, minlength=len(self.counts))
        self.runs += int(np.count_nonzero(ids[run_starts(ids)] != IGNORE_PDF))

    @property
    def frames(self) -> int:
        return int(self.counts.sum())

    def falling(self) -> np.ndarray:
        """Counts of the labels that occur, largest first."""
        return np.sort(self.counts[self.counts > 0])[::-1]

    def shares(self) -> np.ndarray:
        if not self.frames:
            raise IsoglossError(
                f"none of {self.ignored} frames of {self.utterances} utterances has a label; was the labelling run?"
            )
        return self.falling() / self.frames


def _of_phones(tally: _Tally, names: list[str], silence_phones: Collection[str]) -> dict[str, Any]:
    order = np.argsort(-tally.counts, kind="stable")[:NUM_TOP_PHONES].tolist()
    silence = sum(int(tally.counts[i]) for i, name in enumerate(names) if name in silence_phones)
    return {
        "silence_share": silence / tally.frames,
        "distinct_phones": int(np.count_nonzero(tally.counts)),
        "mean_phone_run_frames": tally.frames / tally.runs,
        "top_phones": {names[i]: float(tally.counts[i] / tally.frames) for i in order if tally.counts[i]},
    }


def _both_labelled(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(side).astype(np.int64) for side in (a, b))
    if a.shape != b.shape or a.ndim != 1:
        raise IsoglossError(
            f"labels of shapes {a.shape} and {b.shape}; expected [N] of the same frames: truncate each utterance "
            "to the shorter source, then join them"
        )
    both = (a != IGNORE_PDF) & (b != IGNORE_PDF)
    if not both.any():
        raise IsoglossError(f"none of {len(a)} frames has a label of both sources")
    return a[both], b[both]


def _entropy(counts: np.ndarray) -> float:
    """Of the shares [n] > 0, in nats; exactly 0 for a single label."""
    total = counts.sum()
    return float(np.log(total) - np.sum(counts * np.log(counts)) / total) if len(counts) > 1 else 0.0
