import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracle import labelled_scores, with_silent

from isogloss.metrics import accuracy, auroc_out_of_set, confusion, macro_f1, recall
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

few = settings(max_examples=40, deadline=None)


def called(scores):
    return [scores.languages[max(range(len(row)), key=lambda c: (row[c], -c))] for row in scores.loglik.tolist()]


@few
@given(labelled_scores())
def test_identification_is_counting(test_set):
    scores, key = test_set
    pairs = [(key[u], guess) for u, guess in zip(scores.utterances, called(scores), strict=True)]
    for i, true in enumerate([*scores.languages, OUT_OF_SET]):
        for j, guess in enumerate(scores.languages):
            assert confusion(scores, key)[i, j] == pairs.count((true, guess))
    known = [(true, guess) for true, guess in pairs if true != OUT_OF_SET]
    assert accuracy(scores, key) == pytest.approx(sum(true == guess for true, guess in known) / len(known))
    f1 = []
    for i, language in enumerate(scores.languages):
        num_true = sum(true == language for true, _ in known)
        num_called = sum(guess == language for _, guess in known)
        hits = known.count((language, language))
        if num_true:
            assert recall(scores, key)[i] == pytest.approx(hits / num_true)
            precision = hits / num_called if num_called else 0.0
            f1.append(2 * precision * hits / num_true / (precision + hits / num_true) if hits else 0.0)
        else:
            assert np.isnan(recall(scores, key)[i])
    assert macro_f1(scores, key) == pytest.approx(np.mean(f1))


@few
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=15))
def test_auroc_is_the_share_of_pairs_in_the_right_order(utterances):
    utterances += [(True, 2), (False, 3)]
    key = {f"u{i}": "l0" if known else OUT_OF_SET for i, (known, _) in enumerate(utterances)}
    posterior = np.array([[0.5 + level / 10, 0.5 - level / 10] for _, level in utterances])
    pairs = [(a, b) for known, a in utterances if known for unknown, b in utterances if not unknown]
    expected = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert auroc_out_of_set(Scores(list(key), ["l0", "l1"], np.log(posterior)), key) == pytest.approx(expected)


def test_auroc_by_hand():
    # Highest posteriors: known 0.9 and 0.5, unknown 0.5 and 0.6: pairs 1, 1, ½, 0.
    posterior = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.4, 0.6]])
    key = {"a": "l0", "b": "l1", "x": OUT_OF_SET, "y": OUT_OF_SET}
    assert auroc_out_of_set(Scores(list(key), ["l0", "l1"], np.log(posterior)), key) == pytest.approx(2.5 / 4)
    # Log-likelihoods will do: a constant per utterance changes nothing.
    shifted = np.log(posterior) + np.array([[5.0], [-300.0], [0.0], [700.0]])
    assert auroc_out_of_set(Scores(list(key), ["l0", "l1"], shifted), key) == pytest.approx(2.5 / 4)


def test_auroc_sees_differences_between_posteriors_that_round_to_one():
    key = {"a": "l0", "x": OUT_OF_SET}
    loglik = np.array([[0.0, -60.0, -70.0], [0.0, -50.0, -70.0]])
    assert auroc_out_of_set(Scores(list(key), ["l0", "l1", "l2"], loglik), key) == 1


def test_auroc_needs_both_kinds():
    scores = Scores(["a"], ["l0", "l1"], np.zeros((1, 2)))
    for language in ("l0", OUT_OF_SET):
        with pytest.raises(IsoglossError, match="both kinds"):
            auroc_out_of_set(scores, {"a": language})


def test_accuracy_of_nothing_known_is_undefined():
    scores = Scores(["a"], ["l0", "l1"], np.zeros((1, 2)))
    assert np.isnan(accuracy(scores, {"a": OUT_OF_SET}))


def test_no_answer_is_wrong_whatever_the_language():
    key = {"a": "l0", "b": "l0", "c": "l1"}
    scores = with_silent(Scores(list(key), ["l0", "l1"], np.array([[1.0, 0], [1.0, 0], [0, 1.0]])), 0)
    assert accuracy(scores, key) == pytest.approx(2 / 3)
    assert recall(scores, key).tolist() == [0.5, 1.0]
    assert macro_f1(scores, key) == pytest.approx((2 / 3 + 1) / 2)
    assert confusion(scores, key).tolist() == [[1, 0], [0, 1], [0, 0]]
