import re

import numpy as np
import pytest
from clouds import ENROL, KALDI, TEST, TRAIN, accuracy, clouds

from isogloss.backends import LDA, PLDA, WCCN, Centre, Chain, Gaussian, LengthNorm, make_backend
from isogloss.backends.chain import SCORERS, TRANSFORMS, from_spec
from isogloss.types import IsoglossError


def test_each_part_is_fitted_on_what_those_before_it_make():
    x, languages = clouds()
    chain = Chain([LDA(2), Centre(), LengthNorm()], Gaussian()).fit(x, languages)
    y = LDA(2).fit(x, languages).transform(x)
    y = y - y.mean(axis=0)
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    assert chain.transform(x) == pytest.approx(y)
    assert chain.loglik(x) == pytest.approx(Gaussian().fit(y, languages).loglik(y))
    assert chain.languages == ["l0", "l1", "l2", "l3"]


def test_a_text_asks_for_parts_and_their_arguments():
    chain = from_spec("lda(2, total_covariance_factor=0) + wccn(0.2)+length(sqrt_dim) + plda(normalise_length=false)")
    lda, wccn, length = chain.transforms
    assert (lda.dims, lda.total_covariance_factor) == (2, 0)
    assert isinstance(wccn, WCCN) and wccn.shrinkage == 0.2 and length.to == "sqrt_dim"
    assert isinstance(chain.scorer, PLDA) and chain.scorer.normalise_length is False
    assert from_spec("logistic(max_steps=none)").scorer.max_steps is None


def test_the_dimensions_of_an_lda_that_names_none_are_the_configs():
    assert from_spec("lda+plda", 7).transforms[0].dims == 7
    assert from_spec("lda(3)+plda", 7).transforms[0].dims == 3
    assert from_spec("lda(dims=3)+plda", 7).transforms[0].dims == 3
    assert from_spec("lda(total_covariance_factor=0.5)+plda", 7).transforms[0].dims == 7
    assert make_backend("olr2020", 7).transforms[0].dims == 7


@pytest.mark.parametrize("transform", sorted(TRANSFORMS))
@pytest.mark.parametrize("scorer", sorted(SCORERS))
def test_every_transform_goes_with_every_scorer(transform, scorer):
    assert accuracy(make_backend(f"{transform}+{scorer}").fit(*ENROL), *TEST) > 0.6


def test_the_usual_chains_identify():
    for spec in ("lda+centre+length+plda", "wccn+length+cosine", "centre+length+lda+gaussian", "lda+logistic"):
        assert accuracy(make_backend(spec).fit(*TRAIN), *TEST) > 0.9, spec


def test_kaldis_cosine_back_end_as_a_chain():
    """Transform and mean of the training set, enrolment of another: the transforms are fitted, then the scorer."""
    chain = from_spec("lda(9, estimate_on_unit_length=true)+centre+length+cosine").fit(*TRAIN)
    chain.scorer.fit(chain.transform(ENROL[0]), ENROL[1])
    assert np.abs(chain.loglik(TEST[0]) - KALDI["scores_cosine9"]).max() < 1e-5


def test_length_normalisation_of_the_one_dimension_of_two_languages():
    x, languages = clouds(num_languages=2)
    x[languages.index("l1") :] += 20  # far apart: none is on the wrong side
    with pytest.raises(IsoglossError, match=r"nothing but the sign of a single dimension.*leave `length` out"):
        make_backend("lda+centre+length+plda").fit(x, languages)
    assert accuracy(make_backend("lda+centre+plda").fit(x, languages), x, languages) == 1
    with pytest.raises(IsoglossError, match="are they all the same"):
        make_backend("plda").fit(np.ones((4, 1)), ["a", "b", "a", "b"])


@pytest.mark.parametrize(
    "num_languages, per_language, spec",
    [(4, 3, "pca+lda+gaussian"), (3, 4, "lda+gaussian"), (4, 3, "plda"), (2, 2, "gaussian(shrinkage=0)")],
)
def test_the_dimensions_that_an_error_advises_can_be_had(num_languages, per_language, spec):
    x, languages = clouds(num_languages, per_language, 40)
    with pytest.raises(IsoglossError, match=r"reduce (those|them) first") as error:
        make_backend(spec).fit(x, languages)
    pca = re.search(r"pca\(\d+\)", str(error.value))[0]
    made = make_backend("+".join([pca, *spec.removeprefix("pca+").split("+")])).fit(x, languages)
    assert np.isfinite(made.loglik(x)).all()


@pytest.mark.parametrize(
    "spec, message",
    [
        ("lda+centre", "'centre' as the scorer, which comes last .*; expected one of cosine, plda"),
        ("plda+lda", "'plda' as a transform; expected one of lda, wccn, pca"),
        ("svm", "'svm' as the scorer"),
        ("head", "'head' as the scorer"),
        ("lda(size=3)+plda", "lda does not take that"),
        ("length(1, 2)+plda", "length does not take that"),
        ("lda+", "is not understood; expected parts joined by"),
        ("lda-plda", "is not understood"),
        ("lda(1+x)+plda", "is not understood"),
        ("__import__('os').system('true')+plda", "is not understood"),
        ("", "is not understood"),
        ("lda(0)+plda", "LDA to 0 dimensions"),
        ("length(long)+plda", "expected 'unit' or 'sqrt_dim'"),
    ],
)
def test_what_cannot_be_made(spec, message):
    with pytest.raises(IsoglossError, match=message):
        make_backend(spec)
