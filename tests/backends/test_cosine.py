import numpy as np
import pytest
from clouds import ENROL, KALDI, MODELS, clouds, kaldi_eer_percent

from isogloss.backends.cosine import Cosine
from isogloss.types import IsoglossError


def test_scores_and_eer_are_kaldis():
    backend = Cosine().fit(KALDI["enroll_centred_unit"], ENROL[1])
    assert np.abs(backend.means - MODELS["enroll_centred_unit_means"]).max() < 1e-6
    ours = backend.loglik(KALDI["test_centred_unit"])
    assert np.abs(ours - KALDI["scores_cosine9"]).max() < 1e-5
    assert kaldi_eer_percent(ours) == pytest.approx(float(KALDI["eer_percent_cosine9"]), abs=0.05)


@pytest.mark.parametrize("unit_length", [True, False])
def test_it_is_the_angle_to_the_mean_or_the_dot_product(unit_length):
    x, languages = clouds()

    def scaled(v):
        return v / np.sqrt(sum(v * v)) if unit_length else v

    backend = Cosine(unit_length).fit(x, languages)
    for column, name in enumerate(backend.languages):
        mean = scaled(np.mean([scaled(v) for v, own in zip(x, languages, strict=True) if own == name], axis=0))
        assert backend.loglik(x[:3])[:, column] == pytest.approx([sum(scaled(v) * mean) for v in x[:3]])


def test_zero_vectors_point_nowhere():
    x, languages = clouds()
    x[0] = 0
    backend = Cosine().fit(x, languages)
    assert (backend.loglik(np.zeros((1, 6))) == 0).all()
    silent = Cosine().fit(np.array([[0.0, 0], [0, 0], [1, 1]]), ["a", "a", "b"])
    assert silent.loglik(np.ones((1, 2)))[0] == pytest.approx([0, 1])


def test_bad_input():
    x, languages = clouds()
    with pytest.raises(IsoglossError, match="at least two languages"):
        Cosine().fit(x, ["l0"] * len(x))
    with pytest.raises(IsoglossError, match="not finite"):
        Cosine().fit(np.where(x > 9, np.nan, x), languages)
    with pytest.raises(IsoglossError, match="expected .utterances, 6."):
        Cosine().fit(x, languages).loglik(np.ones((1, 3)))
