"""Multiclass Cllr: what the scores would cost, in bits, as probabilities. Sees calibration, which thresholds hide."""

from __future__ import annotations

import numpy as np

from isogloss.metrics.trials import as_weights, like_weights, ratio, truth
from isogloss.types import IsoglossError, Key, Scores


def cllr(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the tested languages of the mean of −log2 P(true language | utterance) under a flat prior.

    0 is perfect, log2 C is what a system that always answers "equally likely" costs; more is worse than no system.
    Out-of-set utterances have no posterior to score and are left out. weights [U] or [R, U] → a number or [R].
    Source: Brümmer and van Leeuwen, "On calibration of language recognition scores", Odyssey 2006 (multiclass Cllr).
    """
    true = truth(scores, key)
    rows = as_weights(weights, len(true))
    num_languages = len(scores.languages)
    known = true < num_languages
    if not known.any():
        raise IsoglossError("no utterance of an enrolled language among the scores: Cllr needs some")
    loglik, language = scores.loglik[known], true[known]
    best = loglik.max(axis=1)
    log_sum = best + np.log(np.exp(loglik - best[:, None]).sum(axis=1))
    bits = (log_sum - loglik[np.arange(len(loglik)), language]) / np.log(2)  # [U]
    one_hot = np.eye(num_languages)[language]
    count = rows[:, known] @ one_hot  # [R, C]
    cost = (rows[:, known] * bits) @ one_hot
    tested = count > 0
    per_language = np.where(tested, ratio(cost, count), 0.0)
    return like_weights(ratio(per_language.sum(axis=1), tested.sum(axis=1)), weights)
