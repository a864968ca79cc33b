import numpy as np
import pytest
from clouds import KALDI, MODELS, TRAIN, clouds

from isogloss.backends.transforms import Affine, Centre, LengthNorm
from isogloss.types import IsoglossError


def test_centring_is_kaldis():
    assert np.abs(Centre().fit(*TRAIN).mean - MODELS["train_mean"]).max() < 1e-5


def test_length_normalisation_is_kaldis():
    assert np.abs(LengthNorm().transform(TRAIN[0]) - KALDI["train_unit"]).max() < 1e-6
    assert np.abs(LengthNorm("sqrt_dim").transform(KALDI["test_lda9"]) - KALDI["test_sqrt_dim"]).max() < 1e-5


def test_affine_is_kaldis_ivector_transform():
    matrix = KALDI["transform9"].astype(float)
    ours = Affine(matrix[:, :-1], matrix[:, -1]).transform(KALDI["test"])
    assert np.abs(ours - KALDI["test_projected"]).max() < 1e-6 * np.abs(KALDI["test_projected"]).max()


def test_each_comes_back_from_its_arrays():
    x, languages = clouds()
    for transform in (Affine(np.eye(6)[:2], np.ones(2)), Centre(), LengthNorm(), LengthNorm("sqrt_dim")):
        state = transform.fit(x, languages).state()
        again = type(transform).from_state(state)
        assert (again.transform(x) == transform.transform(x)).all()
        assert str(state["kind"]) == transform.kind


def test_bad_input():
    with pytest.raises(IsoglossError, match="expected 'unit' or 'sqrt_dim'"):
        LengthNorm("long")
    with pytest.raises(IsoglossError, match="no embeddings to centre on"):
        Centre().fit(np.empty((0, 3)), [])
    with pytest.raises(IsoglossError, match=r"expected \[utterances, 6\]"):
        Centre().fit(*clouds()).transform(np.ones((2, 5)))
    with pytest.raises(IsoglossError, match="not finite"):
        LengthNorm().transform(np.full((1, 3), np.inf))
    assert (LengthNorm().transform(np.zeros((1, 3))) == 0).all()
