import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracle import cavg_at, labelled_scores, olr_script, with_silent

from isogloss.metrics.cavg import (
    cavg_actual,
    cavg_min,
    cavg_nist,
    cavg_nist_min,
    cavg_olr,
    cavg_olr_floored,
    components,
    cprimary,
)
from isogloss.metrics.posteriors import detection_llr
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

few = settings(max_examples=60, deadline=None)


@few
@given(labelled_scores())
def test_cavg_olr_is_the_challenge_script_to_the_bit(test_set):
    assert cavg_olr(*test_set) == olr_script(*test_set)


@pytest.mark.parametrize("seed", range(10))
def test_cavg_olr_of_many_scores_on_and_between_its_thresholds(seed):
    rng = np.random.default_rng(seed)
    languages = [f"l{i}" for i in range(4)]  # the last one is enrolled, not tested
    own = rng.choice([*languages[:3], OUT_OF_SET] if seed % 2 else languages[:3], size=40)
    own[:2] = languages[:2]
    key = {f"u{i}": str(language) for i, language in enumerate(own)}
    loglik = rng.normal(size=(40, 4)) + 1.5 * (own[:, None] == np.array(languages))
    whole = np.clip(np.round(8 * loglik), -20, 20)
    whole[0, :2] = -20, 20  # thresholds are then the even numbers, half of the scores
    for values in (loglik, whole, np.exp(3 * loglik), loglik.astype(np.float32)):
        scores = Scores(list(key), languages, values)
        assert cavg_olr(scores, key) == olr_script(scores, key)


def test_cavg_olr_of_one_utterance_and_of_equal_scores():
    for loglik in ([[1.0, -1.0]], [[-1.0, 1.0]], [[0.25, 0.25]]):
        one = Scores(["a"], ["l0", "l1"], np.array(loglik))
        assert cavg_olr(one, {"a": "l0"}) == olr_script(one, {"a": "l0"})
        assert cavg_olr(one, {"a": OUT_OF_SET}) == olr_script(one, {"a": OUT_OF_SET})


def test_cavg_olr_grid_is_that_of_the_utterances_with_weight():
    rng = np.random.default_rng(0)
    key = {f"u{i}": f"l{i % 3}" for i in range(60)}
    loglik = rng.normal(size=(60, 3)) + 2 * np.eye(3)[np.arange(60) % 3]
    loglik[7] = [400.0, -400.0, 0.0]
    weights = np.ones((2, 60))
    weights[0, 7] = 0
    rest = [u for u in key if u != "u7"]
    without = Scores(rest, ["l0", "l1", "l2"], np.delete(loglik, 7, axis=0))
    scores = Scores(list(key), ["l0", "l1", "l2"], loglik)
    assert cavg_olr(scores, key, weights) == pytest.approx([cavg_olr(without, key), cavg_olr(scores, key)])


@few
@given(labelled_scores())
def test_cavg_min_is_the_best_of_all_thresholds(test_set):
    scores, key = test_set
    thresholds = [*np.unique(scores.loglik), np.inf]
    assert cavg_min(scores, key) == pytest.approx(min(cavg_at(scores, key, t) for t in thresholds), abs=1e-12)
    assert cavg_min(scores, key, p_target=0.1) == pytest.approx(
        min(cavg_at(scores, key, t, p_target=0.1) for t in thresholds), abs=1e-12
    )
    assert cavg_min(scores, key) <= cavg_olr(scores, key) + 1e-15


@few
@given(labelled_scores(open_set=True))
def test_nist_open_set_prior(test_set):
    scores, key = test_set
    expected = min(cavg_at(scores, key, t, 0.5, 0.2) for t in [*np.unique(scores.loglik), np.inf])
    assert cavg_min(scores, key, p_oos=0.2) == pytest.approx(expected, abs=1e-12)


@few
@given(labelled_scores())
def test_components_and_actual_cost(test_set):
    scores, key = test_set
    for threshold in (-1.0, 0.0, 1.0):
        assert components(scores, key, threshold).cost() == pytest.approx(cavg_at(scores, key, threshold), abs=1e-12)
    ratios = np.empty_like(scores.loglik)
    for u, row in enumerate(scores.loglik):
        for c in range(len(row)):
            ratios[u, c] = row[c] - np.log(np.mean([np.exp(x) for j, x in enumerate(row) if j != c]))
    assert detection_llr(scores.loglik) == pytest.approx(ratios, abs=1e-12)
    # Off the round numbers, so that rounding decides no trial.
    expected = cavg_at(Scores(scores.utterances, scores.languages, ratios), key, np.log(0.73 / 0.27), 0.27)
    assert cavg_actual(scores, key, p_target=0.27) == pytest.approx(expected, abs=1e-12)


