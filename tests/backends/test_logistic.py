import numpy as np
import pytest
from clouds import KALDI, MODELS, NAMES, TEST, TRAIN

from isogloss.backends.logistic import LogisticRegression, log_softmax
from isogloss.types import IsoglossError


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
    """20 steps as Kaldi's; the optimum lies further off, for 20 steps do not reach it."""
    enrolment = KALDI["enroll_centred_unit"], KALDI["enroll_languages"].tolist()
    ours = LogisticRegression().fit(*enrolment).loglik(KALDI["test_centred_unit"])
    assert np.abs(ours - np.log(KALDI["posteriors"])).max() < 1e-4  # of log-posteriors down to −8
    assert np.abs(ours - KALDI["scores_lr9"]).max() < 1e-4
    optimum = LogisticRegression(max_steps=None).fit(*enrolment).loglik(KALDI["test_centred_unit"])
    assert 1e-3 < np.abs(optimum - KALDI["scores_lr9"]).max() < 1e-2


def lre07():
    """Kaldi's lre07 recipe, one to three dozen of rows a language; estimated on unit-length vectors."""
    return LogisticRegression(normaliser=0.001, max_steps=35, mix_up=150, power=0.15).fit(KALDI["train_unit"], TRAIN[1])


def test_a_model_of_kaldis_with_mixtures_scores_as_in_kaldi():
    model = LogisticRegression.from_weights(MODELS["lre07_weight"], MODELS["lre07_rows_of"], NAMES)
    assert np.abs(model.loglik(TEST[0]) - MODELS["lre07_log_posteriors"]).max() < 1e-4  # of values down to −51
    assert np.exp(model.loglik(TEST[0])).sum(axis=1) == pytest.approx(np.ones(150))


def test_mixtures_are_shared_out_as_in_kaldi_and_reach_its_objective():
    """Which of many equally good mixtures is found hangs on the noise that tells the copies of a row apart."""
    ours = lre07()
    assert np.bincount(ours.rows_of).tolist() == np.bincount(MODELS["lre07_rows_of"]).tolist()
    x = np.column_stack([KALDI["train_unit"], np.ones(530)])
    index = np.array([NAMES.index(own) for own in TRAIN[1]])
    value, _ = ours.objective(ours.weight, x, index)
    ours.rows_of = MODELS["lre07_rows_of"]
    assert value == pytest.approx(ours.objective(MODELS["lre07_weight"].astype(float), x, index)[0], abs=1e-3)


def test_the_gradient_is_that_of_the_objective_with_mixtures_too():
    model, rng = lre07(), np.random.default_rng(0)
    weight = rng.normal(size=model.weight.shape)
    x, index = rng.normal(size=(20, 41)), rng.integers(10, size=20)
    _, gradient = model.objective(weight, x, index)
    for place in [(0, 0), (3, 40), (77, 5), (149, 12)]:
        ends = []
        for step in (1e-5, -1e-5):
            moved = weight.copy()
            moved[place] += step
            ends.append(model.objective(moved, x, index)[0])
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("num_languages", [2, 3])
@pytest.mark.parametrize("normaliser", [0.0025, 1.0])
def test_fit_is_the_highest_point_of_the_objective(num_languages, normaliser):
    x, languages = small(num_languages)
    model = LogisticRegression(normaliser, max_steps=None).fit(x, languages)
    best = objective(model.weight, x, languages, model.languages, normaliser)
    for index in np.ndindex(model.weight.shape):
        for step in (-0.01, 0.01):
            moved = model.weight.copy()
            moved[index] += step
            assert objective(moved, x, languages, model.languages, normaliser) < best


def test_stationary_point_balances_posteriors_and_decay():
    """At the optimum the summed rows of W are 0 and the bias is the excess of the language over its mean posterior."""
    x, languages = small()
    model = LogisticRegression(0.1, max_steps=None).fit(x, languages)
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
    with pytest.raises(IsoglossError, match="0 steps"):
        LogisticRegression(max_steps=0)
    with pytest.raises(IsoglossError, match="is the language list this model's"):
        LogisticRegression.from_weights(np.ones((3, 5)), np.array([0, 1, 1]), ["a", "b", "c"])
    with pytest.raises(IsoglossError, match="at least two languages"):
        LogisticRegression().fit(x, ["l0"] * 30)
    with pytest.raises(IsoglossError, match=r"expected .utterances, 2."):
        LogisticRegression().fit(x, languages).loglik(np.ones((1, 5)))
