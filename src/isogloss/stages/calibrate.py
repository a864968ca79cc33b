"""A system's development scores → calibration/: log-likelihoods of its scores, and when to call speech unknown.

For the score files of any system. calibration.npz (`isogloss pack --calibration` takes the folder), calibration.json (what
was fitted, Cllr and Cavg before and after), dev.scores (each utterance calibrated by a fit that has not seen its recording)
and, calibrated, every score file given besides.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isogloss.backends.calibration import Calibration, Form
from isogloss.backends.open_set import OpenSet, certainty, choose_threshold
from isogloss.metrics import (
    cavg_actual,
    cavg_min,
    cllr,
    read_recordings,
    read_scored_trials,
    read_scores,
    write_scores,
)
from isogloss.stages.ledger import replacing, write_json
from isogloss.types import IsoglossError, Key, Scores

logger = logging.getLogger(__name__)

ARRAYS, ABOUT, OUT_OF_FOLD = "calibration.npz", "calibration.json", "dev.scores"


def calibrate(
    trials: Path,
    scores: Path,
    out: Path,
    *,
    form: Form = "affine",
    apply: list[Path] | None = None,
    frames: Path | None = None,
    recordings: Path | None = None,
    enrolled: Path | None = None,
    rate: tuple[Literal["reject", "accept"], float] | None = None,
) -> Path:
    """Fit on the trials that are of enrolled languages; returns `out`.

    frames: lines `utterance voiced-frames`, for the duration form. recordings: lines `utterance recording`; the folds of
    the cross-validation are disjoint by them. enrolled: lines `utterance language` of the enrolment set, if the scores are
    log-posteriors that carry its language shares. rate: the open-set threshold, see `choose_threshold`; "accept" needs
    out-of-set utterances among the trials. IsoglossError as these raise, and for utterances without frames or recording.
    """
    dev, key = read_scored_trials(trials, scores, missing="reject")
    answered = np.isfinite(dev.loglik).all(axis=1)
    index = {language: column for column, language in enumerate(dev.languages)}
    truth = np.array([index.get(key[u], -1) for u in dev.utterances])
    known = answered & (truth >= 0)
    voiced = None if frames is None else _read_frames(frames)
    groups = groups_of([u for u, use in zip(dev.utterances, known, strict=True) if use], recordings)
    calibration, out_of_fold = Calibration.cross_fit(
        dev.loglik[known],
        truth[known],
        _frames_of(dev.utterances, voiced, known),
        languages=dev.languages,
        groups=groups,
        form=form,
        score_prior=None if enrolled is None else _shares(enrolled, dev.languages),
    )
    calibrated = _apply(calibration, dev, voiced)
    calibrated.loglik[known] = out_of_fold  # those of unknown languages took no part in any fit
    open_set = None
    if rate is not None:
        score = certainty(calibrated.loglik[answered])
        enrolled_ones = known[answered]
        open_set = choose_threshold(score[enrolled_ones], score[~enrolled_ones], rate=rate[0], at_most=rate[1])
    others = [(path, _apply(calibration, read_scores(path), voiced)) for path in apply or []]
    save_scores(out, others)
    save_calibration(out, calibration, form, open_set, dev, calibrated, key, known)
    return out


def save_calibration(
    out: Path,
    calibration: Calibration,
    form: Form,
    open_set: OpenSet | None,
    before: Scores,
    out_of_fold: Scores,
    key: Key,
    known: np.ndarray,
) -> None:
    """dev.scores, calibration.npz and calibration.json; `known` [U] are the utterances it was fitted on."""
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / OUT_OF_FOLD, out_of_fold, form="matrix")
    with replacing(out / ARRAYS) as part:
        state: dict[str, Any] = dict(calibration.state())
        np.savez(part, **state)
    about = {
        "form": form,
        "scales": calibration.scales.tolist(),
        "offset": dict(zip(calibration.languages, calibration.offset.tolist(), strict=True)),
        "unseen": calibration.unseen,
        "num_utterances": int(known.sum()),
        "before": closed_set(before, key, known),
        "out_of_fold": closed_set(out_of_fold, key, known),
        "open_set": None if open_set is None else open_set.to_dict(),
    }
    write_json(out / ABOUT, about)


def read_calibration(folder: Path) -> tuple[Calibration, OpenSet | None]:
    """What `calibrate` left in `folder`; IsoglossError where there is none."""
    for name in (ARRAYS, ABOUT):
        if not (folder / name).exists():
            raise IsoglossError(f"{folder / name} is not there; run `isogloss calibrate` first")
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        calibration = Calibration.from_state(dict(arrays))
    point = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["open_set"]
    return calibration, None if point is None else OpenSet(**point)


def groups_of(utterances: list[str], recordings: Path | None) -> list[str]:
    """The recording of each utterance; without a file each is its own, with a word on what that does."""
    if recordings is None:
        logger.warning(
            "no --recordings: the figures of the cross-validation are too good where a recording has several utterances"
        )
        return utterances
    of = read_recordings(recordings)
    if missing := [u for u in utterances if u not in of]:
        raise IsoglossError(f"{recordings}: no recording for {len(missing)} utterances, first {missing[0]!r}")
    return [of[u] for u in utterances]


def closed_set(scores: Scores, key: Key, known: np.ndarray) -> dict[str, float]:
    """Cllr, actual and minimum Cavg of the utterances marked in `known` [U]."""
    utterances = [u for u, use in zip(scores.utterances, known, strict=True) if use]
    part = Scores(utterances, scores.languages, scores.loglik[known])
    metrics = {"cllr": cllr, "cavg_actual": cavg_actual, "cavg_min": cavg_min}
    return {name: float(metric(part, key)) for name, metric in metrics.items()}


def save_scores(out: Path, others: list[tuple[Path, Scores]]) -> None:
    """out/<name of the file> each, as a matrix; IsoglossError before any is written where names would meet."""
    taken = Counter([OUT_OF_FOLD, *(path.name for path, _ in others)]).most_common(1)[0]
    if taken[1] > 1:
        raise IsoglossError(f"two score files would be written as {out / taken[0]}; rename one, or use another folder")
    if any(path.parent.resolve() == out.resolve() for path, _ in others):
        raise IsoglossError(f"{out} holds the scores that would be calibrated; write to another folder")
    out.mkdir(parents=True, exist_ok=True)
    for path, scores in others:
        write_scores(out / path.name, scores, form="matrix")


def in_order(scores: Scores, languages: list[str]) -> np.ndarray:
    """[U, C] the columns in the order of `languages`; IsoglossError unless they are the same ones."""
    if set(scores.languages) != set(languages):
        differing = sorted(set(scores.languages) ^ set(languages))
        raise IsoglossError(
            f"scores of other languages than those fitted on: {', '.join(differing[:5])}; are they of the same system?"
        )
    return scores.loglik[:, [scores.languages.index(language) for language in languages]]


def _apply(calibration: Calibration, scores: Scores, voiced: dict[str, float] | None) -> Scores:
    """Calibrated; a row of −inf, an utterance without an answer, stays one."""
    loglik = in_order(scores, calibration.languages)
    answered = np.isfinite(loglik).all(axis=1)
    frames = _frames_of(scores.utterances, voiced, answered) if calibration.by_duration else None
    result = np.full_like(loglik, -np.inf)
    result[answered] = calibration.apply(loglik[answered], frames)
    return Scores(scores.utterances, calibration.languages, result)


def _frames_of(utterances: list[str], voiced: dict[str, float] | None, use: np.ndarray) -> np.ndarray | None:
    if voiced is None:
        return None
    wanted = [u for u, used in zip(utterances, use, strict=True) if used]
    if missing := [u for u in wanted if u not in voiced]:
        raise IsoglossError(f"no voiced frames given for {len(missing)} utterances, first {missing[0]!r}")
    return np.array([voiced[u] for u in wanted])


def _read_frames(path: Path) -> dict[str, float]:
    try:
        return {u: float(number) for u, number in read_recordings(path).items()}
    except ValueError as error:
        raise IsoglossError(f"{path}: {error}; expected lines `utterance voiced-frames`") from None


def _shares(enrolled: Path, languages: list[str]) -> np.ndarray:
    count = Counter(read_recordings(enrolled).values())
    if absent := [language for language in languages if not count[language]]:
        raise IsoglossError(f"{enrolled}: no utterance of {', '.join(absent)}, which the scores have")
    return np.array([count[language] for language in languages], dtype=np.float64)
