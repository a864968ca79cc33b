"""Identification: which enrolled language scores highest.

Closed-set: out-of-set utterances are in the confusion counts but in none of the rates. An utterance without an answer is
in no cell of the counts, and wrong in every rate. Shapes: weights [U] or [R, U] → a number or [R]. A tie goes to the
language listed first.
"""

from __future__ import annotations

import numpy as np

from isogloss.metrics.trials import as_weights, checked, like_weights, per_language, ratio
from isogloss.types import Key, Scores


def confusion(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """[..., C + 1, C] number of utterances: true language (last: out of set) × language scored highest."""
    trials = checked(scores, key)
    rows = as_weights(weights, len(trials.true)) * trials.answered
    num_languages = len(trials.languages)
    shape = (num_languages + 1, num_languages)
    cell = trials.true * num_languages + trials.loglik.argmax(axis=1)  # [U]
    counts = [np.bincount(cell, weights=row, minlength=shape[0] * shape[1]).reshape(shape) for row in rows]
    return like_weights(np.stack(counts), weights)


def accuracy(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of the utterances of enrolled languages whose language scores highest; NaN without any such utterance."""
    hits, num_true, _ = _hits(scores, key, weights)
    return ratio(hits.sum(axis=-1), num_true.sum(axis=-1))


def recall(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """[..., C] per-language accuracy; NaN for a language without utterances."""
    hits, num_true, _ = _hits(scores, key, weights)
    return ratio(hits, num_true)


def macro_f1(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the tested languages of F1 = 2·hits / (utterances of l + utterances called l)."""
    hits, num_true, num_called = _hits(scores, key, weights)
    tested = num_true > 0
    f1 = np.where(tested, ratio(2 * hits, num_true + num_called), 0.0)
    return ratio(f1.sum(axis=-1), tested.sum(axis=-1))


def _hits(scores: Scores, key: Key, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hits, utterances of the language, of enrolled languages called it), each [..., C]."""
    trials = checked(scores, key)
    counts = confusion(trials, key, weights)[..., :-1, :]
    num_true = per_language(as_weights(weights, len(trials.true)), trials.true, len(trials.languages))[:, :-1]
    return np.diagonal(counts, axis1=-2, axis2=-1), like_weights(num_true, weights), counts.sum(axis=-2)
