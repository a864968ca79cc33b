import numpy as np
import pytest
from clouds import DATA, KALDI, MODELS, NAMES, TEST

from isogloss.backends.kaldi import read_lda, read_logistic, read_plda
from isogloss.types import IsoglossError


def row(values):
    return " ".join(f"{v:.7g}" for v in values)


def matrix(rows):
    return " [\n" + "\n".join(f"  {row(values)}" for values in rows) + " ]\n"


def test_plda(tmp_path):
    mean, transform, psi = (MODELS[f"plda_{name}"] for name in ("mean", "transform", "psi"))
    text = f"<Plda>  [ {row(mean)} ]\n{matrix(transform)} [ {row(psi)} ]\n</Plda> "
    (tmp_path / "plda.txt").write_text(text)
    model = read_plda(tmp_path / "plda.txt")
    assert model.mean == pytest.approx(mean, rel=1e-6)
    assert model.transform == pytest.approx(transform, rel=1e-6)
    assert model.psi == pytest.approx(psi, rel=1e-6)


def test_lda(tmp_path):
    (tmp_path / "lda.txt").write_text(matrix(KALDI["lda9"]))
    ours = read_lda(tmp_path / "lda.txt").transform(TEST[0])
    assert np.abs(ours - KALDI["test_lda9"]).max() < 1e-5 * np.abs(KALDI["test_lda9"]).max()


def test_logistic():
    model = read_logistic(DATA / "kaldi_lr9.model.txt", NAMES)
    ours = model.loglik(KALDI["test_centred_unit"])
    assert np.abs(ours - KALDI["scores_lr9"]).max() < 1e-5
    assert np.abs(np.exp(ours) - KALDI["posteriors"]).max() < 1e-6


def test_bad_files(tmp_path):
    with pytest.raises(IsoglossError, match="cannot be read"):
        read_plda(tmp_path / "nothing")
    for content, message in (
        (b"\0B<Plda> DV ", "is binary; expected text: ivector-copy-plda --binary=false"),
        (b"<Plda> [ 1 2 ]", "1 arrays; expected <Plda> with 3"),
        (b"<Nnet> [ 1 ] [ 1 ] [ 1 ]", "expected <Plda> with 3"),
        (b"<Plda> [ 1 2 ] [\n 1 2\n 3 ] [ 1 2 ]", "rows of unequal length"),
        (b"<Plda> [ 1 2 ] [ a ] [ 1 2 ]", "no numbers"),
        (b"<Plda> [ 1 2 ] [ 1 ] [ 1 ]", r"expected \[E\]"),
    ):
        (tmp_path / "plda").write_bytes(content)
        with pytest.raises(IsoglossError, match=message):
            read_plda(tmp_path / "plda")
    with pytest.raises(IsoglossError, match="is the language list this model's"):
        read_logistic(DATA / "kaldi_lr9.model.txt", NAMES[:9])
