import numpy as np
import pytest
from clouds import ENROL, KALDI, MODELS, TEST, TRAIN, accuracy, clouds, kaldi_eer_percent, scatter
from scipy.stats import multivariate_normal

from isogloss.backends.plda import PLDA, estimate
from isogloss.backends.plda_model import PldaModel
from isogloss.backends.transforms import Centre
from isogloss.types import IsoglossError

KALDIS = PldaModel(*(MODELS[f"plda_{name}"].astype(float) for name in ("mean", "transform", "psi")))
CENTRE = Centre().fit(*TRAIN)


def random_model(num_dims=4, seed=0):
    rng = np.random.default_rng(seed)
    within, between = (
        mixing @ mixing.T + 0.1 * np.eye(num_dims) for mixing in rng.normal(size=(2, num_dims, num_dims))
    )
    return PldaModel.from_covariances(rng.normal(size=num_dims), within, between), within, between


@pytest.mark.parametrize("whose", ["Kaldi's model", "our own of the same vectors"])
@pytest.mark.parametrize("normalise_length, expected", [(True, "plda"), (False, "plda_nonorm")])
def test_scores_and_eer_are_kaldis(whose, normalise_length, expected):
    backend = PLDA(normalise_length=normalise_length)
    backend.model = KALDIS if whose == "Kaldi's model" else estimate(CENTRE.transform(TRAIN[0]), TRAIN[1])
    backend.enrol(CENTRE.transform(ENROL[0]), ENROL[1])
    ours = backend.loglik(CENTRE.transform(TEST[0]))
    assert np.abs(ours - KALDI[f"scores_{expected}"]).max() < 1e-3  # of scores down to −117
    assert kaldi_eer_percent(ours) == pytest.approx(float(KALDI[f"eer_percent_{expected}"]), abs=0.05)


def test_our_estimate_is_kaldis():
    ours = estimate(CENTRE.transform(TRAIN[0]), TRAIN[1])
    assert ours.mean == pytest.approx(KALDIS.mean, abs=1e-5)
    assert ours.psi == pytest.approx(KALDIS.psi, rel=1e-4)
    for ours_, kaldis in ((ours.within, KALDIS.within), (ours.between, KALDIS.between)):
        assert np.abs(ours_ - kaldis).max() < 1e-5


def test_ratio_is_that_of_the_joint_normal_distribution():
    """log p(test, enrolled | one language) − log p(test) p(enrolled), of the utterances themselves."""
    model, within, between = random_model()
    rng = np.random.default_rng(1)
    num_enrolled, num_dims = 3, 4
    enrolled, test = rng.normal(size=(num_enrolled, num_dims)), rng.normal(size=(2, num_dims))
    count = num_enrolled + 1
    together = np.kron(np.ones((count, count)), between) + np.kron(np.eye(count), within)
    alone = together[:-num_dims, :-num_dims]
    mean = np.tile(model.mean, count)
    ours = model.log_likelihood_ratio(
        model.project(enrolled.mean(axis=0)[None], normalise_length=False),
        np.array([num_enrolled]),
        model.project(test, normalise_length=False),
    )
    for row, v in enumerate(test):
        expected = (
            multivariate_normal(mean, together).logpdf(np.concatenate([enrolled.ravel(), v]))
            - multivariate_normal(mean[:-num_dims], alone).logpdf(enrolled.ravel())
            - multivariate_normal(model.mean, within + between).logpdf(v)
        )
        assert ours[row, 0] == pytest.approx(expected, rel=1e-9)


def naive_em(x, languages, num_iterations):
    """The docstring's equations, a language at a time, every inverse taken."""
    names = sorted(set(languages))
    groups = [np.array([v for v, own in zip(x, languages, strict=True) if own == name]) for name in names]
    means = [group.mean(axis=0) for group in groups]
    mean = sum(means) / len(means)
    scatter_within = sum((v - m)[:, None] * (v - m) for group, m in zip(groups, means, strict=True) for v in group)
    within = between = np.eye(x.shape[1])
    for _ in range(num_iterations):
        new_within, new_between = scatter_within.copy(), np.zeros_like(within)
        for group, own in zip(groups, means, strict=True):
            m, num = own - mean, len(group)
            v = np.linalg.inv(np.linalg.inv(between) + num * np.linalg.inv(within))
            w = v @ (num * np.linalg.inv(within) @ m)
            new_between += np.outer(w, w) + v
            new_within += num * (np.outer(m - w, m - w) + v)
        within, between = new_within / len(x), new_between / len(groups)
    return mean, within, between


def test_estimation_is_expectation_maximisation():
    x, languages = clouds(num_languages=5, per_language=8)
    x, languages = x[:-6], languages[:-6]  # one language of two
    mean, within, between = naive_em(x, languages, 10)
    model = estimate(x, languages)
    assert model.mean == pytest.approx(mean)
    assert model.within == pytest.approx(within, abs=1e-8)
    assert model.between == pytest.approx(between, abs=1e-8)


