import numpy as np
import pytest
from clouds import ENROL, TEST, accuracy, clouds, scatter
from scipy.stats import multivariate_normal

from isogloss.backends.gaussian import Gaussian
from isogloss.types import IsoglossError


def test_the_likelihoods_are_those_of_the_normal_distribution():
    x, languages = clouds(num_languages=3, per_language=20)
    del languages[-15:]  # languages of 20, 20 and 5 utterances
    x = x[:-15]
    relevance = 4.0
    backend = Gaussian(relevance, shrinkage=0.0).fit(x, languages)
    _, within = scatter(x, languages)
    means = {
        name: np.mean([v for v, own in zip(x, languages, strict=True) if own == name], axis=0)
        for name in backend.languages
    }
    overall = sum(means.values()) / 3
    for column, name in enumerate(backend.languages):
        num = languages.count(name)
        map_mean = (num * means[name] + relevance * overall) / (num + relevance)
        expected = multivariate_normal(map_mean, within).logpdf(x)
        assert backend.loglik(x)[:, column] == pytest.approx(expected, rel=1e-9)


def test_relevance_draws_small_languages_to_the_middle():
    x, languages = clouds(num_languages=2, per_language=30)
    own, drawn = Gaussian(0.0).fit(x, languages).means, Gaussian(1e9).fit(x, languages).means
    assert own == pytest.approx(np.array([x[:30].mean(axis=0), x[30:].mean(axis=0)]))
    assert drawn == pytest.approx(np.stack([own.mean(axis=0)] * 2), abs=1e-6)


def test_it_identifies():
    assert accuracy(Gaussian().fit(*ENROL), *TEST) > 0.9


def test_fewer_embeddings_than_dimensions_and_one_utterance_of_a_language():
    x, languages = clouds(3, 5, 40)
    new, _ = clouds(3, 5, 40)
    assert np.isfinite(Gaussian().fit(x, languages).loglik(new + 0.1)).all()
    with pytest.raises(IsoglossError, match="15 embeddings of 3 languages vary in 12 of 40"):
        Gaussian(shrinkage=0.0).fit(x, languages)
    assert accuracy(Gaussian().fit(x[:11], languages[:11]), x[:11], languages[:11]) == 1
    assert Gaussian().fit(x[:11], languages[:11]).languages == ["l0", "l1", "l2"]  # l2 has one


def test_bad_input():
    x, languages = clouds()
    with pytest.raises(IsoglossError, match="do not vary within a language"):
        Gaussian().fit(x[:3], list("abc"))
    with pytest.raises(IsoglossError, match="relevance -1"):
        Gaussian(-1)
    with pytest.raises(IsoglossError, match="at least two languages"):
        Gaussian().fit(x, ["l0"] * len(x))
    with pytest.raises(IsoglossError, match="not finite"):
        Gaussian().fit(x, languages).loglik(np.full((1, 6), np.nan))
