from pathlib import Path

import numpy as np
import pytest

from isogloss.backends.length_norm import centred_unit_length
from isogloss.backends.olr2020 import OLR2020
from isogloss.types import IsoglossError

KALDI = np.load(Path(__file__).parent.parent / "data" / "kaldi_backend.npz")


def enrolled(lda_dim="auto"):
    return OLR2020(lda_dim).fit(KALDI["enroll"], KALDI["enroll_languages"].tolist())


def test_the_chain_is_kaldis():
    """With Kaldi's own LDA and mean (estimated on its training set), all that follows is fitted as Kaldi fits it."""
    backend = OLR2020()
    languages = KALDI["enroll_languages"].tolist()
    backend.lda.fit(KALDI["train_unit"], KALDI["train_languages"].tolist())
    backend.mean = backend.lda.transform(KALDI["train"]).mean(axis=0)
    enrolment = centred_unit_length(backend.lda.transform(KALDI["enroll"]), backend.mean)
    backend.logistic.fit(enrolment, languages)
    sign = np.sign((enrolment * KALDI["enroll_centred_unit"]).sum(axis=0))
    assert np.abs(sign * enrolment - KALDI["enroll_centred_unit"]).max() < 1e-5
    assert np.abs(np.exp(backend.loglik(KALDI["test"])) - KALDI["posteriors"]).max() < 2e-3


def test_it_identifies_what_it_was_enrolled_with():
    backend = enrolled()
    assert backend.languages == sorted(set(KALDI["test_languages"].tolist()))
    loglik = backend.loglik(KALDI["test"])
    assert loglik.shape == (150, 10) and loglik.dtype == np.float64
    assert np.exp(loglik).sum(axis=1) == pytest.approx(np.ones(150))
    called = np.array(backend.languages)[loglik.argmax(axis=1)]
    assert (called == KALDI["test_languages"]).mean() > 0.9


def test_the_enrolment_lies_around_the_origin_on_the_unit_sphere():
    backend = enrolled()
    projected = backend.lda.transform(KALDI["enroll"])
    assert backend.mean == pytest.approx(projected.mean(axis=0))
    assert backend.lda.weight.shape == (9, 40)
    assert enrolled(20).lda.weight.shape == (20, 40)


def test_lda_is_estimated_on_unit_length_and_applied_as_they_are():
    """Doubling one enrolment embedding leaves the directions alone; doubling a test embedding does change its score."""
    x = KALDI["enroll"].astype(float)
    longer = x.copy()
    longer[0] *= 2
    again = OLR2020().fit(longer, KALDI["enroll_languages"].tolist())
    assert again.lda.weight == pytest.approx(enrolled().lda.weight, abs=1e-9)
    assert again.mean != pytest.approx(enrolled().mean, abs=1e-3)
    assert enrolled().loglik(2 * x[:1]) != pytest.approx(enrolled().loglik(x[:1]), abs=1e-3)


def test_order_of_the_enrolment_does_not_matter():
    rows = np.random.default_rng(0).permutation(120)
    shuffled = OLR2020().fit(KALDI["enroll"][rows], KALDI["enroll_languages"][rows].tolist())
    assert shuffled.loglik(KALDI["test"]) == pytest.approx(enrolled().loglik(KALDI["test"]), abs=1e-4)


def test_two_languages_and_few_embeddings():
    x, languages = KALDI["enroll"][:24], KALDI["enroll_languages"][:24].tolist()  # fewer than its 40 dimensions
    backend = OLR2020().fit(x, languages)
    assert backend.loglik(x).shape == (24, 2)
    assert (np.array(backend.languages)[backend.loglik(x).argmax(axis=1)] == languages).all()


def test_bad_input():
    with pytest.raises(IsoglossError, match="1 of 2 embeddings are not finite, first in row 1"):
        enrolled().loglik(np.stack([np.zeros(40), np.full(40, np.nan)]))
    with pytest.raises(IsoglossError, match=r"shape \(3, 12\); expected \[utterances, 40\]"):
        enrolled().loglik(np.zeros((3, 12)))
    with pytest.raises(IsoglossError, match="LDA to 100 dimensions"):
        enrolled(100)
