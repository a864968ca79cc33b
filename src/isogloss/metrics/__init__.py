"""How good scores are. A metric is `metric(scores, key, weights=None)`; to add one: a file, and a line in METRICS."""

from __future__ import annotations

import warnings
from typing import Any

from isogloss.metrics.accuracy import accuracy, auroc_out_of_set, confusion, macro_f1, recall
from isogloss.metrics.bootstrap import Interval, Metric, bootstrap, draw
from isogloss.metrics.cavg import cavg_actual, cavg_min, cavg_olr, components, detection_llr
from isogloss.metrics.cllr import cllr
from isogloss.metrics.eer import eer, eer_kaldi, error_rates
from isogloss.metrics.trials import (
    mark_out_of_set,
    read_scored_trials,
    read_scores,
    read_trials,
    restrict_to_tested,
    truth,
    write_scores,
    write_trials,
)
from isogloss.types import OUT_OF_SET, Key, Scores

__all__ = [
    "METRICS",
    "OPEN_SET_METRICS",
    "Interval",
    "Metric",
    "accuracy",
    "auroc_out_of_set",
    "bootstrap",
    "cavg_actual",
    "cavg_min",
    "cavg_olr",
    "cllr",
    "components",
    "confusion",
    "detection_llr",
    "eer",
    "eer_kaldi",
    "error_rates",
    "evaluate",
    "macro_f1",
    "mark_out_of_set",
    "read_scored_trials",
    "read_scores",
    "read_trials",
    "recall",
    "restrict_to_tested",
    "truth",
    "write_scores",
    "write_trials",
]

METRICS: dict[str, Metric] = {
    "cavg_olr": cavg_olr,
    "cavg_min": cavg_min,
    "cavg_actual": cavg_actual,
    "eer": eer,
    "cllr": cllr,
    "accuracy": accuracy,
    "macro_f1": macro_f1,
}
OPEN_SET_METRICS: dict[str, Metric] = {"auroc_out_of_set": auroc_out_of_set}
"""Only of a test set with out-of-set utterances."""


def evaluate(
    scores: Scores, key: Key, groups: dict[str, str] | None = None, num_resamples: int = 1000, seed: int = 1024
) -> dict[str, Any]:
    """Every metric and what it was measured on, ready for JSON.

    groups (utterance → recording) adds "intervals": name → [low, high], 95 %. Warns where enrolled and tested languages
    differ and where utterances of the key were not scored. Errors: see `truth`.
    """
    true = truth(scores, key)
    spoken = {key[u] for u in scores.utterances}
    untested = [language for language in scores.languages if language not in spoken]
    if untested:
        warnings.warn(
            f"enrolled but not tested: {', '.join(untested)}; they count as never missed "
            "(restrict_to_tested leaves them out)",
            stacklevel=2,
        )
    num_unscored = len(key) - len(scores.utterances)
    if num_unscored:
        warnings.warn(f"{num_unscored} of the {len(key)} utterances of the key have no scores: left out", stacklevel=2)
    metrics = METRICS | (OPEN_SET_METRICS if OUT_OF_SET in spoken else {})
    result: dict[str, Any] = {name: float(metric(scores, key, None)) for name, metric in metrics.items()}
    result |= {
        "num_trials": scores.loglik.size,
        "num_utterances": len(scores.utterances),
        "num_out_of_set": int((true == len(scores.languages)).sum()),
        "num_unscored": num_unscored,
        "languages_enrolled": list(scores.languages),
        "languages_tested": [language for language in scores.languages if language in spoken],
    }
    if groups is not None and num_resamples:
        resamples = draw(scores, key, groups, num_resamples, seed)
        intervals = {name: resamples.interval(metric, scores, key) for name, metric in metrics.items()}
        result["intervals"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
    return result
