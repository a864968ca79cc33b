"""Equal error rate, pooled over all trials of all languages: where as large a share is missed as is falsely accepted.

Out-of-set utterances have non-target trials only. Shapes: weights [U] or [R, U] → a number or [R].
"""

from __future__ import annotations

import numpy as np

from isogloss.metrics.trials import as_weights, like_weights, ratio, sort_trials, truth
from isogloss.types import IsoglossError, Key, Scores


def error_rates(scores: Scores, key: Key, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(P_miss, P_fa), each [..., G]: pooled error rates at the G distinct thresholds, from accept-all to reject-all.

    The points of the ROC and DET curves. Raises IsoglossError where no utterance is in an enrolled language.
    """
    true = truth(scores, key)
    rows = as_weights(weights, len(true))
    trials = sort_trials(scores.loglik, true)
    if not trials.is_target.any():
        raise IsoglossError("no utterance of an enrolled language among the trials: error rates need target trials")
    p_miss, p_right = (ratio(count, count[:, -1:]) for count in trials.rejected(rows))
    return like_weights(p_miss, weights), like_weights(1 - p_right, weights)


def eer(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Where the ROC, its points joined by straight lines, crosses P_miss = P_fa. 0 perfect, 0.5 chance."""
    p_miss, p_fa = (np.atleast_2d(rate) for rate in error_rates(scores, key, weights))  # [R, G]
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
    true = truth(scores, key)
    is_target = true[:, None] == np.arange(len(scores.languages))
    targets, nontargets = np.sort(scores.loglik[is_target]), np.sort(scores.loglik[~is_target])
    if not len(targets):
        raise IsoglossError("no utterance of an enrolled language among the trials: error rates need target trials")
    position = np.arange(len(targets))
    num_above = (len(nontargets) * (position * 1.0) / len(targets)).astype(int)
    found = nontargets[np.maximum(len(nontargets) - 1 - num_above, 0)] < targets
    return float(found.argmax() if found.any() else len(targets) - 1) / len(targets)
