import numpy as np
import pytest
from metric_oracle import with_silent

from isogloss.metrics import ece, ece_adaptive, ece_if_calibrated
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


def test_what_chance_alone_leaves():
    """Right confidences, judged by many keys drawn from them."""
    rng = np.random.default_rng(2)
    languages = ["l0", "l1", "l2", "l3"]
    scores = Scores([f"u{i}" for i in range(150)], languages, 1.5 * rng.normal(size=(150, 4)))
    posterior = np.exp(scores.loglik) / np.exp(scores.loglik).sum(axis=1, keepdims=True)
    keys = [
        {u: languages[rng.choice(4, p=p)] for u, p in zip(scores.utterances, posterior, strict=True)}
        for _ in range(300)
    ]
    of_keys = [ece(scores, key) for key in keys]
    expected = ece_if_calibrated(scores, keys[0])
    assert expected == pytest.approx(np.mean(of_keys), abs=0.004) and expected > 0.05
    assert expected == ece_if_calibrated(scores, keys[1])  # of the confidences alone, the same every time


def test_certainty_leaves_nothing_to_chance():
    key = {"a": "l0", "b": "l1"}
    assert ece_if_calibrated(Scores(list(key), ["l0", "l1"], np.array([[0.0, -900.0], [0.0, -900.0]])), key) == 0
    assert np.isnan(ece_if_calibrated(Scores(["a"], ["l0", "l1"], np.zeros((1, 2))), {"a": OUT_OF_SET}))
