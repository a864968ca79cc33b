from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from metric_oracle import labelled_scores

from isogloss.metrics.eer import eer, eer_kaldi, error_rates, min_dcf
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

KALDI = Path(__file__).parent.parent / "data" / "kaldi_backend.npz"


def pooled(scores, key):
    """(target scores, non-target scores) of all trials, one by one."""
    kinds = ([], [])
    for u, row in zip(scores.utterances, scores.loglik, strict=True):
        for language, value in zip(scores.languages, row, strict=True):
            kinds[key[u] != language].append(float(value))
    return kinds


@settings(max_examples=60, deadline=None)
@given(labelled_scores())
def test_eer_is_where_the_roc_crosses_the_diagonal(test_set):
    targets, nontargets = pooled(*test_set)
    points = []
    for threshold in [*sorted(set(targets + nontargets)), np.inf]:
        miss = sum(s < threshold for s in targets) / len(targets)
        points.append((miss, sum(s >= threshold for s in nontargets) / len(nontargets)))
    p_miss, p_fa = error_rates(*test_set)
    assert np.stack([p_miss, p_fa], axis=1) == pytest.approx(np.array(points), abs=1e-12)
    for (miss0, fa0), (miss1, fa1) in pairwise(points):
        if miss0 <= fa0 and miss1 >= fa1:  # on the straight line between them
            along = (fa0 - miss0) / ((fa0 - miss0) - (fa1 - miss1)) if (fa0, miss0) != (fa1, miss1) else 0.0
            expected = miss0 + along * (miss1 - miss0)
            break
    assert eer(*test_set) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(labelled_scores())
def test_eer_kaldi_is_its_loop(test_set):
    targets, nontargets = (sorted(kind) for kind in pooled(*test_set))
    position = 0
    while position + 1 < len(targets):
        other = max(0, len(nontargets) - 1 - int(len(nontargets) * position / len(targets)))
        if nontargets[other] < targets[position]:
            break
        position += 1
    assert eer_kaldi(*test_set) == position / len(targets)


@pytest.mark.parametrize("system", ["lr9", "cosine9", "plda", "plda_nonorm"])
def test_eer_of_kaldi_scores(system):
    kaldi = np.load(KALDI)
    utterances = [f"u{i}" for i in range(len(kaldi["test"]))]
    scores = Scores(
        utterances, sorted(set(kaldi["enroll_languages"].tolist())), kaldi[f"scores_{system}"].astype(float)
    )
    key = dict(zip(utterances, kaldi["test_languages"].tolist(), strict=True))
    assert 100 * eer_kaldi(scores, key) == pytest.approx(float(kaldi[f"eer_percent_{system}"]), abs=1e-4)
    assert abs(eer(scores, key) - eer_kaldi(scores, key)) <= 1 / len(utterances)


def test_eer_of_two_gaussians():
    """Targets N(d, 1), non-targets N(0, 1): the EER is the tail beyond d/2."""
    rng = np.random.default_rng(0)
    num = 40_000
    key = {f"u{i}": "l0" for i in range(num)}
    loglik = rng.normal(size=(num, 2)) + 2 * np.eye(2)[0]
    assert eer(Scores(list(key), ["l0", "l1"], loglik), key) == pytest.approx(0.158655, abs=0.005)


def test_perfect_reversed_and_equal_scores():
    key = {"a": "l0", "b": "l1", "c": OUT_OF_SET}
    hit = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    for loglik, expected in ((hit, 0.0), (-hit, 1.0), (0 * hit, 0.5)):
        assert eer(Scores(list(key), ["l0", "l1"], loglik), key) == pytest.approx(expected)


def test_no_targets_is_an_error():
    scores = Scores(["a"], ["l0", "l1"], np.zeros((1, 2)))
    for metric in (eer, eer_kaldi):
        with pytest.raises(IsoglossError, match="target trials"):
            metric(scores, {"a": OUT_OF_SET})


@settings(max_examples=40, deadline=None)
@given(labelled_scores())
def test_min_dcf_is_the_cheapest_threshold(test_set):
    targets, nontargets = pooled(*test_set)
    for p_target in (0.01, 0.5, 0.9):
        costs = [
            p_target * sum(s < t for s in targets) / len(targets)
            + (1 - p_target) * sum(s >= t for s in nontargets) / len(nontargets)
            for t in [*sorted(set(targets + nontargets)), np.inf]
        ]
        expected = min(costs) / min(p_target, 1 - p_target)
        assert min_dcf(*test_set, p_target=p_target) == pytest.approx(expected, abs=1e-12)
    assert min_dcf(*test_set) <= 1 + 1e-12


def test_min_dcf_needs_a_probability():
    with pytest.raises(IsoglossError, match="P_target 1"):
        min_dcf(Scores(["a"], ["l0", "l1"], np.zeros((1, 2))), {"a": "l0"}, p_target=1)
