import numpy as np
import pytest
from hypothesis import given, settings
from metric_oracle import labelled_scores, with_silent

from isogloss.metrics import cllr, cllr_detection, cllr_detection_min, cllr_min, detection_llr
from isogloss.types import OUT_OF_SET, IsoglossError, Scores


@settings(max_examples=40, deadline=None)
@given(labelled_scores())
def test_cllr_is_the_mean_surprise_per_language(test_set):
    scores, key = test_set
    per_language = []
    for c, language in enumerate(scores.languages):
        rows = [row for u, row in zip(scores.utterances, scores.loglik, strict=True) if key[u] == language]
        if rows:
            per_language.append(np.mean([-np.log2(np.exp(row[c]) / np.exp(row).sum()) for row in rows]))
    assert cllr(scores, key) == pytest.approx(np.mean(per_language), abs=1e-12)


def test_no_information_costs_log2_of_the_languages_and_certainty_nothing():
    key = {f"u{i}": f"l{i % 5}" for i in range(10)} | {"x": OUT_OF_SET}
    languages = [f"l{i}" for i in range(5)]
    assert cllr(Scores(list(key), languages, np.full((11, 5), -3.0)), key) == pytest.approx(np.log2(5))
    sure = np.vstack([np.eye(5), np.eye(5), np.zeros((1, 5))]) * 1000
    assert cllr(Scores(list(key), languages, sure), key) == 0
    assert cllr(Scores(list(key), languages, -sure), key) > 1000  # sure and wrong


def test_cllr_without_known_utterances_is_an_error():
    with pytest.raises(IsoglossError, match="Cllr"):
        cllr(Scores(["a"], ["l0", "l1"], np.zeros((1, 2))), {"a": OUT_OF_SET})


def gaussians(num=3000, num_languages=4, seed=0):
    """Log-likelihoods (but for a constant) of N(1.5, 1) against N(0, 1): calibrated by construction."""
    rng = np.random.default_rng(seed)
    own = np.arange(num) % num_languages
    languages = [f"l{i}" for i in range(num_languages)]
    x = 1.5 * (rng.normal(size=(num, num_languages)) + 1.5 * np.eye(num_languages)[own])
    return languages, {f"u{i}": languages[c] for i, c in enumerate(own)}, x


def test_cllr_min_is_what_is_left_when_scale_and_offsets_are_undone():
    languages, key, x = gaussians()
    good = Scores(list(key), languages, x)
    skewed = Scores(list(key), languages, 7 * x + [[5.0, -20.0, 0.0, 1.0]])
    assert cllr(good, key) - 0.005 < cllr_min(good, key) <= cllr(good, key)
    assert cllr_min(skewed, key) == pytest.approx(cllr_min(good, key), abs=1e-5)
    assert cllr(skewed, key) > 3 * cllr_min(skewed, key)
    assert cllr_min(Scores(list(key), languages, -x), key) == pytest.approx(2, abs=1e-4)  # a = 0 is the best there is


def test_cllr_min_is_lowest_among_its_neighbours():
    languages, key, x = gaussians(num=200)
    found = cllr_min(Scores(list(key), languages, 3 * x), key)
    rng = np.random.default_rng(1)
    for _ in range(200):
        changed = rng.uniform(0.05, 2) * x + 0.5 * rng.normal(size=4)
        assert cllr(Scores(list(key), languages, changed), key) >= found - 1e-6


def test_cllr_min_leaves_out_untested_languages_and_charges_for_silence():
    languages, key, x = gaussians(num=400)
    scores = Scores(list(key), languages, x)
    more = Scores(list(key), [*languages, "l9"], np.hstack([x, x[:, :1] + 9]))
    assert cllr_min(more, key) == pytest.approx(cllr_min(scores, key), abs=1e-6)
    flat = Scores(list(key), languages, np.zeros((400, 4)))
    assert cllr_min(flat, key) == pytest.approx(2) and cllr(flat, key) == pytest.approx(2)
    silent = with_silent(scores, *range(200))
    assert cllr(silent, key) == pytest.approx((2 + float(cllr(scores, key, np.arange(400) >= 200))) / 2)
    assert 1 < cllr_min(silent, key) <= cllr(silent, key)
    assert cllr_min(Scores(["a"], ["l0", "l1"], np.zeros((1, 2))), {"a": "l0"}) == 0


@settings(max_examples=40, deadline=None)
@given(labelled_scores())
def test_detection_cllr_is_its_loop(test_set):
    scores, key = test_set
    bits = ([], [])
    for u, row in zip(scores.utterances, detection_llr(scores.loglik), strict=True):
        for language, ratio in zip(scores.languages, row, strict=True):
            is_target = key[u] == language
            bits[is_target].append(np.log2(1 + np.exp(-ratio if is_target else ratio)))
    expected = (np.mean(bits[0]) + np.mean(bits[1])) / 2
    assert cllr_detection(scores, key) == pytest.approx(expected, abs=1e-12)
    assert cllr_detection_min(scores, key) <= cllr_detection(scores, key) + 1e-12


def test_detection_minimum_is_that_of_isotonic_regression():
    from scipy.optimize import isotonic_regression

    languages, key, x = gaussians(num=150)
    scores = Scores(list(key), languages, 3 * np.round(x, 1))  # with ties
    ratios = detection_llr(scores.loglik).ravel()
    is_target = (np.arange(150) % 4)[:, None] == np.arange(4)
    order = np.argsort(ratios)
    ties = np.unique(ratios[order], return_inverse=True)[1]
    weight = np.where(is_target.ravel()[order], 1 / 150, 1 / 450)
    mass = np.bincount(ties, weights=weight)
    share = np.bincount(ties, weights=weight * is_target.ravel()[order]) / mass
    p = isotonic_regression(share, weights=mass).x[ties]
    with np.errstate(divide="ignore"):
        bits = -np.log2(np.where(is_target.ravel()[order], p, 1 - p))
    assert cllr_detection_min(scores, key) == pytest.approx((weight * bits).sum() / 2, abs=1e-10)


def test_detection_cllr_knows_nothing_perfect_and_wrong():
    key = {f"u{i}": f"l{i % 3}" for i in range(6)}
    sure = 800.0 * np.eye(3)[np.arange(6) % 3]
    languages = ["l0", "l1", "l2"]
    flat = Scores(list(key), languages, np.zeros((6, 3)))
    assert cllr_detection(flat, key) == cllr_detection_min(flat, key) == pytest.approx(1)
    assert cllr_detection(Scores(list(key), languages, sure), key) == 0
    assert cllr_detection_min(Scores(list(key), languages, sure / 1e3), key) == 0
    assert cllr_detection(Scores(list(key), languages, -sure), key) > 100
    half = with_silent(Scores(list(key), languages, sure), 0, 1, 2)
    assert cllr_detection(half, key) == pytest.approx(0.5)
