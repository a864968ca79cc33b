import numpy as np
import pytest
from clouds import ENROL, KALDI, TRAIN, kaldi_eer_percent

from isogloss.backends import load_backend
from isogloss.backends.length_norm import centred_unit_length
from isogloss.backends.olr2020 import OLR2020
from isogloss.types import IsoglossError


def enrolled(lda_dim="auto"):
    return OLR2020(lda_dim).fit(KALDI["enroll"], KALDI["enroll_languages"].tolist())


def test_the_chain_is_kaldis():
    """Kaldi estimated LDA and mean on its training set, the logistic regression on the enrolment."""
    backend = OLR2020().fit(*TRAIN)
    enrolment = backend.transform(KALDI["enroll"])
    backend.scorer.fit(enrolment, ENROL[1])
    sign = np.sign((enrolment * KALDI["enroll_centred_unit"]).sum(axis=0))
    assert np.abs(sign * enrolment - KALDI["enroll_centred_unit"]).max() < 1e-5
    ours = backend.loglik(KALDI["test"])
    assert np.abs(ours - KALDI["scores_lr9"]).max() < 1e-4
    assert kaldi_eer_percent(ours) == pytest.approx(float(KALDI["eer_percent_lr9"]), abs=0.05)


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
    lda, centre, _ = backend.transforms
    assert centre.mean == pytest.approx(lda.transform(KALDI["enroll"]).mean(axis=0))
    assert lda.weight.shape == (9, 40)
    assert enrolled(20).transforms[0].weight.shape == (20, 40)
    assert backend.transform(KALDI["enroll"]) == pytest.approx(
        centred_unit_length(lda.transform(KALDI["enroll"]), centre.mean)
    )


def test_lda_is_estimated_on_unit_length_and_applied_as_they_are():
    """Doubling one enrolment embedding leaves the directions alone; doubling a test embedding does change its score."""
    x = KALDI["enroll"].astype(float)
    longer = x.copy()
    longer[0] *= 2
    again = OLR2020().fit(longer, KALDI["enroll_languages"].tolist())
    (lda, centre, _), (other_lda, other_centre, _) = again.transforms, enrolled().transforms
    assert lda.weight == pytest.approx(other_lda.weight, abs=1e-9)
    assert centre.mean != pytest.approx(other_centre.mean, abs=1e-3)
    assert enrolled().loglik(2 * x[:1]) != pytest.approx(enrolled().loglik(x[:1]), abs=1e-3)


def test_order_of_the_enrolment_does_not_matter():
    rows = np.random.default_rng(0).permutation(120)
    shuffled = OLR2020().fit(KALDI["enroll"][rows], KALDI["enroll_languages"][rows].tolist())
    assert shuffled.loglik(KALDI["test"]) == pytest.approx(enrolled().loglik(KALDI["test"]), abs=1e-4)


def test_a_file_of_the_first_version_scores_as_it_did():
    backend = enrolled()
    lda, centre, _ = backend.transforms
    state = {
        "kind": np.array("olr2020"),
        "languages": np.array(backend.languages),
        "lda_weight": lda.weight,
        "lda_offset": lda.offset,
        "mean": centre.mean,
        "logistic_weight": backend.scorer.weight,
    }
    loaded = load_backend(state)
    assert loaded.languages == backend.languages
    assert (loaded.loglik(KALDI["test"]) == backend.loglik(KALDI["test"])).all()
    del state["mean"]
    with pytest.raises(IsoglossError, match="lacks its array 'mean'"):
        load_backend(state)


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
