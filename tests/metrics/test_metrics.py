import json
import warnings

import numpy as np
import pytest

from isogloss.metrics import (
    FIGURES,
    METRICS,
    OPEN_SET_METRICS,
    accuracy,
    cavg_min,
    checked,
    evaluate,
    restrict_to_tested,
)
from isogloss.types import OUT_OF_SET, IsoglossError, Scores


def make(own, languages, seed=0):
    rng = np.random.default_rng(seed)
    key = {f"u{i}": language for i, language in enumerate(own)}
    return Scores(list(key), languages, rng.normal(size=(len(own), len(languages)))), key


def test_evaluate_says_what_was_measured_and_is_json():
    scores, key = make(["a", "b", OUT_OF_SET, "a"], ["a", "b", "c"])
    with pytest.warns(UserWarning, match="enrolled but not tested: c"):
        result = evaluate(scores, key)
    assert json.loads(json.dumps(result)) == result
    assert {*OPEN_SET_METRICS, *METRICS, *FIGURES} < set(result)
    assert (result["num_trials"], result["num_utterances"], result["num_out_of_set"]) == (12, 4, 1)
    assert result["languages_enrolled"] == ["a", "b", "c"] and result["languages_tested"] == ["a", "b"]
    assert result["accuracy"] == accuracy(scores, key)
    assert "intervals" not in result


def test_a_clean_closed_test_set_warns_of_nothing():
    scores, key = make(["a", "b"], ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "auroc_out_of_set" not in evaluate(scores, key)


def test_unscored_utterances_are_counted():
    scores, key = make(["a", "b"], ["a", "b"])
    with pytest.warns(UserWarning, match="1 of the 3 utterances"):
        result = evaluate(scores, key | {"silent": "a"})
    assert (result["num_unscored"], result["num_missing_trials"]) == (1, 2)


def test_untested_languages_can_be_left_out():
    scores, key = make(["a", "c", OUT_OF_SET], ["a", "b", "c"])
    restricted = restrict_to_tested(scores, key)
    assert restricted.languages == ["a", "c"]
    assert (restricted.loglik == scores.loglik[:, [0, 2]]).all()
    # All rejected: every tested language missed. The untested one is never missed, which is why one may leave it out.
    assert cavg_min(Scores(["u0"], ["a", "b"], np.array([[-1.0, 1.0]])), {"u0": "a"}) == pytest.approx(0.25)


@pytest.mark.parametrize("name", METRICS)
def test_bad_input_ends_in_one_line(name):
    metric = METRICS[name]
    good, key = make(["a", "b", "a"], ["a", "b"])
    nan = good.loglik.copy()
    nan[1, 0] = np.nan
    cases = [
        (Scores(good.utterances, good.languages, nan), key, "1 of 6 scores are not finite, first in utterance 'u1'"),
        (Scores(good.utterances, good.languages, nan - np.inf), key, "not finite"),
        (good, {"u0": "a"}, "2 of 3 utterances have no true language, first 'u1'"),
        (good, key | {"u2": "ja-jp"}, "the key has 'ja-jp', but enrolled are a, b"),
        (Scores([], ["a", "b"], np.zeros((0, 2))), key, "0 utterances"),
        (Scores(["u0"], ["a"], np.zeros((1, 1))), key, "only one language"),
        (Scores(["u0", "u0"], ["a", "b"], np.zeros((2, 2))), key, "'u0' is in the scores twice"),
        (Scores(["u0"], ["a", "a"], np.zeros((1, 2))), key, "'a' is in the scores twice"),
    ]
    for scores, case_key, message in cases:
        with pytest.raises(IsoglossError, match=message) as error:
            metric(scores, case_key, None)
        assert "\n" not in str(error.value)
    for weights in (np.ones(2), -np.ones(3), np.full(3, np.nan), np.ones((1, 1, 3))):
        with pytest.raises(IsoglossError, match="utterance weights"):
            metric(good, key, weights)


@pytest.mark.parametrize("name", METRICS)
def test_degenerate_test_sets_have_values(name):
    for own in (["a"], ["a", "a"], ["a", "b", "c", OUT_OF_SET]):
        scores, key = make(own, ["a", "b", "c"])
        equal = Scores(scores.utterances, scores.languages, np.full(scores.loglik.shape, -7.25))
        for each in (scores, equal):
            assert np.isfinite(METRICS[name](each, key, None))


@pytest.mark.parametrize("name", METRICS)
def test_order_of_utterances_and_languages_does_not_matter(name):
    scores, key = make([["a", "b", "c", OUT_OF_SET][i % 4] for i in range(40)], ["a", "b", "c"])
    rows, columns = np.random.default_rng(1).permutation(40), [2, 0, 1]
    shuffled = Scores(
        [scores.utterances[i] for i in rows],
        [scores.languages[c] for c in columns],
        scores.loglik[np.ix_(rows, columns)],
    )
    assert METRICS[name](shuffled, key, None) == pytest.approx(METRICS[name](scores, key, None), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_float32_scores_give_their_own_value(name):
    scores, key = make(["a", "b", "c", OUT_OF_SET] * 20, ["a", "b", "c"])
    single = scores.loglik.astype(np.float32)
    double = Scores(scores.utterances, scores.languages, single.astype(np.float64))
    value = METRICS[name](Scores(scores.utterances, scores.languages, single), key, None)
    assert value == pytest.approx(METRICS[name](double, key, None), abs=1e-6)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_no_known_utterance_has_an_answer():
    scores, key = make(["a", "b", OUT_OF_SET], ["a", "b", "c"])
    scores.loglik[:2] = -np.inf
    with pytest.warns(UserWarning, match="2 of 3 utterances have no answer"):
        result = evaluate(scores, key)
    assert result["cllr"] == pytest.approx(np.log2(3)) and result["cllr_min"] == 1  # of the two tested
    assert [name for name, value in result.items() if value != value] == ["ece", "ece_adaptive", "ece_if_calibrated"]
    assert result["accuracy"] == result["auroc_out_of_set"] == 0


def test_checked_scores_are_the_same_test_set():
    scores, key = make(["a", "b", "c", OUT_OF_SET] * 5, ["a", "b", "c"])
    trials = checked(scores, key)
    assert checked(trials, key) is trials
    assert checked(trials, dict(key)) is not trials  # another key, other truths perhaps
    for metric in (*METRICS.values(), *OPEN_SET_METRICS.values()):
        assert metric(trials, key, None) == metric(scores, key, None)


def test_answers_that_are_missing_are_counted():
    scores, key = make(["a", "b", "a", "b"], ["a", "b"])
    scores.loglik[1:] = np.eye(2)[[1, 0, 1]]
    scores.loglik[0] = -np.inf
    with pytest.warns(UserWarning, match="1 of 4 utterances have no answer: counted as missed"):
        result = evaluate(scores, key)
    assert result["num_without_answer"] == 1 and result["accuracy"] == 0.75
    assert all(np.isfinite(value) for value in result.values() if isinstance(value, float))
    scores.loglik[:] = -np.inf
    with pytest.raises(IsoglossError, match="none has an answer"):
        evaluate(scores, key)
    scores.loglik[2] = [0.0, -np.inf]  # half an answer is none
    with pytest.raises(IsoglossError, match="1 of 8 scores are not finite, first in utterance 'u2'"):
        evaluate(scores, key)
