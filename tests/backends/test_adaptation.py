import re
from pathlib import Path

import numpy as np
import pytest
from clouds import accuracy, clouds

from isogloss.backends.adaptation import adapt_plda, coral, coral_plus
from isogloss.backends.plda import PLDA
from isogloss.backends.plda_model import PldaModel
from isogloss.types import IsoglossError


def covariance(x):
    return np.cov(x.T, bias=True)


def with_covariance(wanted, mean, num=200, seed=0):
    """[num, E] whose covariance and mean are exactly these."""
    x = np.random.default_rng(seed).normal(size=(num, len(wanted)))
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(covariance(x))).T
    return x @ np.linalg.cholesky(wanted).T + mean


GUIDE = Path(__file__).parents[2] / "docs" / "calibration.md"
MODEL = PldaModel.from_covariances(np.array([1.0, 2.0]), np.diag([1.0, 3.0]), np.diag([4.0, 2.0]))


@pytest.mark.parametrize("adapt", [adapt_plda, coral_plus])
def test_what_the_model_expects_changes_nothing(adapt):
    same = adapt(MODEL, with_covariance(np.diag([5.0, 5.0]), MODEL.mean))
    assert same.mean == pytest.approx(MODEL.mean)
    assert same.within == pytest.approx(MODEL.within) and same.between == pytest.approx(MODEL.between)


@pytest.mark.parametrize("adapt", [adapt_plda, coral_plus])
def test_less_variance_than_expected_changes_nothing_but_the_mean(adapt):
    narrower = adapt(MODEL, with_covariance(np.diag([0.5, 0.5]), MODEL.mean + 0.001))
    assert narrower.mean == pytest.approx(MODEL.mean + 0.001)
    assert narrower.within == pytest.approx(MODEL.within) and narrower.between == pytest.approx(MODEL.between)


def test_more_variance_is_shared_out_between_within_and_between():
    """Along axes: 15 where 5 is expected in the first, 2 in the second; the excess of 10 goes 0.3 to 0.7."""
    wider = adapt_plda(MODEL, with_covariance(np.diag([15.0, 2.0]), MODEL.mean))
    assert wider.within == pytest.approx(np.diag([1.0 + 3.0, 3.0]))
    assert wider.between == pytest.approx(np.diag([4.0 + 7.0, 2.0]))
    other = adapt_plda(MODEL, with_covariance(np.diag([15.0, 2.0]), MODEL.mean), within_scale=1.0, between_scale=0.0)
    assert other.within == pytest.approx(np.diag([11.0, 3.0])) and other.between == pytest.approx(MODEL.between)


def test_the_shift_of_the_mean_counts_as_variance():
    shifted = with_covariance(np.diag([5.0, 5.0]), MODEL.mean + np.array([3.0, 0.0]))
    assert adapt_plda(MODEL, shifted).within == pytest.approx(np.diag([1.0 + 0.3 * 9, 3.0]))
    assert adapt_plda(MODEL, shifted, mean_diff_scale=0.0).within == pytest.approx(MODEL.within)


def kaldis_way(model, x, mean_diff_scale=1.0, within_scale=0.3, between_scale=0.7):
    """PldaUnsupervisedAdaptor's steps: to where the total is 1, along the eigenvectors of the new covariance, and back."""
    mean = x.mean(axis=0)
    new = covariance(x) + mean_diff_scale * np.outer(mean - model.mean, mean - model.mean)
    to_unit = model.transform / np.sqrt(1 + model.psi)[:, None]
    values, vectors = np.linalg.eigh(to_unit @ new @ to_unit.T)
    within, between = (vectors.T @ np.diag(d) @ vectors for d in (1 / (1 + model.psi), model.psi / (1 + model.psi)))
    for i, value in enumerate(values):
        if value > 1:
            within[i, i] += within_scale * (value - 1)
            between[i, i] += between_scale * (value - 1)
    back = np.linalg.inv(vectors.T @ to_unit)
    return back @ within @ back.T, back @ between @ back.T


def test_adaptation_goes_kaldis_way():
    x, languages = clouds()
    model = PLDA().fit(x, languages).model
    new = clouds(seed=5)[0] * 1.3 + 1
    adapted = adapt_plda(model, new)
    within, between = kaldis_way(model, new)
    assert adapted.within == pytest.approx(within, abs=1e-8)
    assert adapted.between == pytest.approx(between, abs=1e-8)
    assert adapted.mean == pytest.approx(new.mean(axis=0))


