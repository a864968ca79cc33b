"""Expected calibration error: how far "90 % sure" is from being right nine times in ten.

Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017, with 15 bins. Confidence is
the highest posterior under a flat prior. Utterances out of set or without an answer have none and are left out.
"""

from __future__ import annotations

import numpy as np

from isogloss.metrics.posteriors import log_posterior
from isogloss.metrics.trials import as_weights, checked, like_weights, ratio
from isogloss.types import Key, Scores

NUM_BINS = 15
_DRAWS, _BLOCK = 200, 1 << 22


def ece(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Σ over 15 bins of equal width of (share of the utterances in it)·|accuracy − mean confidence|; NaN without any.

    weights [U] or [R, U] → a number or [R].
    """
    confidence, correct, used = confidences(scores, key)
    bins = equal_width(confidence)
    gap = np.zeros((len(used), NUM_BINS))
    gap[used, bins] = correct - confidence
    rows = as_weights(weights, len(used))
    return like_weights(ratio(np.abs(rows @ gap).sum(axis=1), rows @ used), weights)


def ece_adaptive(scores: Scores, key: Key) -> float:
    """The same over 15 bins of as many utterances each (equal confidences stay together); NaN without any.

    Where most utterances are nearly certain, bins of equal width leave all but one almost empty. Source: Nguyen and
    O'Connor, "Posterior calibration and exploratory analysis for natural language processing models", EMNLP 2015.
    """
    confidence, correct, _ = confidences(scores, key)
    if not len(confidence):
        return float("nan")
    first = np.arange(1, NUM_BINS) * len(confidence) // NUM_BINS
    bins = np.searchsorted(np.sort(confidence)[first], confidence, side="right")
    return float(np.abs(np.bincount(bins, weights=correct - confidence)).sum() / len(confidence))


def ece_if_calibrated(scores: Scores, key: Key) -> float:
    """What `ece` would be in the mean if every confidence were right: chance alone leaves a gap in bins of few utterances.

    Each utterance is right as often as its confidence says, drawn 200 times with a fixed seed: ±0.002 at 300 utterances. An
    `ece` near it is no sign of wrong confidences. Source: consistency resampling, Bröcker and Smith, "Increasing the
    reliability of reliability diagrams", Weather and Forecasting 2007. NaN without any utterance.
    """
    confidence, _, _ = confidences(scores, key)
    if not len(confidence):
        return float("nan")
    bins = equal_width(confidence)
    order = np.argsort(bins, kind="stable")
    ordered = confidence[order]
    first = np.flatnonzero(np.diff(bins[order], prepend=-1))
    generator, gaps, step = np.random.default_rng(0), [], max(1, _BLOCK // len(ordered))
    for begin in range(0, _DRAWS, step):
        right = generator.random((min(step, _DRAWS - begin), len(ordered))) < ordered
        gaps.append(np.abs(np.add.reduceat(right - ordered, first, axis=1)).sum(axis=1))
    return float(np.concatenate(gaps).mean() / len(ordered))


def equal_width(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence: (0, 1/15], (1/15, 2/15], …"""
    return np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)


def confidences(scores: Scores, key: Key) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(highest posterior [V], whether its language is right [V], which utterances these are [U] bool)."""
    trials = checked(scores, key)
    used = (trials.true < len(trials.languages)) & trials.answered
    best = np.concatenate([log_posterior(trials.loglik[part]).max(axis=1) for part in trials.blocks()])
    return np.exp(best[used]), (trials.loglik.argmax(axis=1) == trials.true)[used], used
