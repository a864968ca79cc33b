"""Identification: which enrolled language scores highest, and whether the highest is high enough to be believed.

Accuracy, recall and F1 are closed-set: out-of-set utterances are in the confusion counts but in none of the three.
Shapes: weights [U] or [R, U] → a number or [R]. A tie goes to the language listed first.
"""

from __future__ import annotations

import numpy as np

from isogloss.metrics.cavg import detection_llr
from isogloss.metrics.trials import as_weights, like_weights, ratio, sort_trials, truth
from isogloss.types import IsoglossError, Key, Scores


def confusion(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """[..., C + 1, C] number of utterances: true language (last: out of set) × language scored highest."""
    true = truth(scores, key)
    rows = as_weights(weights, len(true))
    num_languages = len(scores.languages)
    shape = (len(rows), num_languages + 1, num_languages)
    cell = true * num_languages + scores.loglik.argmax(axis=1)  # [U]
    flat = np.arange(len(rows))[:, None] * (shape[1] * shape[2]) + cell
    counts = np.bincount(flat.ravel(), weights=rows.ravel(), minlength=int(np.prod(shape)))
    return like_weights(counts.reshape(shape), weights)


def accuracy(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of the utterances of enrolled languages whose language scores highest; NaN without any such utterance."""
    counts = confusion(scores, key, weights)[..., :-1, :]
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def recall(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """[..., C] per-language accuracy; NaN for a language without utterances."""
    counts = confusion(scores, key, weights)[..., :-1, :]
    return ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def macro_f1(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the tested languages of F1 = 2·hits / (utterances of l + utterances called l)."""
    counts = confusion(scores, key, weights)[..., :-1, :]
    num_true, num_called = counts.sum(axis=-1), counts.sum(axis=-2)
    f1 = ratio(2 * np.diagonal(counts, axis1=-2, axis2=-1), num_true + num_called)
    tested = num_true > 0
    return ratio(np.where(tested, f1, 0.0).sum(axis=-1), tested.sum(axis=-1))


def auroc_out_of_set(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """How well the highest posterior (flat prior) tells enrolled languages from out of set: area under the ROC.

    The probability that an enrolled-language utterance has the higher one of the two; ties count half. 0.5 is chance.
    Raises IsoglossError unless both kinds are there.
    """
    true = truth(scores, key)
    rows = as_weights(weights, len(true))
    known = true < len(scores.languages)
    if known.all() or not known.any():
        raise IsoglossError(
            f"{int(known.sum())} of {len(known)} utterances are of enrolled languages; needs both kinds"
        )
    confidence = detection_llr(scores.loglik).max(axis=1)  # [U] log p/(1 − p) of the highest p, which rounds to 1
    trials = sort_trials(confidence[:, None], np.where(known, 0, 1))
    known_below, unknown_below = trials.rejected(rows)  # [R, G], number of utterances under each threshold
    halfway = (unknown_below[:, 1:] + unknown_below[:, :-1]) / 2
    area = (np.diff(known_below, axis=1) * halfway).sum(axis=1)
    return like_weights(ratio(area, known_below[:, -1] * unknown_below[:, -1]), weights)
