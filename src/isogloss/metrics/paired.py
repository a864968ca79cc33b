"""Is one system better than another on the same trials? Two answers: an interval of the difference, and McNemar's test.

The bootstrap redraws the same recordings for both systems (see `bootstrap`), so what makes a test set easy or hard cancels.
McNemar's test (Psychometrika 1947; in its exact, binomial form) looks only at the utterances one system names rightly
and the other does not. It takes utterances for independent, which clips of one recording are not: then its p is too low.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.metrics.bootstrap import Interval, Metric, draw
from isogloss.metrics.trials import checked
from isogloss.types import IsoglossError, Key, Scores


@dataclass(frozen=True)
class Paired:
    """A metric of two systems, and by how much they differ."""

    a: float
    b: float
    difference: Interval  # a − b, 95 %
    p_value: float  # `two_sided_p`


@dataclass(frozen=True)
class McNemar:
    """Utterances of enrolled languages that only one of two systems names rightly."""

    only_a: int
    only_b: int
    p_value: float  # two-sided, exact: as unequal a split of only_a + only_b coin tosses


def paired(
    scores_a: Scores,
    scores_b: Scores,
    key: Key,
    recordings: dict[str, str],
    metric: Metric,
    num_resamples: int = 1000,
    seed: int = 1024,
) -> Paired:
    """`metric` of a and b and of their difference over recordings (utterance → recording, speaker …).

    Raises IsoglossError where the two do not score the same utterances for the same languages (in any order), and as
    `draw` does.
    """
    scores_b = _in_the_order_of(scores_a, scores_b)
    drawn = draw(scores_a, key, recordings, num_resamples, seed)
    a, b = (float(metric(scores, key, None)) for scores in (scores_a, scores_b))
    change = drawn.values(metric, scores_a, key) - drawn.values(metric, scores_b, key)
    return Paired(a, b, Interval.of(a - b, change), two_sided_p(change))


def two_sided_p(change: np.ndarray) -> float:
    """Of no difference, from the differences [R] of resamples: 2 · (1 + those on the rarer side of 0) / (R + 1), at most 1."""
    rarer = min(int((change <= 0).sum()), int((change >= 0).sum()))
    return min(1.0, 2 * (1 + rarer) / (1 + len(change)))


def mcnemar(scores_a: Scores, scores_b: Scores, key: Key) -> McNemar:
    """The exact test on accuracy. Errors as `paired`."""
    from scipy.special import bdtr

    right = []
    for scores in (scores_a, _in_the_order_of(scores_a, scores_b)):
        trials = checked(scores, key)
        right.append((trials.loglik.argmax(axis=1) == trials.true) & trials.answered)
    only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    tail = float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, min(1.0, 2 * tail))


def _in_the_order_of(first: Scores, second: Scores) -> Scores:
    if first.utterances == second.utterances and first.languages == second.languages:
        return second
    for what, names, others in (
        ("utterances", first.utterances, second.utterances),
        ("languages", first.languages, second.languages),
    ):
        if strange := sorted(set(names) ^ set(others)):
            raise IsoglossError(
                f"the two systems do not score the same {what}: {len(strange)} are in one only, first {strange[0]!r}; "
                "a paired test needs the same trials: score what is missing, or leave it out of both"
            )
    row = {u: i for i, u in enumerate(second.utterances)}
    column = {language: i for i, language in enumerate(second.languages)}
    order = np.ix_([row[u] for u in first.utterances], [column[language] for language in first.languages])
    return Scores(first.utterances, first.languages, second.loglik[order])
