"""t-SNE keeps neighbours together, and its parts are the formulas."""

from __future__ import annotations

import numpy as np
import pytest

from isogloss.report.projection import _joint, _square_distances, tsne


def test_joint_probabilities_have_the_perplexity_asked_for() -> None:
    points = np.random.default_rng(1).normal(size=(40, 5))
    square = _square_distances(points)
    for i in (0, 7):
        for j in (3, 39):
            assert square[i, j] == pytest.approx(((points[i] - points[j]) ** 2).sum())
    p = _joint(square, perplexity=8)
    assert p.sum() == pytest.approx(1) and np.allclose(p, p.T) and np.diag(p).max() == 0
    # the rows themselves: the precision of row 5 by a plain search
    weights = lambda precision: np.exp(-np.delete(square[5], 5) * precision)  # noqa: E731
    low, high = 1e-6, 1e3
    for _ in range(200):
        middle = (low * high) ** 0.5
        row = weights(middle) / weights(middle).sum()
        low, high = (middle, high) if np.exp(-(row * np.log(row + 1e-300)).sum()) > 8 else (low, middle)
    others = np.delete(p[5], 5) * 80 - row  # 2N·p_ij − p_j|5 = p_5|j
    assert (others > -1e-9).all() and others.sum() > 0


def test_groups_stay_apart_and_nothing_is_left_to_chance() -> None:
    rng = np.random.default_rng(2)
    group = np.repeat([0, 1, 2], 25)
    points = rng.normal(size=(75, 10)) + 8 * np.eye(10)[group]
    places = tsne(points, perplexity=10)
    assert places.shape == (75, 2) and np.isfinite(places).all()
    square = _square_distances(places) + np.diag(np.full(75, np.inf))
    assert (group[square.argsort(axis=1)[:, :5]] == group[:, None]).all()
    assert (tsne(points, perplexity=10) == places).all()


@pytest.mark.parametrize("points", [np.zeros((12, 3)), np.ones((10, 1)) * np.arange(10)[:, None]])
def test_degenerate_points_have_places(points: np.ndarray) -> None:
    assert np.isfinite(tsne(points)).all()