def test_many_iterations_find_the_covariances_the_vectors_were_drawn_with():
    rng = np.random.default_rng(2)
    _, within, between = random_model(3)
    y = rng.multivariate_normal(np.zeros(3), between, size=1500)
    x = np.repeat(y, 4, axis=0) + rng.multivariate_normal(np.zeros(3), within, size=6000)
    model = estimate(x, [str(i // 4) for i in range(6000)], num_iterations=30)
    assert model.within == pytest.approx(within, abs=0.05 * np.abs(within).max())
    assert model.between == pytest.approx(between, abs=0.15 * np.abs(between).max())


def test_the_transform_makes_within_one_and_between_diagonal():
    model, within, between = random_model()
    assert model.transform @ within @ model.transform.T == pytest.approx(np.eye(4), abs=1e-9)
    assert model.transform @ between @ model.transform.T == pytest.approx(np.diag(model.psi), abs=1e-9)
    assert (np.diff(model.psi) < 0).all()
    assert model.within == pytest.approx(within) and model.between == pytest.approx(between)


def test_smoothing_adds_some_of_between_to_within():
    model, within, between = random_model()
    smooth = model.smoothed(0.3)
    assert smooth.within == pytest.approx(within + 0.3 * between)
    assert smooth.between == pytest.approx(between)
    assert smooth.transform @ smooth.between @ smooth.transform.T == pytest.approx(np.diag(smooth.psi), abs=1e-9)
    x, languages = clouds()
    assert PLDA(smoothing=0.3).fit(x, languages).model.psi == pytest.approx(estimate(x, languages).smoothed(0.3).psi)


def test_lengths():
    model, within, between = random_model()
    x = np.random.default_rng(3).normal(size=(5, 4))
    count = np.array([1, 2, 3, 4, 5])
    plain = model.project(x, count, normalise_length=False)
    assert plain == pytest.approx(np.array([model.transform @ (v - model.mean) for v in x]))
    for u, v, num in zip(model.project(x, count), x, count, strict=True):
        # Mahalanobis length of a mean of num utterances, brought to the number of dimensions.
        squared = (v - model.mean) @ np.linalg.inv(between + within / num) @ (v - model.mean)
        assert u == pytest.approx(model.transform @ (v - model.mean) * np.sqrt(4 / squared))
    assert (model.project(x, count, simple_length_norm=True) ** 2).sum(axis=1) == pytest.approx(np.full(5, 4.0))
    assert (model.project(model.mean[None]) == 0).all()  # nothing to stretch


def test_the_number_of_enrolled_utterances_counts_unless_told_otherwise():
    x, languages = clouds(3, 30)
    counted, single = PLDA().fit(x, languages), PLDA(count_utterances=False).fit(x, languages)
    assert counted.counts.tolist() == [30, 30, 30]
    single.counts = np.ones(3)
    assert single.loglik(x) == pytest.approx(PLDA(count_utterances=False).fit(x, languages).loglik(x))
    assert counted.loglik(x) != pytest.approx(single.loglik(x))


def test_it_identifies_also_with_other_speech_enrolled():
    backend = PLDA().fit(*TRAIN)
    assert accuracy(backend, *TEST) > 0.9
    x, languages = ENROL
    assert backend.enrol(x[:36], languages[:36]).languages == ["ct", "id", "ja"]  # the others are not scored
    assert backend.loglik(TEST[0]).shape == (150, 3)
    backend.enrol(x[[0, 12]], [languages[0], languages[12]])  # one utterance each
    assert accuracy(backend, TEST[0][:30], TEST[1][:30]) > 0.8


def test_few_utterances():
    x, languages = clouds(3, 5, 40)
    with pytest.raises(IsoglossError, match="vary in 12 of 40 dimensions .*shrinkage=0.1"):
        PLDA().fit(x, languages)
    assert accuracy(PLDA(shrinkage=0.1).fit(x, languages), x, languages) == 1
    x, languages = clouds(3, 5)
    with_single = PLDA().fit(x[:11], languages[:11])
    assert with_single.counts.tolist() == [5, 5, 1] and np.isfinite(with_single.loglik(x)).all()
    assert np.isfinite(with_single.loglik(np.stack([np.zeros(6), with_single.model.mean]))).all()


def test_bad_input():
    x, languages = clouds()
    with pytest.raises(IsoglossError, match="do not vary within a language"):
        PLDA().fit(x[:3], list("abc"))
    with pytest.raises(IsoglossError, match="at least two languages"):
        PLDA().fit(x, ["l0"] * len(x))
    with pytest.raises(IsoglossError, match="not finite"):
        PLDA().fit(np.where(x > 9, np.nan, x), languages)
    with pytest.raises(IsoglossError, match="0 iterations"):
        PLDA(num_iterations=0).fit(x, languages)
    with pytest.raises(IsoglossError, match="smoothing 3"):
        PLDA(smoothing=3).fit(x, languages)
    with pytest.raises(IsoglossError, match=r"expected .utterances, 6."):
        PLDA().fit(x, languages).loglik(np.ones((1, 3)))
    with pytest.raises(IsoglossError, match="singular"):
        PldaModel.from_covariances(np.zeros(2), np.zeros((2, 2)), np.eye(2))
    with pytest.raises(IsoglossError, match=r"expected \[E\], \[R, E\] and \[R\]"):
        PldaModel(np.zeros(3), np.eye(2), np.ones(2))
    with pytest.raises(IsoglossError, match="the least -1"):
        PldaModel(np.zeros(2), np.eye(2), np.array([1.0, -1.0]))


def test_within_and_between_add_up_to_the_total():
    x, languages = clouds(num_languages=6, per_language=40)
    model = estimate(x, languages, num_iterations=50)
    _, within = scatter(x, languages)
    assert model.within == pytest.approx(within, rel=0.1, abs=0.05 * np.abs(within).max())