def test_components_by_hand():
    # Two French, one German, one unknown, at threshold 0.
    scores = Scores(list("abcd"), ["fr", "de"], np.array([[1.0, -1.0], [-1.0, 1.0], [0.0, -2.0], [3.0, -3.0]]))
    parts = components(scores, {"a": "fr", "b": "fr", "c": "de", "d": OUT_OF_SET}, 0.0)
    assert parts.p_miss == pytest.approx([0.5, 1.0])
    assert parts.p_fa == pytest.approx(np.array([[np.nan, 1.0, 1.0], [0.5, np.nan, 0.0]]), nan_ok=True)
    assert parts.cost() == pytest.approx((0.25 + 0.25 + 0.25 + 0.5 + 0.125) / 2)  # each non-target language 0.5/2


def test_perfect_chance_and_reversed():
    key = {f"u{i}": f"l{i % 3}" for i in range(9)}
    hit = np.eye(3)[np.arange(9) % 3]
    languages = ["l0", "l1", "l2"]
    for loglik, expected in ((hit, 0.0), (0 * hit, 0.5), (-hit, 0.5)):
        assert cavg_min(Scores(list(key), languages, loglik), key) == pytest.approx(expected, abs=1e-15)
        assert cavg_olr(Scores(list(key), languages, loglik), key) == pytest.approx(expected, abs=1e-15)
    # No information: every ratio is 0, and 0 is accepted.
    assert cavg_actual(Scores(list(key), languages, 0 * hit + 5.5), key) == pytest.approx(0.5)


def test_out_of_set_is_its_own_language_not_the_last_enrolled_one():
    """Scoring unknown utterances as if they were of the last language hides that its detector accepts them all."""
    scores = Scores(["a", "b", "x", "y"], ["l0", "l1"], np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]))
    unknown = {"a": "l0", "b": "l1", "x": OUT_OF_SET, "y": OUT_OF_SET}
    assert cavg_min(scores, unknown) == pytest.approx(0.125)  # 1/2 · 0.5/2 · P_fa(l1, unknown) = 1
    assert cavg_min(scores, unknown | {"x": "l1", "y": "l1"}) == pytest.approx(0, abs=1e-15)


def test_two_outliers_spoil_the_olr_grid_only():
    rng = np.random.default_rng(1)
    own = np.arange(600) % 6
    loglik = rng.normal(size=(600, 6)) + 3 * np.eye(6)[own]
    languages = [f"l{i}" for i in range(6)]
    key = {f"u{i}": languages[c] for i, c in enumerate(own)}
    before = cavg_olr(Scores(list(key), languages, loglik), key), cavg_min(Scores(list(key), languages, loglik), key)
    loglik[0, own[0]], loglik[1, own[1] - 1] = 500.0, -500.0
    after = cavg_olr(Scores(list(key), languages, loglik), key), cavg_min(Scores(list(key), languages, loglik), key)
    assert after[1] == pytest.approx(before[1], abs=2e-3)
    assert after[0] > 2 * before[0]


def test_llr_keeps_its_precision_and_forgets_a_constant():
    loglik = np.array([[0.0, -800.0, -801.0], [-60.0, 0.0, -70.0], [-2000.0, 0.0, 0.0]])
    ratios = detection_llr(loglik)
    assert ratios[0, 0] == pytest.approx(800 - np.log((1 + np.exp(-1)) / 2), rel=1e-14)
    assert ratios[1, 0] == pytest.approx(-60 - np.log(1 / 2), rel=1e-14)
    assert ratios[2] == pytest.approx([-2000, np.log(2), np.log(2)], rel=1e-14)
    assert detection_llr(loglik + 1234.5) == pytest.approx(ratios, rel=1e-12)


def test_actual_cost_is_near_the_minimum_for_calibrated_scores_and_sees_an_offset_of_one_language():
    rng = np.random.default_rng(2)
    own = np.arange(4000) % 4
    x = rng.normal(size=(4000, 4)) + 2 * np.eye(4)[own]
    languages = list("abcd")
    key = {f"u{i}": languages[c] for i, c in enumerate(own)}
    calibrated = 2 * x  # the log-likelihoods of N(2, 1) against N(0, 1), but for a constant
    ratios = Scores(list(key), languages, detection_llr(calibrated))
    actual, best = cavg_actual(Scores(list(key), languages, calibrated), key), cavg_min(ratios, key)
    assert best <= actual <= best + 0.005
    assert cavg_actual(Scores(list(key), languages, calibrated + 9 * np.eye(4)[0]), key) > best + 0.05


