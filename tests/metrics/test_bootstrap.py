import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracle import labelled_scores, repeated

from isogloss.metrics import METRICS, OPEN_SET_METRICS, bootstrap, evaluate
from isogloss.metrics.bootstrap import draw
from isogloss.types import OUT_OF_SET, IsoglossError, Scores


@settings(max_examples=40, deadline=None)
@given(labelled_scores(open_set=True), st.randoms(use_true_random=False))
def test_a_weight_is_so_many_copies(test_set, random):
    """What makes the bootstrap quick: each metric of weighted utterances is that of the test set written out."""
    scores, key = test_set
    times = np.array([[1, 1, *(random.randint(0, 3) for _ in scores.utterances[2:])] for _ in range(3)])
    for metric in (*METRICS.values(), *OPEN_SET_METRICS.values()):
        expected = [float(metric(*repeated(scores, key, row), None)) for row in times]
        assert metric(scores, key, times) == pytest.approx(expected, abs=1e-12), metric.__name__
        assert metric(scores, key, times[1]) == pytest.approx(expected[1], abs=1e-12)
        assert np.ndim(metric(scores, key, None)) == 0


def make(num_recordings, per_recording, spread=1.0, seed=0):
    """Two languages; all utterances of a recording have the same difficulty."""
    rng = np.random.default_rng(seed)
    key, groups, rows = {}, {}, []
    for r in range(num_recordings):
        offset = spread * rng.normal()
        for i in range(per_recording):
            u = f"r{r}-{i}"
            key[u], groups[u] = f"l{r % 2}", f"r{r}"
            margin = 0.8 + offset + 0.1 * rng.normal()
            rows.append([margin, 0.0] if r % 2 == 0 else [0.0, margin])
    return Scores(list(key), ["l0", "l1"], np.array(rows)), key, groups


def test_copies_of_a_recording_do_not_make_it_surer():
    """Twenty clips of a video tell little more than one; taking them for independent would."""
    one = bootstrap(METRICS["accuracy"], *make(40, 1), num_resamples=400)
    scores, key, groups = make(40, 20)
    many = bootstrap(METRICS["accuracy"], scores, key, groups, num_resamples=400)
    independent = bootstrap(METRICS["accuracy"], scores, key, {u: u for u in key}, num_resamples=400)
    assert one.low <= one.value <= one.high
    assert many.high - many.low > 0.7 * (one.high - one.low)
    assert independent.high - independent.low < 0.4 * (many.high - many.low)


def test_interval_has_the_width_of_a_binomial():
    scores, key, groups = make(400, 1)
    interval = bootstrap(METRICS["accuracy"], scores, key, groups)
    width = 2 * 1.96 * np.sqrt(interval.value * (1 - interval.value) / 400)
    assert interval.high - interval.low == pytest.approx(width, rel=0.15)


def test_no_language_vanishes_and_recordings_stay_whole():
    scores, key, groups = make(7, 3)
    resamples = draw(scores, key, groups, 200, seed=1)
    weights = resamples.times[:, resamples.recording]
    for language in ("l0", "l1"):
        own = [key[u] == language for u in scores.utterances]
        assert (weights[:, own].sum(axis=1) == sum(own)).all()
    assert np.ptp(weights.reshape(200, 7, 3), axis=2).max() == 0
    assert weights.std() > 0.5


def test_the_same_seed_is_the_same_interval():
    test_set = make(20, 2)
    first, second, other = (bootstrap(METRICS["cavg_min"], *test_set, 50, seed) for seed in (1, 1, 2))
    assert first == second != other


def test_blocks_do_not_change_the_values(monkeypatch):
    test_set = make(20, 2)
    whole = bootstrap(METRICS["cavg_olr"], *test_set, 50)
    monkeypatch.setattr(sys.modules["isogloss.metrics.bootstrap"], "_BLOCK_ELEMENTS", 7 * 80)
    assert bootstrap(METRICS["cavg_olr"], *test_set, 50) == whole


def test_a_single_recording_of_a_language_is_warned_about():
    scores, key, _ = make(4, 2)
    groups = {u: "v0" if key[u] == "l0" else u for u in key}
    with pytest.warns(UserWarning, match="only one recording of l0"):
        draw(scores, key, groups, 5, 0)


def test_bad_input():
    scores, key, groups = make(4, 1)
    with pytest.raises(IsoglossError, match="1 of 4 utterances have no recording, first 'r0-0'"):
        bootstrap(METRICS["eer"], scores, key, {u: g for u, g in groups.items() if u != "r0-0"})
    with pytest.raises(IsoglossError, match="0 bootstrap resamples"):
        bootstrap(METRICS["eer"], scores, key, groups, num_resamples=0)


def test_evaluate_with_intervals():
    scores, key, groups = make(20, 2)
    key |= {"r0-0": OUT_OF_SET, "r1-0": OUT_OF_SET}
    groups |= {"r0-0": "v0", "r1-0": "v1"}
    result = evaluate(scores, key, groups, num_resamples=100)
    assert set(result["intervals"]) == {*METRICS, *OPEN_SET_METRICS}
    for name, (low, high) in result["intervals"].items():
        assert low <= high and np.isfinite([low, high]).all(), name
