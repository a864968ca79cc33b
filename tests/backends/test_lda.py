import numpy as np
import pytest
from clouds import KALDI, TRAIN, clouds, scatter

from isogloss.backends.lda import LDA
from isogloss.types import OUT_OF_SET, IsoglossError


@pytest.mark.parametrize(
    "source, factor, expected",
    [("train", 0.1, "lda9"), ("train", 0.0, "lda9_factor0"), ("train_unit", 0.1, "transform9")],
)
def test_rows_are_kaldis_but_for_the_sign(source, factor, expected):
    lda = LDA(9, factor).fit(KALDI[source], KALDI["train_languages"].tolist())
    ours = np.column_stack([lda.weight, lda.offset])
    sign = np.sign((ours * KALDI[expected]).sum(axis=1, keepdims=True))
    assert np.abs(sign * ours - KALDI[expected]).max() < 1e-5


def test_estimated_on_unit_length_it_is_kaldis_but_for_its_rounding_of_the_unit_vectors():
    lda = LDA(9, estimate_on_unit_length=True).fit(*TRAIN)
    ours, kaldis = np.column_stack([lda.weight, lda.offset]), KALDI["transform9"]
    sign = np.sign((ours * kaldis).sum(axis=1, keepdims=True))
    assert np.abs(sign * ours - kaldis).max() < 1e-5 * np.abs(kaldis).max()


def test_transform_is_kaldis():
    lda = LDA("auto", estimate_on_unit_length=True).fit(*TRAIN)
    ours = lda.transform(KALDI["test"])
    sign = np.sign((ours * KALDI["test_projected"]).sum(axis=0))
    scale = np.abs(KALDI["test_projected"]).max()
    assert np.abs(sign * ours - KALDI["test_projected"]).max() < 1e-5 * scale


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.5])
def test_within_becomes_unit_and_between_diagonal(factor):
    x, languages = clouds()
    lda = LDA("auto", factor).fit(x, languages)
    total, within = scatter(x, languages)
    assert lda.weight.shape == (3, 6)
    assert lda.weight @ (factor * total + (1 - factor) * within) @ lda.weight.T == pytest.approx(np.eye(3), abs=1e-9)
    between = lda.weight @ (total - within) @ lda.weight.T
    assert between == pytest.approx(np.diag(np.diag(between)), abs=1e-9)
    assert (np.diff(np.diag(between)) < 0).all()
    assert lda.transform(x).mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert lda.transform(x) == pytest.approx(np.array([lda.weight @ v + lda.offset for v in x]), abs=1e-12)


def test_a_linear_change_of_the_embeddings_changes_nothing():
    x, languages = clouds()
    mixing = np.eye(6) + 0.3 * np.random.default_rng(3).normal(size=(6, 6))
    ours, mixed = (LDA().fit(v, languages).transform(v) for v in (x, x @ mixing + 7))
    sign = np.sign((ours * mixed).sum(axis=0))
    assert sign * mixed == pytest.approx(ours, abs=1e-6)


def test_dimensions_beyond_the_determined_ones_are_whitened():
    x, languages = clouds()
    lda = LDA(6).fit(x, languages)
    total, within = scatter(x, languages)
    assert lda.weight @ (0.1 * total + 0.9 * within) @ lda.weight.T == pytest.approx(np.eye(6), abs=1e-9)
    assert lda.weight[:3] == pytest.approx(LDA(3).fit(x, languages).weight, abs=1e-9)


def test_fewer_embeddings_than_dimensions():
    x, languages = clouds(num_languages=3, per_language=5, num_dims=40)
    lda = LDA().fit(x, languages)
    assert lda.weight.shape == (2, 40) and np.isfinite(lda.weight).all()
    new, _ = clouds(num_languages=3, per_language=5, num_dims=40)  # directions the enrolment does not span add nothing
    beyond = np.linalg.svd(x - x.mean(axis=0))[2][14:]
    assert lda.transform(new + 10 * beyond.sum(axis=0)) == pytest.approx(lda.transform(new), abs=1e-6)
    with pytest.raises(IsoglossError, match="LDA to 20 dimensions, but 15 embeddings of 40 dimensions span 14"):
        LDA(20).fit(x, languages)


def test_a_constant_or_repeated_dimension_is_no_problem():
    x, languages = clouds()
    padded = np.column_stack([x, x[:, 0], np.full(len(x), 3.0)])
    ours, plain = LDA().fit(padded, languages).transform(padded), LDA().fit(x, languages).transform(x)
    sign = np.sign((ours * plain).sum(axis=0))
    assert sign * ours == pytest.approx(plain, abs=1e-6)


def test_one_embedding_per_language_works_with_the_total_covariance_and_not_without():
    x = np.random.default_rng(0).normal(size=(4, 6))
    projected = LDA().fit(x, list("abcd")).transform(x)
    assert projected.shape == (4, 3) and np.isfinite(projected).all()
    with pytest.raises(IsoglossError, match="do not vary within a language"):
        LDA(total_covariance_factor=0.0).fit(x, list("abcd"))


@pytest.mark.parametrize(
    "x, languages, message",
    [
        (np.full((4, 3), 0.1), list("aabb"), "are the embeddings all the same"),
        (np.zeros((4, 3)), list("aabb"), "are the embeddings all the same"),
        (np.eye(4), list("aaaa"), "at least two languages"),
        (np.eye(4), ["a", "b", "a", OUT_OF_SET], "no <out-of-set>"),
        (np.eye(4), list("ab"), "4 embeddings but 2 languages"),
        (np.zeros((0, 4)), [], "enrolment of nothing"),
        (np.zeros(4), list("aabb"), "expected .utterances, dimensions."),
        (np.diag([1, np.nan, 1, 1]), list("aabb"), "1 of 4 embeddings are not finite, first in row 1"),
    ],
)
def test_bad_enrolment(x, languages, message):
    with pytest.raises(IsoglossError, match=message):
        LDA().fit(x, languages)


def test_bad_options():
    with pytest.raises(IsoglossError, match="LDA to 0"):
        LDA(0)
    with pytest.raises(IsoglossError, match="expected 0 to 1"):
        LDA(total_covariance_factor=1.5)
