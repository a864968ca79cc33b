"""One system with one back end under one condition → what metrics.json says of it: figures, curves, tables, worst errors.

Figures are means over the seeds; counts and curves are of all seeds' decisions together.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from isogloss import metrics
from isogloss.config import EvaluateConfig
from isogloss.metrics.calibration_error import NUM_BINS, equal_width
from isogloss.metrics.posteriors import log_posterior
from isogloss.stages.over_seeds import OverSeeds, over_seeds
from isogloss.stages.scored_set import ScoredSet, joined
from isogloss.types import OUT_OF_SET, Scores

DET_POINTS = 200
FRAMES_PER_SECOND = 100
DURATIONS = ((0, 1), (1, 3), (3, 10), (10, None))  # voiced seconds: above the first, up to the second
NUM_WORST = 15
WITH_INTERVAL = ("cavg_olr", "cavg_min", "cavg_actual", "eer", "cllr", "accuracy", "macro_f1", "ece")
OPEN_WITH_INTERVAL = ("auroc_out_of_set", "fpr95_out_of_set", "oscr_out_of_set")


def figures(sets: dict[int, ScoredSet], config: EvaluateConfig) -> tuple[dict[str, Any], OverSeeds]:
    """sets: seed → the same test set with that seed's scores. Warns as `metrics.evaluate` and `metrics.draw` do."""
    measured = [metrics.evaluate(one.scores, one.key) for one in sets.values()]
    shown = [name for name in (*WITH_INTERVAL, *OPEN_WITH_INTERVAL) if name in measured[0]]
    compared = over_seeds(list(sets.values()), shown, config.num_resamples, config.seed)
    result: dict[str, Any] = dict(measured[0])
    for name in metrics.METRICS | metrics.OPEN_SET_METRICS | metrics.FIGURES:
        if name in result:
            result[name] = {"value": float(np.mean([one[name] for one in measured]))}
    result |= {name: compared.figure(name) for name in shown}
    every = joined(sets)
    trials = metrics.checked(every.scores, every.key)
    counts = metrics.confusion(trials, every.key)  # [C + 1, C], the last row is the out-of-set utterances
    spoken = [*trials.languages, OUT_OF_SET]
    square = np.pad(counts, [(0, 0), (0, 1)]) if counts[-1].any() else counts[:-1]  # none is called out of set
    p_miss, p_fa = metrics.error_rates(trials, every.key)
    points = np.unique(np.linspace(0, len(p_miss) - 1, DET_POINTS).round().astype(int))
    result |= {
        "num_no_speech": next(iter(sets.values())).num_no_speech,
        "num_closed": int((trials.true < len(trials.languages)).sum()) // len(sets),
        "confusion": {"languages": spoken[: len(square)], "counts": square.astype(int).tolist()},
        "per_language": _per_language(trials, len(sets)),
        "det": {"p_miss": p_miss[points].tolist(), "p_fa": p_fa[points].tolist()},
        "reliability": _reliability(trials),
        "durations": _durations(every, trials, len(sets), config),
        "worst": _worst(every, trials),
    }
    return result, compared


def _per_language(trials: metrics.Trials, num_seeds: int) -> dict[str, dict[str, Any]]:
    recall = metrics.recall(trials, trials.key)
    num = np.bincount(trials.true, minlength=len(trials.languages) + 1)
    return {
        language: {"recall": float(recall[index]), "num": int(num[index]) // num_seeds}
        for index, language in enumerate(trials.languages)
        if num[index]
    }


def _reliability(trials: metrics.Trials) -> dict[str, list[Any]]:
    """By bins of confidence of equal width, those of `metrics.ece`: utterances, mean confidence, share that is right."""
    confidence, correct, _ = metrics.confidences(trials, trials.key)
    bins = equal_width(confidence)
    num = np.bincount(bins, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=of, minlength=NUM_BINS) / num for of in (confidence, correct)]
    confidences, accuracies = ([None if n == 0 else float(x) for n, x in zip(num, mean, strict=True)] for mean in means)
    return {"num": num.tolist(), "confidence": confidences, "accuracy": accuracies}