def test_coral_plus_along_axes():
    """15 where 5 is expected is a factor of 3: S = 3 Φ there, and 0.8 of the two thirds that are new is added."""
    wider = coral_plus(MODEL, with_covariance(np.diag([15.0, 2.0]), MODEL.mean))
    assert wider.within == pytest.approx(np.diag([1.0 + 0.8 * 2.0, 3.0]))
    assert wider.between == pytest.approx(np.diag([4.0 + 0.8 * 8.0, 2.0]))


@pytest.mark.parametrize("adapt", [adapt_plda, coral_plus])
def test_adapting_helps_where_the_recordings_are_noisier_in_one_direction(adapt):
    x, languages = clouds(num_languages=8, per_language=40, num_dims=10, seed=3)
    new = x + np.random.default_rng(0).normal(size=(len(x), 1)) * 12 * np.eye(10)[0] - 2
    backend = PLDA().fit(x[::2], languages[::2])
    before = accuracy(backend, new, languages)
    backend.model = adapt(backend.model, new[1::2])
    assert accuracy(backend, new, languages) > before + 0.02


def test_coral_gives_the_source_the_covariance_of_the_target():
    source, target = clouds()[0], clouds(num_languages=5, seed=7)[0] - 3
    bent = coral(source, target, regularisation=0.0)
    assert covariance(bent) == pytest.approx(covariance(target))
    assert bent.mean(axis=0) == pytest.approx(target.mean(axis=0))
    assert coral(source, source, regularisation=0.0) == pytest.approx(source)
    assert coral(source, source) == pytest.approx(source)  # nothing to align, with or without


def test_coral_with_regularisation_is_suns_formula_on_standardised_vectors():
    def standardised(x):
        return (x - x.mean(axis=0)) / x.std(axis=0)

    source, target = standardised(clouds()[0]), standardised(clouds(num_languages=5, seed=7)[0])
    whiten, colour = (
        axes @ np.diag((values + 1) ** power) @ axes.T
        for (values, axes), power in (
            (np.linalg.eigh(covariance(source)), -0.5),
            (np.linalg.eigh(covariance(target)), 0.5),
        )
    )
    assert coral(source, target) == pytest.approx(source @ whiten @ colour)


def test_the_example_of_the_guide():
    (example,) = re.findall(r"```python\n(.*?adapt_plda.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    enrolled, languages = clouds(num_languages=8, per_language=40, num_dims=10, seed=3)
    noise = np.random.default_rng(0).normal(size=(len(enrolled), 1)) * 12 * np.eye(10)[0] - 2
    unlabelled, test = (enrolled + noise)[1::2], (enrolled + noise)[::2]
    names: dict = {"enrolled": enrolled, "languages": languages, "unlabelled": unlabelled, "test": test}
    exec(example, names)
    as_it_is = PLDA().fit(enrolled, languages).loglik(test)
    right = {name: (names[name].argmax(axis=1) == np.repeat(np.arange(8), 20)).mean() for name in ("adapted", "bent")}
    assert names["adapted"].shape == names["bent"].shape == as_it_is.shape
    assert min(right.values()) > (as_it_is.argmax(axis=1) == np.repeat(np.arange(8), 20)).mean() + 0.02


def test_bad_input():
    x, _ = clouds()
    with pytest.raises(IsoglossError, match="1 embeddings to adapt"):
        adapt_plda(MODEL, np.ones((1, 2)))
    with pytest.raises(IsoglossError, match=r"expected .utterances, 2."):
        coral_plus(MODEL, x)
    with pytest.raises(IsoglossError, match="not finite"):
        adapt_plda(MODEL, np.full((5, 2), np.nan))
    with pytest.raises(IsoglossError, match="of 1 of 2 dimensions cannot be adapted"):
        adapt_plda(PldaModel(np.zeros(2), np.eye(2)[:1], np.ones(1)), np.eye(2))
    with pytest.raises(IsoglossError, match="expected at least two of each"):
        coral(x, x[:1])
    with pytest.raises(IsoglossError, match="singular"):
        coral(x[:4], x, regularisation=0.0)  # 4 embeddings of 6 dimensions
    assert np.isfinite(coral(x[:4], x)).all()
    flat = PldaModel(np.zeros(2), np.eye(2), np.array([1.0, 0.0]))
    with pytest.raises(IsoglossError, match="singular"):
        coral_plus(flat, x[:, :2])
    assert np.isfinite(adapt_plda(flat, x[:, :2]).psi).all()
