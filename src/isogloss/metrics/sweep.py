"""Every threshold at once: trials → bins of scores, and how much of them each threshold rejects.

A threshold t rejects the trials scored below t. No threshold parts equal scores. A cost made of misses and false alarms
cannot be lowest, and the ROC cannot bend, between two target scores, where a higher threshold only saves false alarms: so
only the U target scores are sorted, and each of the U·C trials finds its place among them. O(U log U + U·C) where the
targets spread, O(U·C log U) at worst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bins:
    """The bin of every trial, in ascending order of score."""

    bin: np.ndarray  # [U, C] int32
    num: int  # B

    @staticmethod
    def around_targets(loglik: np.ndarray, true: np.ndarray) -> Bins:
        """B = 2G + 1 bins: below, at, between and above the G distinct scores of the target trials."""
        from isogloss.metrics.kernels import first_in_cell, place

        known = np.flatnonzero(true < loglik.shape[1])
        marks = np.unique(loglik[known, true[known]])  # [G]
        num_cells = len(marks) // 4 + 1  # a grid that stays in cache
        low, scale = _grid(marks, num_cells)
        places = np.zeros(loglik.shape, dtype=np.int32)
        place(loglik, marks, low, scale, first_in_cell(marks, low, scale, num_cells), places)
        return Bins(places, 2 * len(marks) + 1)

    @staticmethod
    def of_every_score(loglik: np.ndarray) -> Bins:
        """A bin for each distinct score: every point of a DET curve, at the price of a full sort."""
        distinct, place_of = np.unique(loglik, return_inverse=True)
        return Bins(place_of.reshape(loglik.shape).astype(np.int32), len(distinct))

    def weights(
        self, true: np.ndarray, of_target: np.ndarray, of_nontarget: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(targets, non-targets), each [R, B], of weights per utterance [R, U]."""
        from isogloss.metrics.kernels import weight_per_bin

        return weight_per_bin(
            self.bin, true, np.ascontiguousarray(of_target), np.ascontiguousarray(of_nontarget), self.num
        )

    def rejected(
        self, true: np.ndarray, of_target: np.ndarray, of_nontarget: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(targets, non-targets), each [R, B + 1]: weight below each threshold, from accept-all to reject-all."""
        targets, nontargets = (
            np.concatenate([np.zeros((len(each), 1)), np.cumsum(each, axis=1)], axis=1)
            for each in self.weights(true, of_target, of_nontarget)
        )
        return targets, nontargets


def _grid(marks: np.ndarray, num_cells: int) -> tuple[float, float]:
    """(low, cells per unit) over the bulk of the marks: an outlier would leave all others in one cell."""
    finite = marks[np.isfinite(marks)]
    if not len(finite):
        return 0.0, 0.0
    low, high = float(finite[len(finite) // 1000]), float(finite[-1 - len(finite) // 1000])
    with np.errstate(over="ignore"):
        scale = num_cells / (high - low) if high > low else 0.0
    return low, scale if np.isfinite(scale) else 0.0
