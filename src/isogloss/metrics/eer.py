"""Error rates pooled over all trials of all languages: DET curve, equal error rate, minimum detection cost.

Out-of-set utterances have non-target trials only. Shapes: weights [U] or [R, U] → a number or [R].
"""

from __future__ import annotations

import numpy as np

from isogloss.metrics.sweep import Bins
from isogloss.metrics.trials import Trials, as_weights, checked, like_weights, ratio
from isogloss.types import IsoglossError, Key, Scores


def error_rates(scores: Scores, key: Key, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(P_miss, P_fa), each [..., G]: pooled error rates at the G distinct thresholds, from accept-all to reject-all.

    The points of the ROC and DET curves. Raises IsoglossError where no utterance is in an enrolled language.
    """
    trials = checked(scores, key)
    rates = _rates(trials, Bins.of_every_score(trials.loglik), weights)
    return like_weights(rates[0], weights), like_weights(rates[1], weights)


def eer(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Where the ROC, its points joined by straight lines, crosses P_miss = P_fa. 0 perfect, 0.5 chance."""
    trials = checked(scores, key)
    p_miss, p_fa = _rates(trials, trials.bins, weights)  # [R, B + 1]
    after = (p_miss >= p_fa).argmax(axis=1)[:, None]  # at least 1: the first point is (0, 1)
    ends = np.concatenate([after - 1, after], axis=1)
    miss, fa = np.take_along_axis(p_miss, ends, axis=1), np.take_along_axis(p_fa, ends, axis=1)
    gap = fa - miss
    along = gap[:, 0] / (gap[:, 0] - gap[:, 1])
    return like_weights(miss[:, 0] + along * (miss[:, 1] - miss[:, 0]), weights)


def eer_kaldi(scores: Scores, key: Key) -> float:
    """What Kaldi's compute-eer prints, as a share: the published OLR numbers.

    k/K of the targets lie below target k (of K, ascending); take the non-target that k/K of the non-targets lie above.
    The EER is the first k/K at which the target is the higher of the two: a multiple of 1/K, where `eer` interpolates.
    """
    trials = checked(scores, key)
    is_target = trials.true[:, None] == np.arange(len(trials.languages))
    targets, nontargets = np.sort(trials.loglik[is_target]), np.sort(trials.loglik[~is_target])
    _need_targets(len(targets))
    position = np.arange(len(targets))
    num_above = (len(nontargets) * (position * 1.0) / len(targets)).astype(int)
    found = nontargets[np.maximum(len(nontargets) - 1 - num_above, 0)] < targets
    return float(found.argmax() if found.any() else len(targets) - 1) / len(targets)


def min_dcf(scores: Scores, key: Key, weights: np.ndarray | None = None, p_target: float = 0.01) -> np.ndarray:
    """NIST SRE's minimum detection cost, pooled: min over t of P_target·P_miss + (1 − P_target)·P_fa, unit costs.

    In units of what the better of "accept all" and "reject all" costs, min(P_target, 1 − P_target): at most 1.
    """
    if not 0 < p_target < 1:
        raise IsoglossError(f"P_target {p_target}; expected a probability between 0 and 1 (0.01 is usual)")
    trials = checked(scores, key)
    p_miss, p_fa = _rates(trials, trials.bins, weights)
    cost = (p_target * p_miss + (1 - p_target) * p_fa).min(axis=1)
    return like_weights(cost / min(p_target, 1 - p_target), weights)


def _rates(trials: Trials, bins: Bins, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(P_miss, P_fa), each [R, B + 1], from accept-all to reject-all."""
    rows = as_weights(weights, len(trials.true))
    _need_targets(int((trials.true < len(trials.languages)).sum()))
    p_miss, p_right = (ratio(count, count[:, -1:]) for count in bins.rejected(trials.true, rows, rows))
    return p_miss, 1 - p_right


def _need_targets(num: int) -> None:
    if not num:
        raise IsoglossError("no utterance of an enrolled language among the trials: error rates need target trials")
