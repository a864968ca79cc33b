"""Scores → metrics: per system, back end and condition, the test folds pooled, with intervals over recordings."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from isogloss import metrics
from isogloss.config import EvaluateConfig
from isogloss.stages.figures import WITH_INTERVAL, figures
from isogloss.stages.over_seeds import OverSeeds
from isogloss.stages.scored_set import read_scored_set, read_tests
from isogloss.types import IsoglossError, Key, Scores

NAMED = ("full", "short", "channel", "open")
"""The conditions of the recipes; a corpus may bring recordings of further ones."""


def evaluate_trials(
    trials: Path,
    scores: Path,
    recordings: Path | None = None,
    missing: Literal["error", "reject"] = "reject",
    extra: Literal["error", "ignore"] = "error",
    against: Path | None = None,
) -> dict[str, Any]:
    """All metrics of any system's score file (pairs, matrix, NIST) against Kaldi/OLR trials or a NIST key.

    recordings: lines `utterance recording` (utt2spk), for intervals. missing, extra: see `metrics.read_scored_trials`;
    what did not match is counted, in the fields of `metrics.Unmatched`. against: another system's scores of the same trials,
    which adds "against": by how much this one's metrics differ from it (`metrics.paired`; without recordings every utterance
    is one of its own), and McNemar's test. Raises IsoglossError.
    """
    groups = None if recordings is None else metrics.read_recordings(recordings)
    scored, key = metrics.read_scored_trials(trials, scores, missing, extra)
    measured = metrics.evaluate(scored, key, groups)
    if against is not None:
        other, _ = metrics.read_scored_trials(trials, against, missing, extra)
        measured["against"] = _paired(scored, other, key, groups or {name: name for name in key})
    return measured


def _paired(a: Scores, b: Scores, key: Key, groups: dict[str, str]) -> dict[str, Any]:
    """Metric → what `metrics.paired` finds, and mcnemar."""
    found: dict[str, Any] = {name: metrics.paired(a, b, key, groups, metrics.METRICS[name]) for name in WITH_INTERVAL}
    return {name: asdict(one) for name, one in found.items()} | {"mcnemar": asdict(metrics.mcnemar(a, b, key))}


def evaluate_system(score_folders: dict[str, Path], config: EvaluateConfig) -> tuple[dict[str, Any], list[str]]:
    """(back end → condition → figures, warnings) of one system; `score_folders`: split → its scores/.

    Every test utterance is scored once, by the model that has not seen it; the splits' scores are pooled. Out-of-set
    utterances are scored by each split's model and count once for each.
    """
    measured, warned = evaluate_seeds({config.seed: score_folders}, config)
    return {name: {condition: one for condition, (one, _) in of.items()} for name, of in measured.items()}, warned


def evaluate_seeds(
    score_folders: dict[int, dict[str, Path]], config: EvaluateConfig
) -> tuple[dict[str, dict[str, tuple[dict[str, Any], OverSeeds]]], list[str]]:
    """The same over several seeds: seed → split → scores/. With the figures comes what two systems are compared by.

    Raises IsoglossError where the seeds were not tested on the same utterances.
    """
    warned: list[str] = []
    measured: dict[str, dict[str, tuple[dict[str, Any], OverSeeds]]] = {}
    tested = {folder: set(read_tests(folder)) for of in score_folders.values() for folder in of.values()}
    recorded = set().union(*tested.values()) - {*NAMED, "valid", "valid_short", "enrol"}
    for backend in sorted({path.parent.name for folder in tested for path in folder.glob("*/*.scores")}):
        for condition in (*config.conditions, *sorted(recorded)):
            sets = {}
            for seed, of in score_folders.items():
                if having := {split: folder for split, folder in of.items() if condition in tested[folder]}:
                    sets[seed] = read_scored_set(having, condition, backend)
            if not sets:
                continue
            if len({frozenset(one.recordings) for one in sets.values()}) > 1 or len(sets) < len(score_folders):
                raise IsoglossError(
                    f"condition {condition}, back end {backend}: the seeds {', '.join(map(str, score_folders))} were not "
                    "tested on the same utterances, so their mean says nothing; report them apart"
                )
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                measured.setdefault(backend, {})[condition] = figures(sets, config)
            warned += [f"{condition}: {warning.message}" for warning in caught]
    return measured, list(dict.fromkeys(warned))


def validation_cllr(scores: Path) -> dict[str, float]:
    """Back end → Cllr on the validation utterances, which neither train nor test: what a choice may be made by."""
    figures, _ = evaluate_system({"valid": scores}, EvaluateConfig(conditions=("valid",), num_resamples=0))
    return {name: of["valid"]["cllr"]["value"] for name, of in figures.items()}


def better_backend(score_folders: list[Path]) -> str | None:
    """The back end with the lowest validation Cllr on average; None where there is no validation set."""
    found = [cllr for folder in score_folders if (cllr := validation_cllr(folder))]
    names = set.intersection(*(set(cllr) for cllr in found)) if found else set()
    return min(sorted(names), key=lambda name: sum(cllr[name] for cllr in found), default=None)
