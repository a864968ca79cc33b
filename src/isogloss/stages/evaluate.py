"""Scores → metrics: per system, back end and condition, the test folds pooled, with intervals over recordings."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from isogloss import metrics
from isogloss.config import EvaluateConfig
from isogloss.types import OUT_OF_SET, IsoglossError, Key, Scores

DET_POINTS = 200


def evaluate_trials(trials: Path, scores: Path) -> dict[str, Any]:
    """All metrics of any system's score file (pairs or matrix) against a Kaldi/OLR trials file."""
    return metrics.evaluate(*metrics.read_scored_trials(trials, scores))


def evaluate_system(score_folders: dict[str, Path], config: EvaluateConfig) -> tuple[dict[str, Any], list[str]]:
    """(back end → condition → figures, warnings) of one system; `score_folders`: split → its scores/.

    Every test utterance is scored once, by the model that has not seen it; the splits' scores are pooled. Out-of-set
    utterances are scored by each split's model and count once for each.
    """
    warned: list[str] = []
    figures: dict[str, Any] = {}
    tests = {split: _read_tests(folder) for split, folder in score_folders.items()}
    backends = sorted({path.parent.name for folder in score_folders.values() for path in folder.glob("*/*.scores")})
    for backend in backends:
        recorded = {name for test in tests.values() for name in test} - {
            "full",
            "short",
            "channel",
            "open",
            "valid",
            "enrol",
        }
        for condition in (*config.conditions, *sorted(recorded)):
            parts = {split: test[condition] for split, test in tests.items() if condition in test}
            if not parts:
                continue
            scores, key, recordings, silent = _pool(
                parts, {s: score_folders[s] / backend / f"{condition}.scores" for s in parts}
            )
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                figures.setdefault(backend, {})[condition] = _figures(scores, key, recordings, silent, config)
            warned += [f"{condition}: {warning.message}" for warning in caught]
    return figures, list(dict.fromkeys(warned))


def pooled_scores(score_folders: dict[str, Path], condition: str, backend: str) -> tuple[Scores, Key, dict[str, str]]:
    """Scores, key and recordings of one condition and back end, the splits pooled; IsoglossError where there are none."""
    tests = {split: _read_tests(folder) for split, folder in score_folders.items()}
    if missing := [split for split, test in tests.items() if condition not in test]:
        raise IsoglossError(
            f"{score_folders[missing[0]]} has no condition {condition!r}; it has {', '.join(tests[missing[0]])}"
        )
    paths = {split: folder / backend / f"{condition}.scores" for split, folder in score_folders.items()}
    scores, key, recordings, _ = _pool({split: test[condition] for split, test in tests.items()}, paths)
    return scores, key, recordings


def validation_cllr(scores: Path) -> dict[str, float]:
    """Back end → Cllr on the validation utterances, which neither train nor test: what a choice may be made by."""
    figures, _ = evaluate_system({"valid": scores}, EvaluateConfig(conditions=("valid",), num_resamples=0))
    return {name: of["valid"]["cllr"]["value"] for name, of in figures.items()}


def better_backend(score_folders: list[Path]) -> str | None:
    """The back end with the lowest validation Cllr on average; None where there is no validation set."""
    found = [cllr for folder in score_folders if (cllr := validation_cllr(folder))]
    names = set.intersection(*(set(cllr) for cllr in found)) if found else set()
    return min(sorted(names), key=lambda name: sum(cllr[name] for cllr in found), default=None)


def _pool(parts: dict[str, dict[str, Any]], paths: dict[str, Path]) -> tuple[Scores, Key, dict[str, str], int]:
    """Scores, key and recordings of several splits as one; an utterance that several score is named after its split."""
    utterances: list[str] = []
    rows: list[np.ndarray] = []
    key: Key = {}
    recordings: dict[str, str] = {}
    languages: list[str] | None = None
    silent = 0
    for split, test in parts.items():
        scores = metrics.read_scores(paths[split])
        if languages is not None and scores.languages != languages:
            raise IsoglossError(
                f"{paths[split]} scores other languages than the splits before it: {set(scores.languages) ^ set(languages)}"
            )
        languages = scores.languages
        for utterance, row in zip(scores.utterances, scores.loglik, strict=True):
            name = f"{utterance}@{split}" if utterance in key else utterance
            utterances.append(name)
            rows.append(row)
            key[name] = test["key"][utterance]
            recordings[name] = test["recordings"][utterance]
        silent += len(test["no_speech"])
    return Scores(utterances, languages or [], np.array(rows)), key, recordings, silent


def _figures(
    scores: Scores, key: Key, recordings: dict[str, str], silent: int, config: EvaluateConfig
) -> dict[str, Any]:
    measured = metrics.evaluate(scores, key, recordings, config.num_resamples, config.seed)
    intervals = measured.pop("intervals", {})
    result: dict[str, Any] = {}
    for name, value in measured.items():
        low_high = intervals.get(name)
        if name in metrics.METRICS:
            result[name] = {"value": value} | ({"low": low_high[0], "high": low_high[1]} if low_high else {})
        else:
            result[name] = value
    counts = metrics.confusion(scores, key)  # [C + 1, C], the last row is the out-of-set utterances
    spoken = [*scores.languages, OUT_OF_SET]
    square = np.pad(counts, [(0, 0), (0, 1)]) if counts[-1].any() else counts[:-1]  # nothing is called out of set yet
    closed = [u for u in scores.utterances if key[u] != OUT_OF_SET]
    per_language = {
        language: {"recall": float(row[index] / row.sum()), "num": int(row.sum())}
        for index, (language, row) in enumerate(zip(scores.languages, counts[:-1], strict=True))
        if row.sum()
    }
    p_miss, p_fa = metrics.error_rates(scores, key)
    every = np.unique(np.linspace(0, len(p_miss) - 1, DET_POINTS).round().astype(int))
    return result | {
        "num_no_speech": silent,
        "num_closed": len(closed),
        "confusion": {"languages": spoken[: len(square)], "counts": square.astype(int).tolist()},
        "per_language": per_language,
        "det": {"p_miss": p_miss[every].tolist(), "p_fa": p_fa[every].tolist()},
    }


def _read_tests(folder: Path) -> dict[str, Any]:
    path = folder / "tests.json"
    if not path.exists():
        raise IsoglossError(f"{path} is not there; run `isogloss score` first")
    return dict(json.loads(path.read_text(encoding="utf-8")))
