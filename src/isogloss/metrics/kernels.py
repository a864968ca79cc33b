"""Compiled inner loops over all trials: which bin a score is in, and what weighs how much in every bin.

A bin is a stretch of scores that the thresholds tried do not tell apart. Imported where they are used: numba is slow to
import. Shapes: loglik [U, C] float32 or float64; true [U] (C for out of set); rows [R, U] float64.
"""

from __future__ import annotations

import numpy as np

from isogloss.compiled import compiled

Array = np.ndarray


@compiled(nogil=True)
def passed(loglik: Array, thresholds: Array, level: Array) -> None:
    """level [U, C]: how many of the thresholds (ascending, few) a score reaches."""
    for u in range(loglik.shape[0]):
        for c in range(loglik.shape[1]):
            count = 0
            for threshold in thresholds:
                count += loglik[u, c] >= threshold
            level[u, c] = count


@compiled(nogil=True)
def weight_per_level(level: Array, true: Array, rows: Array, num_levels: int) -> Array:
    """[R, C + 1, C, num_levels] weight of the utterances by true language, detector and level."""
    num_languages = level.shape[1]
    weight = np.zeros((rows.shape[0], num_languages + 1, num_languages, num_levels))
    for r in range(rows.shape[0]):
        for u in range(level.shape[0]):
            if rows[r, u] > 0:
                for c in range(num_languages):
                    weight[r, true[u], c, level[u, c]] += rows[r, u]
    return weight


@compiled(nogil=True)
def _cell(x: float, low: float, scale: float, num_cells: int) -> int:
    """Number of x's cell of a grid: never smaller for a larger x, which is all that `place` needs of it."""
    position = (x - low) * scale
    if not position > 0:  # NaN, of an infinity times 0, included
        return 0
    return int(position) if position < num_cells - 1 else num_cells - 1


@compiled(nogil=True)
def first_in_cell(marks: Array, low: float, scale: float, num_cells: int) -> Array:
    """[num_cells + 1]: entry k is how many marks (ascending) lie in the cells before cell k."""
    first = np.zeros(num_cells + 1, np.int32)
    for mark in marks:
        first[_cell(mark, low, scale, num_cells) + 1] += 1
    for k in range(num_cells):
        first[k + 1] += first[k]
    return first


@compiled(nogil=True)
def place(loglik: Array, marks: Array, low: float, scale: float, first: Array, place_of: Array) -> None:
    """place_of [U, C]: 2·(number of marks below the score) + 1 if it equals a mark; marks ascending, without repeats.

    A grid says between which few marks to search: a binary search among a million would wait for memory 20 times. The
    scores of an utterance are searched for together and without branches, so that their waits overlap.
    """
    num_languages, num_marks = loglik.shape[1], len(marks)
    begins, sizes = np.empty(num_languages, np.int32), np.empty(num_languages, np.int32)
    for u in range(loglik.shape[0] if num_marks else 0):
        biggest = np.int32(0)
        for c in range(num_languages):
            k = _cell(loglik[u, c], low, scale, len(first) - 1)
            begins[c], sizes[c] = first[k], first[k + 1] - first[k]
            biggest = max(biggest, sizes[c])
        while biggest > 0:
            for c in range(num_languages):
                half = sizes[c] >> 1
                above = np.int32(sizes[c] > 0) & np.int32(marks[min(begins[c] + half, num_marks - 1)] < loglik[u, c])
                begins[c] += above * (half + 1)
                sizes[c] = half - above * (1 - (sizes[c] & 1))  # the half above lacks the middle
            biggest >>= 1
        for c in range(num_languages):
            is_mark = np.int32(marks[min(begins[c], num_marks - 1)] == loglik[u, c]) & np.int32(begins[c] < num_marks)
            place_of[u, c] = 2 * begins[c] + is_mark


@compiled(nogil=True)
def weight_per_bin(
    bins: Array, true: Array, of_target: Array, of_nontarget: Array, num_bins: int
) -> tuple[Array, Array]:
    """(targets, non-targets), each [R, num_bins]: summed weights [R, U] of the trials in every bin."""
    targets = np.zeros((of_target.shape[0], num_bins))
    nontargets = np.zeros((of_target.shape[0], num_bins))
    for r in range(of_target.shape[0]):
        for u in range(bins.shape[0]):
            if of_target[r, u] > 0 or of_nontarget[r, u] > 0:
                for c in range(bins.shape[1]):
                    if c == true[u]:
                        targets[r, bins[u, c]] += of_target[r, u]
                    else:
                        nontargets[r, bins[u, c]] += of_nontarget[r, u]
    return targets, nontargets


@compiled(nogil=True)
def pool_adjacent_violators(targets: Array, nontargets: Array) -> tuple[Array, Array]:
    """Masses [B] of bins in ascending order of score → of the pools, over which the share of targets never falls."""
    pooled = np.empty((2, len(targets)))
    num = 0
    for b in range(len(targets)):
        if targets[b] == 0 and nontargets[b] == 0:
            continue
        pooled[0, num], pooled[1, num] = targets[b], nontargets[b]
        num += 1
        # odds of the last pool no higher than those of the one before: they become one
        while num > 1 and pooled[0, num - 1] * pooled[1, num - 2] <= pooled[0, num - 2] * pooled[1, num - 1]:
            pooled[:, num - 2] += pooled[:, num - 1]
            num -= 1
    return pooled[0, :num], pooled[1, :num]
