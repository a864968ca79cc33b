"""Development scores of several systems → fusion/: one weight each, and their other score files as one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.backends.fusion import Fusion
from isogloss.metrics import read_scored_trials, read_scores, write_scores
from isogloss.stages.calibrate import OUT_OF_FOLD, closed_set, groups_of, in_order, save_scores
from isogloss.stages.ledger import replacing, write_json
from isogloss.types import IsoglossError, Scores


def fuse(
    trials: Path,
    systems: list[Path],
    out: Path,
    *,
    apply: list[list[Path]] | None = None,
    recordings: Path | None = None,
) -> Path:
    """Fit on the trials that are of enrolled languages; returns `out` with fusion.npz, fusion.json and dev.scores.

    apply: per further test set the score files of the systems, in their order; the result has the first one's name. A
    system may lack utterances: see `Fusion`; one that no system answers stays without an answer (−inf). IsoglossError
    for other numbers of files, and as `calibrate`.
    """
    sets = apply or []
    if wrong := next((files for files in sets if len(files) != len(systems)), None):
        raise IsoglossError(
            f"{len(wrong)} score files to fuse ({', '.join(map(str, wrong))}) for {len(systems)} systems; expected one a system"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a system lacks utterances is what fusion is for
        read = [read_scored_trials(trials, path, missing="reject") for path in systems]
    dev, key = read[0]
    index = {language: column for column, language in enumerate(dev.languages)}
    truth = np.array([index.get(key[u], -1) for u in dev.utterances])
    stacked = _aligned([scores for scores, _ in read], dev.utterances, dev.languages)
    known = (truth >= 0) & _answered(stacked)
    groups = groups_of([u for u, use in zip(dev.utterances, known, strict=True) if use], recordings)
    fusion, out_of_fold = Fusion.cross_fit(
        list(stacked[:, known]), truth[known], languages=dev.languages, groups=groups
    )
    fused = Scores(dev.utterances, dev.languages, _applied(fusion, stacked))
    fused.loglik[known] = out_of_fold
    others = []
    for files in sets:
        parts = [read_scores(path) for path in files]
        utterances = list(dict.fromkeys(u for part in parts for u in part.utterances))
        loglik = _applied(fusion, _aligned(parts, utterances, fusion.languages))
        others.append((files[0], Scores(utterances, fusion.languages, loglik)))
    save_scores(out, others)
    write_scores(out / OUT_OF_FOLD, fused, form="matrix")
    with replacing(out / "fusion.npz") as part_file:
        state: dict[str, Any] = dict(fusion.state())
        np.savez(part_file, **state)
    about = {
        "weights": {str(path): weight for path, weight in zip(systems, fusion.weights.tolist(), strict=True)},
        "offset": dict(zip(fusion.languages, fusion.offset.tolist(), strict=True)),
        "unseen": fusion.unseen,
        "num_utterances": int(known.sum()),
        "systems": [closed_set(scores, key, known & np.isfinite(scores.loglik).all(axis=1)) for scores, _ in read],
        "out_of_fold": closed_set(fused, key, known),
    }
    write_json(out / "fusion.json", about)
    return out


def _answered(stacked: np.ndarray) -> np.ndarray:
    """[K, U, C] → [U] bool: some system has an answer."""
    return ~np.isnan(stacked).all(axis=(0, 2))


def _applied(fusion: Fusion, stacked: np.ndarray) -> np.ndarray:
    """[K, U, C] → [U, C]. The flat row of an utterance without any answer would be accepted as every language."""
    return np.where(_answered(stacked)[:, None], fusion.apply(list(stacked)), -np.inf)


def _aligned(systems: list[Scores], utterances: list[str], languages: list[str]) -> np.ndarray:
    """[K, U, C]; NaN where a system has no answer."""
    rows = {u: row for row, u in enumerate(utterances)}
    stacked = np.full((len(systems), len(utterances), len(languages)), np.nan)
    for system, scores in enumerate(systems):
        loglik = in_order(scores, languages)
        loglik = np.where(np.isneginf(loglik).all(axis=1, keepdims=True), np.nan, loglik)
        stacked[system, [rows[u] for u in scores.utterances]] = loglik
    return stacked
