import numpy as np
import pytest
from clouds import KALDI

from isogloss.backends.length_norm import centred_unit_length, check_embeddings, sqrt_dim_length, unit_length
from isogloss.types import IsoglossError


def test_kaldis_numbers():
    assert np.abs(unit_length(KALDI["train"]) - KALDI["train_unit"]).max() < 1e-6
    assert np.abs(sqrt_dim_length(KALDI["test_lda9"]) - KALDI["test_sqrt_dim"]).max() < 1e-5
    centred = centred_unit_length(KALDI["test_projected"], KALDI["train_projected_mean"])
    assert np.abs(centred - KALDI["test_centred_unit"]).max() < 1e-5


def test_direction_stays_and_length_goes():
    x = np.random.default_rng(0).normal(size=(5, 7))
    for row, unit, scaled in zip(x, unit_length(x), sqrt_dim_length(x), strict=True):
        assert np.sqrt(sum(v * v for v in unit)) == pytest.approx(1)
        assert unit * np.sqrt(sum(v * v for v in row)) == pytest.approx(row)
        assert scaled == pytest.approx(np.sqrt(7) * unit)
    assert centred_unit_length(x + 3, np.full(7, 3.0)) == pytest.approx(unit_length(x))


def test_a_zero_vector_stays_zero():
    assert (unit_length(np.zeros((1, 3))) == 0).all()
    assert (centred_unit_length(np.ones((1, 3)), np.ones(3)) == 0).all()


def test_checks():
    assert check_embeddings(np.ones((2, 3), dtype=np.float32), 3).dtype == np.float64
    for bad in (np.ones((2, 4)), np.ones(3), np.ones((2, 0))):
        with pytest.raises(IsoglossError, match="embeddings of shape"):
            check_embeddings(bad, 3)
    with pytest.raises(IsoglossError, match=r"2 of 3 embeddings are not finite, first in row 1; .*voiced frame"):
        check_embeddings(np.array([[0.0], [np.nan], [np.inf]]))
