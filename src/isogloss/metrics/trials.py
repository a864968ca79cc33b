"""Trials: one detector (enrolled language) tried on one utterance. The checks before the maths, and weights.

A row of −inf is an utterance without an answer (a system that abstained, or never scored it): no threshold accepts it, and
no language is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from isogloss.metrics.sweep import Bins
from isogloss.types import OUT_OF_SET, IsoglossError, Key, Scores

_BLOCK_TRIALS = 1 << 16  # worked on at once where a metric needs copies: 0.5 MB each, which stay in cache


@dataclass(frozen=True, eq=False)
class Trials(Scores):
    """Scores that passed every check against a key, with what several metrics need, worked out once.

    Every metric takes them in place of scores (with the same key object); their scores must not be changed any more.
    """

    key: Key
    true: np.ndarray  # [U] int: index of each utterance's language in `languages`, C for out of set
    answered: np.ndarray  # [U] bool

    @cached_property
    def bins(self) -> Bins:
        return Bins.around_targets(self.loglik, self.true)

    def blocks(self) -> Iterator[slice]:
        """Utterances, some at a time."""
        step = max(1, _BLOCK_TRIALS // len(self.languages))
        return (slice(first, first + step) for first in range(0, len(self.utterances), step))


def checked(scores: Scores, key: Key) -> Trials:
    """The trials of a test set; every metric starts here, so that bad input is met before the maths.

    Raises IsoglossError for no utterances, fewer than two languages, repeated names, scores that are not finite (but for
    utterances without an answer), an utterance without key, and a language that is neither enrolled nor OUT_OF_SET.
    """
    if isinstance(scores, Trials) and scores.key is key:
        return scores
    if not scores.utterances or len(scores.languages) < 2:
        raise IsoglossError(
            f"scores of {len(scores.utterances)} utterances and {len(scores.languages)} languages; expected at least "
            "1 and 2: is the score file empty, or was only one language enrolled?"
        )
    for what, names in (("utterance", scores.utterances), ("language", scores.languages)):
        if len(set(names)) < len(names):
            repeated = Counter(names).most_common(1)[0][0]
            raise IsoglossError(f"{what} {repeated!r} is in the scores twice; were two score files joined?")
    answered = _answered(scores)
    index = {language: i for i, language in enumerate(scores.languages)} | {OUT_OF_SET: len(scores.languages)}
    without = [u for u in scores.utterances if u not in key]
    if without:
        raise IsoglossError(
            f"{len(without)} of {len(scores.utterances)} utterances have no true language, first {without[0]!r}; "
            "do scores and key come from the same test set?"
        )
    own = [key[u] for u in scores.utterances]
    strange = sorted(set(own) - index.keys())
    if strange:
        raise IsoglossError(
            f"the key has {', '.join(map(repr, strange))}, but enrolled are {', '.join(scores.languages)}; if that "
            "is no difference of spelling, mark them out of set first (mark_out_of_set)"
        )
    true = np.array([index[language] for language in own])
    return Trials(scores.utterances, scores.languages, np.ascontiguousarray(scores.loglik), key, true, answered)


def truth(scores: Scores, key: Key) -> np.ndarray:
    """[U] int: index of each utterance's language in `scores.languages`, C for out of set. Errors: see `checked`."""
    return checked(scores, key).true


def _answered(scores: Scores) -> np.ndarray:
    finite = np.isfinite(scores.loglik)
    if finite.all():
        return np.ones(len(finite), dtype=bool)
    silent = (scores.loglik == -np.inf).all(axis=1)
    bad = ~finite & ~silent[:, None]
    if bad.any():
        first = int(bad.any(axis=1).argmax())
        raise IsoglossError(
            f"{int(bad.sum())} of {bad.size} scores are not finite, first in utterance {scores.utterances[first]!r}; "
            "did it have no voiced frame, or did training diverge?"
        )
    if silent.all():
        raise IsoglossError(
            f"all scores of all {len(silent)} utterances are −inf, none has an answer; did training diverge?"
        )
    return ~silent


def mark_out_of_set(key: Key, languages: list[str]) -> Key:
    """The key with every language that is not in `languages` (the enrolled ones) replaced by OUT_OF_SET."""
    enrolled = set(languages)
    return {u: language if language in enrolled else OUT_OF_SET for u, language in key.items()}


def restrict_to_tested(scores: Scores, key: Key) -> Scores:
    """Without the languages no scored utterance is in. The scores that stay are unchanged (not normalised again)."""
    tested = np.unique(truth(scores, key))
    columns = tested[tested < len(scores.languages)]
    return Scores(scores.utterances, [scores.languages[i] for i in columns], scores.loglik[:, columns])


def as_weights(weights: np.ndarray | None, num_utterances: int) -> np.ndarray:
    """[R, U] float64 from weights of shape [U], [R, U], or None for a weight of one each.

    A weight counts how often an utterance is in the test set: one row is one bootstrap resample.
    """
    if weights is None:
        return np.ones((1, num_utterances))
    rows = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != num_utterances or not np.isfinite(rows).all() or (rows < 0).any():
        raise IsoglossError(
            f"utterance weights of shape {np.shape(weights)}; expected [{num_utterances}] or "
            f"[resamples, {num_utterances}], finite and not negative"
        )
    return rows


def like_weights(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """values [R, …] of `as_weights` rows → [R, …] if the caller gave rows, else […]; one number becomes a scalar."""
    return values if weights is not None and np.ndim(weights) == 2 else values[0]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan), where=whole > 0)


def per_language(rows: np.ndarray, true: np.ndarray, num_languages: int) -> np.ndarray:
    """Weights [R, U] → [R, C + 1], summed over the utterances of each language, out of set last."""
    return np.stack([np.bincount(true, weights=row, minlength=num_languages + 1) for row in rows])
