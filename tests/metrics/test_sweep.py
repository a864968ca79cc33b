import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.metrics.kernels import pool_adjacent_violators
from isogloss.metrics.sweep import Bins


def expected_bins(loglik, true):
    """2·(distinct target scores below) + 1 where equal to one, trial by trial."""
    targets = sorted({float(row[own]) for row, own in zip(loglik, true, strict=True) if own < len(row)})
    return [[2 * sum(t < x for t in targets) + (x in targets) for x in map(float, row)] for row in loglik]


SCORES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, -np.inf, 1e308, -1e308, 5e-324, 1.0, 1.0 + 2**-52, -538.0]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES, SCORES, st.integers(0, 3)), min_size=1, max_size=12), st.booleans())
def test_every_trial_finds_its_place_among_the_targets(rows, single):
    loglik = np.array([row[:3] for row in rows])
    if single:
        with np.errstate(over="ignore"):
            loglik = np.clip(loglik, -3e38, 3e38).astype(np.float32)
    true = np.array([row[3] for row in rows])
    bins = Bins.around_targets(loglik, true)
    assert bins.bin.tolist() == expected_bins(loglik, true)
    assert bins.bin.max() < bins.num


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", ["normal", "skewed", "outliers", "offset", "few"])
def test_places_whatever_the_targets_look_like(shape, dtype):
    rng = np.random.default_rng(0)
    loglik = rng.normal(size=(3000, 5))
    true = rng.integers(0, 6, 3000)
    if shape == "skewed":
        loglik = -np.exp(6 * loglik)
    elif shape == "outliers":
        loglik[:3] *= 1e30
    elif shape == "offset":
        loglik -= 60_000
    elif shape == "few":
        loglik = np.round(loglik)
    loglik = loglik.astype(dtype)
    known = true < 5
    marks = np.unique(loglik[known, true[known]])
    left, right = (np.searchsorted(marks, loglik, side=side) for side in ("left", "right"))
    assert (Bins.around_targets(loglik, true).bin == left + right).all()


def test_rejected_weight_at_every_threshold():
    loglik = np.array([[1.0, 0.0], [0.5, 0.5], [2.0, 1.0]])
    true = np.array([0, 1, 2])  # the last one out of set; target scores 1.0 and 0.5
    rows = np.array([[1.0, 2.0, 10.0]])
    targets, nontargets = Bins.around_targets(loglik, true).rejected(true, rows, rows)
    # accept all | 0.0 | 0.5 | between | 1.0 | above
    assert targets.tolist() == [[0, 0, 2, 2, 3, 3]]
    assert nontargets.tolist() == [[0, 1, 3, 3, 13, 23]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_pools_are_the_isotonic_regression(masses):
    from scipy.optimize import isotonic_regression

    targets, nontargets = np.array(masses, dtype=float).T
    pooled = pool_adjacent_violators(targets, nontargets)
    total = targets + nontargets
    if not total.any():
        return
    used = total > 0
    fitted = isotonic_regression(targets[used] / total[used], weights=total[used]).x
    sizes = pooled[0] + pooled[1]
    ends = np.cumsum(sizes)
    share = (pooled[0] / sizes)[np.searchsorted(ends, np.cumsum(total[used]))]
    assert share == pytest.approx(fitted, abs=1e-12)
