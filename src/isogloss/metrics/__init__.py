"""How good scores are. A metric is `metric(scores, key, weights=None)`; to add one: a file, and a line in METRICS.

docs/metrics.md has every formula, its source, and where it differs from the official scripts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from isogloss.metrics.accuracy import accuracy, confusion, macro_f1, recall
from isogloss.metrics.bootstrap import Interval, Metric, Resamples, bootstrap, draw
from isogloss.metrics.calibration_error import confidences, ece, ece_adaptive, ece_if_calibrated
from isogloss.metrics.cavg import (
    cavg_actual,
    cavg_min,
    cavg_nist,
    cavg_nist_min,
    cavg_olr,
    cavg_olr_floored,
    components,
    cprimary,
)
from isogloss.metrics.cllr import cllr, cllr_detection, cllr_detection_min, cllr_min
from isogloss.metrics.eer import eer, eer_kaldi, error_rates, min_dcf
from isogloss.metrics.open_set import (
    auroc,
    auroc_out_of_set,
    fpr95_out_of_set,
    fpr_at_recall,
    oscr,
    oscr_out_of_set,
)
from isogloss.metrics.paired import McNemar, Paired, mcnemar, paired, two_sided_p
from isogloss.metrics.posteriors import detection_llr, log_posterior
from isogloss.metrics.score_files import read_scores, write_scores
from isogloss.metrics.trial_files import (
    MatchedScores,
    Unmatched,
    read_recordings,
    read_scored_trials,
    read_trials,
    write_trials,
)
from isogloss.metrics.trials import Trials, checked, mark_out_of_set, restrict_to_tested, truth
from isogloss.types import OUT_OF_SET, Key, Scores

__all__ = [
    "FIGURES",
    "METRICS",
    "OPEN_SET_METRICS",
    "Interval",
    "MatchedScores",
    "McNemar",
    "Metric",
    "Paired",
    "Resamples",
    "Trials",
    "Unmatched",
    "accuracy",
    "auroc",
    "auroc_out_of_set",
    "bootstrap",
    "cavg_actual",
    "cavg_min",
    "cavg_nist",
    "cavg_nist_min",
    "cavg_olr",
    "cavg_olr_floored",
    "checked",
    "cllr",
    "cllr_detection",
    "cllr_detection_min",
    "cllr_min",
    "components",
    "confidences",
    "confusion",
    "cprimary",
    "detection_llr",
    "draw",
    "ece",
    "ece_adaptive",
    "ece_if_calibrated",
    "eer",
    "eer_kaldi",
    "error_rates",
    "evaluate",
    "fpr95_out_of_set",
    "fpr_at_recall",
    "log_posterior",
    "macro_f1",
    "mark_out_of_set",
    "mcnemar",
    "min_dcf",
    "oscr",
    "oscr_out_of_set",
    "paired",
    "read_recordings",
    "read_scored_trials",
    "read_scores",
    "read_trials",
    "recall",
    "restrict_to_tested",
    "truth",
    "two_sided_p",
    "write_scores",
    "write_trials",
]

METRICS: dict[str, Metric] = {
    "cavg_olr": cavg_olr,
    "cavg_olr_floored": cavg_olr_floored,
    "cavg_min": cavg_min,
    "cavg_actual": cavg_actual,
    "cprimary": cprimary,
    "eer": eer,
    "min_dcf": min_dcf,
    "cllr": cllr,
    "cllr_detection": cllr_detection,
    "cllr_detection_min": cllr_detection_min,
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "ece": ece,
}
OPEN_SET_METRICS: dict[str, Metric] = {
    "auroc_out_of_set": auroc_out_of_set,
    "fpr95_out_of_set": fpr95_out_of_set,
    "oscr_out_of_set": oscr_out_of_set,
    "cavg_nist": cavg_nist,
    "cavg_nist_min": cavg_nist_min,
}
"""Only of a test set with out-of-set utterances."""

FIGURES: dict[str, Callable[[Scores, Key], float]] = {
    "eer_kaldi": eer_kaldi,
    "cllr_min": cllr_min,
    "ece_adaptive": ece_adaptive,
    "ece_if_calibrated": ece_if_calibrated,
}
"""Of a whole test set only: they take no weights, so they have no interval."""


def evaluate(
    scores: Scores, key: Key, groups: dict[str, str] | None = None, num_resamples: int = 1000, seed: int = 1024
) -> dict[str, Any]:
    """Every metric and what it was measured on, ready for JSON.

    groups (utterance → recording) adds "intervals": name → [low, high], 95 %. Warns where enrolled and tested languages
    differ and where utterances of the key were not scored. What of a key and a score file did not match is in the
    fields of `Unmatched`. NaN where there is nothing to measure. Errors: see `truth`.
    """
    num_left_out = len(key) - len(scores.utterances)
    unmatched = Unmatched(num_left_out, num_left_out * len(scores.languages), 0, [])
    if isinstance(scores, MatchedScores):
        unmatched = scores.unmatched
    scores = checked(scores, key)
    spoken = {key[u] for u in scores.utterances}
    untested = [language for language in scores.languages if language not in spoken]
    if untested:
        warnings.warn(
            f"enrolled but not tested: {', '.join(untested)}; they count as never missed (leave them out of trials and "
            "scores, as restrict_to_tested does, to average over the tested ones)",
            stacklevel=2,
        )
    if num_left_out:
        warnings.warn(f"{num_left_out} of the {len(key)} utterances of the key have no scores: left out", stacklevel=2)
    num_without_answer = int((~scores.answered).sum())
    if num_without_answer:
        warnings.warn(
            f"{num_without_answer} of {len(scores.utterances)} utterances have no answer: counted as missed",
            stacklevel=2,
        )
    metrics = METRICS | (OPEN_SET_METRICS if OUT_OF_SET in spoken else {})
    result: dict[str, Any] = {name: float(metric(scores, key, None)) for name, metric in metrics.items()}
    result |= {name: figure(scores, key) for name, figure in FIGURES.items()}
    result |= {
        "num_trials": scores.loglik.size,
        "num_utterances": len(scores.utterances),
        "num_out_of_set": int((scores.true == len(scores.languages)).sum()),
        "num_without_answer": num_without_answer,
        **asdict(unmatched),
        "languages_enrolled": list(scores.languages),
        "languages_tested": [language for language in scores.languages if language in spoken],
    }
    if groups is not None and num_resamples:
        resamples = draw(scores, key, groups, num_resamples, seed)
        intervals = {name: resamples.interval(metric, scores, key) for name, metric in metrics.items()}
        result["intervals"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
    return result
