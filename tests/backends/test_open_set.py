"""The open-set score by its definition, and thresholds that keep the rate they state."""

import json
import math

import numpy as np
import pytest

from isogloss.backends.open_set import OpenSet, certainty, choose_threshold
from isogloss.types import IsoglossError


def test_the_score_is_the_divergence_of_the_posterior_from_flat():
    loglik = np.random.default_rng(0).normal(0, 2, (5, 4))
    for row, got in zip(loglik, certainty(loglik), strict=True):
        total = sum(math.exp(value) for value in row)
        posterior = [math.exp(value) / total for value in row]
        assert got == pytest.approx(sum(p * math.log(p / 0.25) for p in posterior))
    assert certainty(np.zeros((1, 4)))[0] == pytest.approx(0)
    assert certainty(np.array([[0.0, -5000, -5000, -5000]]))[0] == pytest.approx(math.log(4))
    np.testing.assert_allclose(certainty(loglik + 1000), certainty(loglik))


def test_a_threshold_at_a_share_of_the_known():
    known = np.arange(99.0)  # 5 % of 100 are 5: four of these and, on average, the fifth among further ones
    point = choose_threshold(known, rate="reject", at_most=0.05)
    assert point.threshold == 4.0 and point.known_rejected == pytest.approx(4 / 99)
    assert (point.num_known, point.num_unknown, point.unknown_accepted) == (99, 0, None)
    measured = choose_threshold(known, np.array([1.0, 50, 60]), rate="reject", at_most=0.05)
    assert measured.threshold == 4.0 and measured.unknown_accepted == pytest.approx(2 / 3)


def test_a_threshold_at_a_share_of_the_unknown():
    point = choose_threshold(np.arange(50.0, 150), np.arange(99.0), rate="accept", at_most=0.05)
    assert point.threshold == np.nextafter(94.0, np.inf)  # 95 … 98 pass
    assert point.unknown_accepted == pytest.approx(4 / 99) and point.known_rejected == pytest.approx(0.45)


@pytest.mark.parametrize("rate", ["reject", "accept"])
@pytest.mark.parametrize("draw", ["normal", "coarse"])
def test_the_stated_rate_holds_for_further_utterances(rate, draw):
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(400):
        scores = rng.normal(size=(2, 40)) if draw == "normal" else rng.integers(0, 6, (2, 40)).astype(float)
        old, new = scores
        point = choose_threshold(old, old, rate=rate, at_most=0.1)
        errors.append((new < point.threshold).mean() if rate == "reject" else (new >= point.threshold).mean())
    assert np.mean(errors) <= 0.1 + 0.01
    if draw == "normal":
        assert np.mean(errors) > 0.08  # and is not wasted: 4 of 41 where there are no ties


def test_equal_scores_are_all_one_or_all_the_other():
    assert not choose_threshold(np.ones(30), rate="reject", at_most=0.1).known_rejected
    assert not choose_threshold(np.ones(3), np.ones(30), rate="accept", at_most=0.1).unknown_accepted


def test_the_decision_is_score_against_threshold():
    loglik = np.random.default_rng(2).normal(0, 2, (50, 5))
    point = choose_threshold(certainty(loglik), rate="reject", at_most=0.2)
    unknown = point.is_unknown(loglik)
    assert unknown.mean() == point.known_rejected == pytest.approx(9 / 50)
    again = OpenSet(**json.loads(json.dumps(point.to_dict())))
    assert again == point


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rate": "reject", "at_most": 0.04},
            "20 utterances of enrolled languages cannot state a rate of 0.04; it takes 24",
        ),
        (
            {"rate": "accept", "at_most": 0.05},
            "0 utterances of unknown languages cannot state a rate of 0.05; it takes 19",
        ),
        ({"rate": "reject", "at_most": 1.0}, "a share between 0 and 1"),
        ({"rate": "frr", "at_most": 0.1}, "expected 'reject' or 'accept'"),
        ({"rate": "reject", "at_most": 0.1, "known": np.full(20, np.nan)}, "not finite"),
    ],
)
def test_what_cannot_be_promised_is_refused(options, message):
    with pytest.raises(IsoglossError, match=message):
        choose_threshold(**{"known": np.arange(20.0), **options})