def _durations(
    every: ScoredSet, trials: metrics.Trials, num_seeds: int, config: EvaluateConfig
) -> list[dict[str, Any]]:
    """Accuracy by the voiced seconds heard, with its interval, and of each language; empty where they are not known."""
    known = (trials.true < len(trials.languages)) & np.isfinite(every.voiced_frames)
    seconds = every.voiced_frames / FRAMES_PER_SECOND
    right = (trials.loglik.argmax(axis=1) == trials.true) & trials.answered
    rows = []
    for above, up_to in DURATIONS:
        inside = known & (seconds > above if above else seconds >= 0) & (seconds <= (up_to or np.inf))
        if not inside.any():
            continue
        interval: dict[str, Any] = {"value": float(right[inside].mean())}
        # a seed hears the same clips as the others: they are drawn together, by the recording they have in common
        if config.num_resamples:
            some = np.flatnonzero(inside)
            part = Scores([trials.utterances[i] for i in some], trials.languages, trials.loglik[some])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a language with one recording of that length: said in the page's text
                found = metrics.bootstrap(
                    metrics.accuracy, part, trials.key, every.recordings, config.num_resamples, config.seed
                )
            interval = {"value": found.value, "low": found.low, "high": found.high}
        rows.append(
            {
                "above_seconds": above,
                "up_to_seconds": up_to,
                "num": int(inside.sum()) // num_seeds,
                "accuracy": interval,
                "per_language": {
                    trials.languages[index]: {
                        "recall": float(right[inside & (trials.true == index)].mean()),
                        "num": int((inside & (trials.true == index)).sum()) // num_seeds,
                    }
                    for index in np.unique(trials.true[inside]).tolist()
                },
            }
        )
    return rows


def _worst(every: ScoredSet, trials: metrics.Trials) -> list[dict[str, Any]]:
    """The clips that were named wrongly with the highest posterior, what splits and seeds say of a clip averaged.

    log_odds: of the language called against the one spoken; against all others where that one is not enrolled. Where
    the set has both kinds of clips, only those that are not enrolled: the others are another condition's.
    """
    names, of = np.unique(every.clips, return_inverse=True)
    posterior = log_posterior(trials.loglik)
    times = np.bincount(of, weights=trials.answered, minlength=len(names))
    mean = np.zeros((len(names), posterior.shape[1]))
    np.add.at(mean, of[trials.answered], posterior[trials.answered])
    mean = log_posterior(mean / np.maximum(times, 1)[:, None])
    first = np.full(len(names), len(of))
    np.minimum.at(first, of, np.arange(len(of)))
    true, called = trials.true[first], mean.argmax(axis=1)
    unknown = true == len(trials.languages)
    wrong = (called != true) & (times > 0) & (unknown if unknown.any() else True)
    surest = np.argsort(-np.where(wrong, mean.max(axis=1), -np.inf), kind="stable")[: min(NUM_WORST, int(wrong.sum()))]
    rows = []
    for clip in surest.tolist():
        best = mean[clip, called[clip]]
        others = np.delete(mean[clip], called[clip])
        other = np.logaddexp.reduce(others) if unknown[clip] else mean[clip, true[clip]]
        utterance = trials.utterances[first[clip]]
        frames = every.voiced_frames[first[clip]]
        rows.append(
            {
                "clip": str(names[clip]),
                "recording": every.recordings[utterance],
                "spoken": every.key[utterance],
                "called": trials.languages[called[clip]],
                "posterior": float(np.exp(best)),
                "log_odds": float(best - other),
                "voiced_seconds": None if np.isnan(frames) else float(frames) / FRAMES_PER_SECOND,
            }
        )
    return rows
