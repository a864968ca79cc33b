import numpy as np
import pytest
from metric_oracle import with_silent

from isogloss.metrics import ece, ece_adaptive
from isogloss.types import OUT_OF_SET, Scores


def make(num=400, seed=0):
    rng = np.random.default_rng(seed)
    key = {f"u{i}": [f"l{i % 3}", OUT_OF_SET][i % 10 == 9] for i in range(num)}
    loglik = 3 * rng.normal(size=(num, 3)) + 2 * np.eye(3)[np.arange(num) % 3]
    return Scores(list(key), ["l0", "l1", "l2"], loglik), key


def loop(scores, key, bin_of):
    found = {}
    for u, row in zip(scores.utterances, scores.loglik, strict=True):
        if key[u] != OUT_OF_SET and np.isfinite(row).all():
            posterior = np.exp(row) / np.exp(row).sum()
            right = scores.languages[int(posterior.argmax())] == key[u]
            found.setdefault(bin_of(posterior.max()), []).append((right, posterior.max()))
    num = sum(len(pairs) for pairs in found.values())
    return sum(abs(sum(right - sure for right, sure in pairs)) for pairs in found.values()) / num


def test_ece_is_its_loop():
    scores, key = make()
    scores = with_silent(scores, 4, 5)
    assert ece(scores, key) == pytest.approx(loop(scores, key, lambda p: int(np.ceil(15 * p))), abs=1e-12)


def test_adaptive_ece_has_bins_of_equal_size():
    scores, key = make(num=500)  # 450 known: 30 in each of 15 bins
    known = np.array([key[u] != OUT_OF_SET for u in scores.utterances])
    posterior = np.exp(scores.loglik) / np.exp(scores.loglik).sum(axis=1, keepdims=True)
    ranks = {p: rank for rank, p in enumerate(np.sort(posterior[known].max(axis=1)))}
    expected = loop(scores, key, lambda p: ranks[min(ranks, key=lambda q: abs(q - p))] // 30)
    assert ece_adaptive(scores, key) == pytest.approx(expected, abs=1e-12)


def test_sure_and_right_is_0_sure_and_wrong_is_1():
    key = {"a": "l0", "b": "l1"}
    right = np.array([[0.0, -900.0], [-900.0, 0.0]])
    for metric in (ece, ece_adaptive):
        assert metric(Scores(list(key), ["l0", "l1"], right), key) == 0
        assert metric(Scores(list(key), ["l0", "l1"], right[::-1].copy()), key) == 1
        assert np.isnan(metric(Scores(["a"], ["l0", "l1"], right[:1]), {"a": OUT_OF_SET}))


def test_calibrated_scores_have_little_error_and_sharpened_ones_much():
    rng = np.random.default_rng(1)
    num = 20_000
    key = {f"u{i}": f"l{i % 4}" for i in range(num)}
    x = rng.normal(size=(num, 4)) + 1.5 * np.eye(4)[np.arange(num) % 4]
    for metric in (ece, ece_adaptive):
        assert metric(Scores(list(key), list(map("l{}".format, range(4))), 1.5 * x), key) < 0.015
        assert metric(Scores(list(key), list(map("l{}".format, range(4))), 6 * x), key) > 0.15
