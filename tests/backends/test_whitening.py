import numpy as np
import pytest
from clouds import clouds, scatter

from isogloss.backends.whitening import WCCN, PCAWhitening
from isogloss.types import IsoglossError


def test_wccn_makes_languages_round():
    x, languages = clouds()
    wccn = WCCN(shrinkage=0.0).fit(x, languages)
    _, within = scatter(wccn.transform(x), languages)
    assert within == pytest.approx(np.eye(6), abs=1e-9)
    _, before = scatter(x, languages)
    assert wccn.weight.T @ wccn.weight == pytest.approx(np.linalg.inv(before))  # Hatch: B Bᵀ = W⁻¹
    assert wccn.weight == pytest.approx(np.triu(wccn.weight))  # Bᵀ of a lower triangular B


def test_wccn_where_utterances_are_few():
    x, languages = clouds(3, 4, 20)
    assert np.isfinite(WCCN().fit(x, languages).transform(x)).all()
    with pytest.raises(IsoglossError, match="vary in 9 of 20 dimensions"):
        WCCN(shrinkage=0.0).fit(x, languages)
    with pytest.raises(IsoglossError, match="at least two languages"):
        WCCN().fit(x, ["l0"] * 12)


@pytest.mark.parametrize("dims", ["auto", 3])
def test_pca_whitens_the_whole(dims):
    x, languages = clouds()
    whitening = PCAWhitening(dims).fit(x, languages)
    y = whitening.transform(x)
    total, _ = scatter(y, languages)
    assert y.mean(axis=0) == pytest.approx(np.zeros(y.shape[1]), abs=1e-9)
    assert total == pytest.approx(np.eye(6 if dims == "auto" else 3), abs=1e-9)


def test_pca_keeps_the_largest_variances_first():
    x = np.random.default_rng(0).normal(size=(500, 4)) * np.array([0.1, 10.0, 1.0, 3.0])
    whitening = PCAWhitening(2).fit(x, [])
    assert np.abs(whitening.weight).argmax(axis=1).tolist() == [1, 3]
    assert np.abs(whitening.weight).max(axis=1) == pytest.approx([1 / 10, 1 / 3], rel=0.1)


def test_pca_where_embeddings_are_few():
    x, languages = clouds(3, 4, 20)
    assert PCAWhitening().fit(x, languages).weight.shape == (11, 20)
    with pytest.raises(IsoglossError, match="PCA to 12 dimensions, but 12 embeddings of 20 dimensions span 11"):
        PCAWhitening(12).fit(x, languages)
    for nothing in (np.full((5, 3), 7.7), np.zeros((5, 3)), np.zeros((0, 3))):
        with pytest.raises(IsoglossError, match="span 0"):
            PCAWhitening().fit(nothing, [])
    with pytest.raises(IsoglossError, match="PCA to 0"):
        PCAWhitening(0)
