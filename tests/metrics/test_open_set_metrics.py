import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracle import with_silent

from isogloss.metrics import (
    auroc,
    auroc_out_of_set,
    detection_llr,
    fpr95_out_of_set,
    fpr_at_recall,
    oscr,
    oscr_out_of_set,
)
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

LEVELS = st.integers(0, 6).map(float)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(LEVELS, st.booleans()), min_size=1, max_size=12), st.lists(LEVELS, min_size=1, max_size=12))
def test_the_areas_are_those_under_their_curves(known, unknown):
    """Trapezia between the points (unknown accepted, known accepted [and right]) of all thresholds, from none to all."""
    scores, right = np.array([s for s, _ in known]), np.array([r for _, r in known])
    points = []
    for t in [np.inf, *sorted({*scores, *unknown}, reverse=True)]:
        fpr = sum(s >= t for s in unknown) / len(unknown)
        points.append((fpr, np.mean(scores >= t), np.mean((scores >= t) & right)))
    x, recall, ccr = np.array(points).T
    area = [float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum()) for y in (recall, ccr)]
    assert auroc(scores, np.array(unknown)) == pytest.approx(area[0], abs=1e-12)
    assert oscr(scores, right, np.array(unknown)) == pytest.approx(area[1], abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(LEVELS, min_size=1, max_size=40),
    st.lists(LEVELS, min_size=1, max_size=12),
    st.sampled_from([0.05, 0.5, 0.8, 0.95, 1.0]),
)
def test_fpr_is_at_the_highest_threshold_with_that_recall(known, unknown, recall):
    allowed = [t for t in known if sum(s >= t for s in known) >= recall * len(known) - 1e-9]
    expected = sum(s >= max(allowed) for s in unknown) / len(unknown)
    assert fpr_at_recall(np.array(known), np.array(unknown), recall) == pytest.approx(expected)


def test_95_of_100_is_95():
    known, unknown = np.arange(100.0), np.array([4.5, 5.5])
    assert fpr_at_recall(known, unknown, 0.95) == 0.5  # threshold 5


def test_of_scores_it_is_the_highest_ratio():
    rng = np.random.default_rng(0)
    key = {f"u{i}": f"l{i % 3}" if i < 40 else OUT_OF_SET for i in range(60)}
    loglik = rng.normal(size=(60, 3)) + 2 * np.eye(3)[np.arange(60) % 3]
    scores = with_silent(Scores(list(key), ["l0", "l1", "l2"], loglik), 1, 45)
    best = detection_llr(scores.loglik).max(axis=1)
    right = (scores.loglik.argmax(axis=1) == np.arange(60) % 3) & (best > -np.inf)
    assert auroc_out_of_set(scores, key) == pytest.approx(auroc(best[:40], best[40:]))
    assert oscr_out_of_set(scores, key) == pytest.approx(oscr(best[:40], right[:40], best[40:]))
    assert fpr95_out_of_set(scores, key) == pytest.approx(fpr_at_recall(best[:40], best[40:]))
    assert oscr_out_of_set(scores, key) <= min(right[:40].mean(), auroc_out_of_set(scores, key))


def test_the_same_scores_in_another_order_tie():
    rng = np.random.default_rng(0)
    row = rng.normal(size=17)
    loglik = np.stack([rng.permutation(row) for _ in range(40)])
    key = {f"u{i}": "l0" if i % 2 else OUT_OF_SET for i in range(40)}
    scores = Scores(list(key), [f"l{i}" for i in range(17)], loglik)
    assert auroc_out_of_set(scores, key) == 0.5 and fpr95_out_of_set(scores, key) == 1


def test_bad_input():
    for known, unknown in (([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([[1.0]], [1.0])):
        with pytest.raises(IsoglossError, match="both kinds"):
            auroc(np.array(known), np.array(unknown))
        with pytest.raises(IsoglossError, match="both kinds"):
            fpr_at_recall(np.array(known), np.array(unknown))
    with pytest.raises(IsoglossError, match="2,"):
        oscr(np.zeros(1), np.ones(2), np.zeros(1))
