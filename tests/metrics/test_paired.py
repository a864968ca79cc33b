from math import comb

import numpy as np
import pytest
from metric_oracle import with_silent

from isogloss.metrics import accuracy, cavg_min, draw, mcnemar, paired
from isogloss.types import OUT_OF_SET, IsoglossError, Scores


def systems(num=120, better=0.0, noise=0.3, seed=0):
    """Two systems whose errors come from the same difficult recordings; b is better by so much."""
    rng = np.random.default_rng(seed)
    key = {f"u{i}": f"l{i % 3}" for i in range(num)}
    own = np.eye(3)[np.arange(num) % 3]
    shared = rng.normal(size=(num, 3)) + 1.2 * own
    a, b = (shared + noise * rng.normal(size=(num, 3)) + gain * own for gain in (0.0, better))
    recordings = {f"u{i}": f"l{i % 3}-r{i // 6}" for i in range(num)}
    languages = ["l0", "l1", "l2"]
    return Scores(list(key), languages, a), Scores(list(key), languages, b), key, recordings


def test_the_difference_is_of_the_same_resamples():
    a, b, key, recordings = systems(better=0.4)
    found = paired(a, b, key, recordings, cavg_min, num_resamples=60, seed=3)
    drawn = draw(a, key, recordings, 60, 3)
    change = [float(cavg_min(a, key, row)) - float(cavg_min(b, key, row)) for row in drawn.times[:, drawn.recording]]
    assert (found.a, found.b) == (cavg_min(a, key), cavg_min(b, key))
    assert found.difference.value == found.a - found.b
    assert [found.difference.low, found.difference.high] == pytest.approx(np.percentile(change, [2.5, 97.5]))
    rarer = min(sum(c <= 0 for c in change), sum(c >= 0 for c in change))
    assert found.p_value == pytest.approx(min(1, 2 * (1 + rarer) / 61))


def test_pairing_sees_what_two_intervals_cannot():
    a, b, key, recordings = systems(num=600, better=0.5, noise=0.1)
    found = paired(a, b, key, recordings, accuracy)
    own = [draw(s, key, recordings, 1000, 1).interval(accuracy, s, key) for s in (a, b)]
    unpaired = np.hypot(*(interval.high - interval.low for interval in own))
    assert found.difference.high - found.difference.low < 0.7 * unpaired
    assert found.p_value < 0.01 and found.difference.high < 0
    same = paired(a, a, key, recordings, accuracy, num_resamples=50)
    assert same.difference.value == same.difference.low == same.difference.high == 0 and same.p_value == 1


def test_equal_systems_differ_as_often_as_the_p_value_says():
    p_values = []
    for seed in range(60):
        a, b, key, recordings = systems(num=90, seed=seed)
        p_values.append(paired(a, b, key, recordings, cavg_min, num_resamples=100).p_value)
    assert (
        sum(p <= 0.05 for p in p_values) <= 9
    )  # 3 expected; a percentile interval of 45 recordings is a little narrow
    assert 15 <= sum(p <= 0.5 for p in p_values) <= 45


def test_mcnemar_is_coin_tossing():
    key = {f"u{i}": "l0" for i in range(12)} | {"x": OUT_OF_SET}
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    a = Scores(list(key), ["l0", "l1"], np.array([right] * 9 + [wrong] * 3 + [right]))
    b = Scores(list(key), ["l0", "l1"], np.array([right] * 2 + [wrong] * 7 + [right, wrong, wrong] + [wrong]))
    found = mcnemar(a, b, key)
    assert (found.only_a, found.only_b) == (7, 1)
    assert found.p_value == pytest.approx(2 * (comb(8, 0) + comb(8, 1)) / 2**8)
    assert mcnemar(a, a, key).p_value == 1
    assert mcnemar(with_silent(a, 0), a, key).only_b == 1


def test_order_does_not_matter_but_the_trials_do():
    a, b, key, recordings = systems(num=30)
    rows = np.random.default_rng(0).permutation(30)
    shuffled = Scores([b.utterances[i] for i in rows], ["l2", "l0", "l1"], b.loglik[np.ix_(rows, [2, 0, 1])])
    assert paired(a, shuffled, key, recordings, accuracy, 20) == paired(a, b, key, recordings, accuracy, 20)
    assert mcnemar(a, shuffled, key) == mcnemar(a, b, key)
    fewer = Scores(b.utterances[1:], b.languages, b.loglik[1:])
    for test in (lambda: paired(a, fewer, key, recordings, accuracy), lambda: mcnemar(a, fewer, key)):
        with pytest.raises(IsoglossError, match="same utterances: 1 are in one only, first 'u0'"):
            test()
    other = Scores(b.utterances, ["l0", "l1", "l9"], b.loglik)
    with pytest.raises(IsoglossError, match="same languages: 2"):
        mcnemar(a, other, key)
