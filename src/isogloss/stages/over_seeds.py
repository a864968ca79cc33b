"""Metrics of one system over its seeds, and how far two systems differ.

A figure is the mean over the seeds. In each bootstrap resample the same recordings are redrawn for every seed and system, so
that an interval covers the recordings and not the seeds (theirs is `by_seed`), and a difference is paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isogloss import metrics
from isogloss.stages.scored_set import ScoredSet


@dataclass(frozen=True)
class OverSeeds:
    """What two systems are compared by."""

    by_seed: dict[str, list[float]]  # metric → its value with each seed
    resampled: dict[str, np.ndarray]  # metric → [R] mean over the seeds
    recordings: frozenset[tuple[str, str]]  # (utterance, recording) tested

    def figure(self, name: str) -> dict[str, Any]:
        """{value, low, high}, and by_seed where there are several."""
        values = self.by_seed[name]
        figure: dict[str, Any] = {"value": float(np.mean(values))}
        if name in self.resampled:
            figure = asdict(metrics.Interval.of(figure["value"], self.resampled[name]))
        return figure | ({"by_seed": values} if len(values) > 1 else {})


def over_seeds(sets: Sequence[ScoredSet], names: Sequence[str], num_resamples: int, seed: int) -> OverSeeds:
    """The metrics of these names, resampled unless num_resamples is 0; warns as `metrics.draw`."""
    of = {name: (metrics.METRICS | metrics.OPEN_SET_METRICS)[name] for name in names}
    by_seed: dict[str, list[float]] = {name: [] for name in names}
    resampled = {name: np.zeros(num_resamples) for name in names if num_resamples}
    for one in sets:
        trials = metrics.checked(one.scores, one.key)
        for name, metric in of.items():
            by_seed[name].append(float(metric(trials, one.key, None)))
        if num_resamples:
            drawn = metrics.draw(trials, one.key, one.recordings, num_resamples, seed)
            for name, metric in of.items():
                resampled[name] += drawn.values(metric, trials, one.key) / len(sets)
    return OverSeeds(by_seed, resampled, frozenset(sets[0].recordings.items()))


def difference(a: OverSeeds, b: OverSeeds, name: str) -> dict[str, float] | None:
    """{value, low, high, p_value} of a − b, p two-sided. None where they heard other recordings."""
    if a.recordings != b.recordings:
        return None
    change = a.resampled[name] - b.resampled[name]
    value = float(np.mean(a.by_seed[name]) - np.mean(b.by_seed[name]))
    return asdict(metrics.Interval.of(value, change)) | {"p_value": metrics.two_sided_p(change)}
