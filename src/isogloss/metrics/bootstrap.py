"""How far a value would move with other recordings: bootstrap intervals over recordings, not over utterances.

Utterances cut from one video or spoken by one speaker succeed and fail together; redrawing them one by one would make
the interval far too narrow. Recordings are redrawn within each language: which languages are tested is part of the
design of a test set, and a language that vanished from a resample would only make it easier.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isogloss.metrics.trials import checked
from isogloss.types import IsoglossError, Key, Scores

Metric = Callable[[Scores, Key, np.ndarray | None], np.ndarray]
"""(scores, key, weights [R, U] or None) → [R] or a number."""

_BLOCK_ELEMENTS = 4_000_000  # resamples × trials worked on at once: about 100 MB
_CELLS = 22  # per pair of languages: the counts between 21 thresholds


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % percentile interval."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(value: float, resampled: np.ndarray) -> Interval:
        """From the values [R] of the resamples."""
        low, high = np.percentile(resampled, [2.5, 97.5])
        return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class Resamples:
    """R test sets made of the recordings of one, each drawn with replacement."""

    times: np.ndarray  # [R, G] uint16, how often each recording is in each resample
    recording: np.ndarray  # [U] index of each utterance's recording

    def values(self, metric: Metric, scores: Scores, key: Key) -> np.ndarray:
        """[R] the metric of each resample."""
        trials = checked(scores, key)
        largest = max(trials.loglik.size, _CELLS * len(trials.languages) ** 2)
        num_rows = max(1, _BLOCK_ELEMENTS // largest)
        blocks = (self.times[i : i + num_rows, self.recording] for i in range(0, len(self.times), num_rows))
        return np.concatenate([metric(trials, key, weights) for weights in blocks])

    def interval(self, metric: Metric, scores: Scores, key: Key) -> Interval:
        """The metric of the test set itself, and the 2.5th and 97.5th percentile over the resamples."""
        trials = checked(scores, key)
        return Interval.of(float(metric(trials, key, None)), self.values(metric, trials, key))


def bootstrap(
    metric: Metric, scores: Scores, key: Key, groups: dict[str, str], num_resamples: int = 1000, seed: int = 1024
) -> Interval:
    """95 % percentile interval of `metric` over recordings; see `draw` for groups and errors.

    The same seed draws the same resamples for every metric and system: differences can be paired.
    """
    return draw(scores, key, groups, num_resamples, seed).interval(metric, scores, key)


def draw(scores: Scores, key: Key, groups: dict[str, str], num_resamples: int, seed: int) -> Resamples:
    """Resamples of the recordings (groups: utterance → recording, e.g. video or speaker), within each language.

    Warns for languages of a single recording, which no resample can vary: the interval is then too narrow. Raises
    IsoglossError for an utterance without recording and for less than one resample.
    """
    if num_resamples < 1:
        raise IsoglossError(f"{num_resamples} bootstrap resamples; expected at least 1 (1000 is usual)")
    without = [u for u in scores.utterances if u not in groups]
    if without:
        raise IsoglossError(
            f"{len(without)} of {len(scores.utterances)} utterances have no recording, first {without[0]!r}; "
            "give each one the video or speaker it comes from (or its own name)"
        )
    true = checked(scores, key).true
    names, recording = np.unique([groups[u] for u in scores.utterances], return_inverse=True)
    languages_of: list[set[int]] = [set() for _ in names]
    for g, language in zip(recording, true, strict=True):
        languages_of[g].add(int(language))
    strata: dict[tuple[int, ...], list[int]] = defaultdict(list)  # recordings of the same language, or languages
    for g, spoken in enumerate(languages_of):
        strata[tuple(sorted(spoken))].append(g)
    alone = sorted({language for spoken, members in strata.items() if len(members) == 1 for language in spoken})
    if alone:
        said = ", ".join([*scores.languages, "out of set"][language] for language in alone)
        warnings.warn(f"only one recording of {said}: intervals leave out how much it could vary", stacklevel=2)
    rng = np.random.default_rng(seed)
    times = np.zeros((num_resamples, len(names)), dtype=np.uint16)
    for members in strata.values():
        times[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=num_resamples)
    return Resamples(times, recording)