def test_bad_priors_are_refused():
    scores = Scores(["a"], ["l0", "l1"], np.zeros((1, 2)))
    with pytest.raises(IsoglossError, match="P_oos"):
        cavg_min(scores, {"a": "l0"}, p_oos=0.2)
    with pytest.raises(IsoglossError, match="at most 1"):
        cavg_min(scores, {"a": "l0"}, p_target=1.2)
    with pytest.raises(IsoglossError, match="at most 1"):
        cavg_actual(scores, {"a": "l0"}, p_target=0.0)


@few
@given(labelled_scores(open_set=True))
def test_nist_costs(test_set):
    """P_oos 0.2; and C_primary, whose β = (1 − P_target)/P_target multiplies the false alarms."""
    scores, key = test_set
    ratios = Scores(scores.utterances, scores.languages, detection_llr(scores.loglik))
    assert cavg_nist(scores, key) == pytest.approx(cavg_at(ratios, key, 0.0, 0.5, 0.2), abs=1e-12)
    assert cavg_nist_min(scores, key) == cavg_min(scores, key, p_oos=0.2)
    closed = {u: scores.languages[0] if language == OUT_OF_SET else language for u, language in key.items()}
    costs = []
    for beta in (1.0, 9.0):
        parts = components(ratios, closed, float(np.log(beta)))
        others = len(scores.languages) - 1
        rates = zip(np.nan_to_num(parts.p_miss), np.nan_to_num(parts.p_fa), strict=True)
        costs.append(np.mean([miss + beta * fa.sum() / others for miss, fa in rates]))
    assert cprimary(scores, closed) == pytest.approx(np.mean(costs), abs=1e-12)


def test_rejecting_everything_costs_one_in_cprimary():
    scores = Scores(list("abc"), ["l0", "l1", "l2"], np.array([[-9.0, 0, 0], [0, -9.0, 0], [0, 0, -9.0]]))
    assert cprimary(with_silent(scores, 1, 2), {"a": "l1", "b": "l1", "c": "l0"}) > 0
    silent = with_silent(Scores(list("abcd"), ["l0", "l1", "l2"], np.zeros((4, 3))), 0, 1, 2)
    key = {"a": "l0", "b": "l1", "c": "l2", "d": "l2"}
    weights = np.array([1.0, 1.0, 1.0, 0.0])
    assert cprimary(silent, key, weights) == pytest.approx(1.0)


def test_a_clip_of_six_frames_cannot_spoil_the_floored_cavg():
    rng = np.random.default_rng(3)
    own = np.arange(300) % 6
    loglik = 0.7 * rng.normal(size=(300, 6)) + 1.2 * np.eye(6)[own]
    loglik -= np.log(np.exp(loglik).sum(axis=1, keepdims=True))  # log-posteriors, all above −10
    key = {f"u{i}": f"l{c}" for i, c in enumerate(own)}
    scores = Scores(list(key), [f"l{i}" for i in range(6)], loglik)
    assert cavg_olr_floored(scores, key) == cavg_olr(scores, key)
    spoilt = loglik.copy()
    spoilt[5] = -538.0
    spoilt[5, 0] = 0.0
    spoilt = Scores(scores.utterances, scores.languages, spoilt)
    assert cavg_olr(spoilt, key) > 2 * cavg_olr(scores, key)
    assert cavg_olr_floored(spoilt, key) < 1.2 * cavg_olr(scores, key)


@few
@given(labelled_scores(), st.data())
def test_an_utterance_without_an_answer_is_missed_and_nothing_else(test_set, data):
    scores, key = test_set
    rows = data.draw(st.lists(st.integers(0, len(scores.utterances) - 1), unique=True, max_size=3))
    if len(rows) == len(scores.utterances):
        rows = rows[1:]
    silent = with_silent(scores, *rows)
    answered = Scores(
        [u for i, u in enumerate(scores.utterances) if i not in rows],
        scores.languages,
        np.delete(scores.loglik, rows, axis=0),
    )
    thresholds = np.unique(answered.loglik)  # −inf is below them all: rejected
    low, high = thresholds[0], thresholds[-1]
    grid = [low + k * ((high - low) / 20) for k in range(21)]
    assert cavg_olr(silent, key) == pytest.approx(min(cavg_at(silent, key, t) for t in grid), abs=1e-12)
    assert cavg_min(silent, key) == pytest.approx(
        min(cavg_at(silent, key, t) for t in [-np.inf, *thresholds, np.inf]), abs=1e-12
    )
    ratios = Scores(scores.utterances, scores.languages, detection_llr(silent.loglik))
    assert np.isneginf(ratios.loglik[rows]).all()
    assert cavg_actual(silent, key) == pytest.approx(cavg_at(ratios, key, 0.0), abs=1e-12)
