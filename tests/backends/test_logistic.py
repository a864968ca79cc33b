from pathlib import Path

import numpy as np
import pytest

from isogloss.backends.logistic import LogisticRegression, log_softmax
from isogloss.types import IsoglossError

KALDI = np.load(Path(__file__).parent.parent / "data" / "kaldi_backend.npz")


def objective(weight, x, languages, names, normaliser):
    """Mean log posterior of the right language − 0.5·λ·‖W‖², one utterance at a time."""
    total = 0.0
    for v, own in zip(x, languages, strict=True):
        logits = [sum(w * value for w, value in zip(row, [*v, 1.0], strict=True)) for row in weight]
        total += logits[names.index(own)] - np.log(sum(np.exp(logits)))
    return total / len(x) - 0.5 * normaliser * sum(w * w for row in weight for w in row)


def small(num_languages=3, seed=0):
    rng = np.random.default_rng(seed)
    languages = [f"l{i % num_languages}" for i in range(30)]
    return rng.normal(size=(30, 2)) + np.array([[int(own[1]), 0.0] for own in languages]), languages


def test_posteriors_are_kaldis():
    model = LogisticRegression().fit(KALDI["enroll_centred_unit"], KALDI["enroll_languages"].tolist())
    ours = model.loglik(KALDI["test_centred_unit"])
    assert np.abs(np.exp(ours) - KALDI["posteriors"]).max() < 2e-3
    assert np.abs(ours - np.log(KALDI["posteriors"])).max() < 1e-2  # of posteriors down to 2e-3; Kaldi stops early


@pytest.mark.parametrize("num_languages", [2, 3])
@pytest.mark.parametrize("normaliser", [0.0025, 1.0])
def test_fit_is_the_highest_point_of_the_objective(num_languages, normaliser):
    x, languages = small(num_languages)
    model = LogisticRegression(normaliser).fit(x, languages)
    best = objective(model.weight, x, languages, model.languages, normaliser)
    for index in np.ndindex(model.weight.shape):
        for step in (-0.01, 0.01):
            moved = model.weight.copy()
            moved[index] += step
            assert objective(moved, x, languages, model.languages, normaliser) < best


def test_stationary_point_balances_posteriors_and_decay():
    """At the optimum the summed rows of W are 0 and the bias is the excess of the language over its mean posterior."""
    x, languages = small()
    model = LogisticRegression(0.1).fit(x, languages)
    posterior = np.exp(model.loglik(x))
    assert model.weight.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    share = np.array([languages.count(name) / len(languages) for name in model.languages])
    assert 0.1 * model.weight[:, -1] == pytest.approx(share - posterior.mean(axis=0), abs=1e-6)


def test_columns_are_the_sorted_languages_and_rows_are_probabilities():
    x, languages = small()
    model = LogisticRegression().fit(x[::-1], languages[::-1])
    assert model.languages == ["l0", "l1", "l2"]
    assert np.exp(model.loglik(x)).sum(axis=1) == pytest.approx(np.ones(30))
    assert model.loglik(np.array([[-9.0, 0.0], [9.0, 0.0]])).argmax(axis=1).tolist() == [0, 2]


def test_log_softmax_does_not_overflow():
    assert log_softmax(np.array([[1000.0, 0.0], [-1e5, -1e5]])) == pytest.approx(
        np.array([[0.0, -1000.0], [-np.log(2), -np.log(2)]])
    )


def test_bad_input():
    x, languages = small()
    with pytest.raises(IsoglossError, match="more than 0"):
        LogisticRegression(0.0)
    with pytest.raises(IsoglossError, match="at least two languages"):
        LogisticRegression().fit(x, ["l0"] * 30)
    with pytest.raises(IsoglossError, match=r"expected .utterances, 2."):
        LogisticRegression().fit(x, languages).loglik(np.ones((1, 5)))
