import subprocess
import sys

import numpy as np
import pytest

from isogloss.backends import BACKENDS, Head, load_backend, make_backend
from isogloss.config import FrontEndConfig
from isogloss.runtime.model_file import read_model_file, write_model_file
from isogloss.types import IsoglossError

FITTED = (
    "olr2020",
    "cosine",
    "cosine(unit_length=false)",
    "plda",
    "plda(0.1, normalise_length=false, count_utterances=false)",
    "gaussian",
    "logistic",
    "logistic(mix_up=9)",
    "lda+centre+length+plda",
    "pca(5)+wccn+length(sqrt_dim)+gaussian",
)


def every_backend():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8)) + 3 * np.eye(8)[np.arange(60) % 3]
    languages = ["ja", "zh-Hant", "ko"]
    for spec in FITTED:
        backend = make_backend(spec).fit(x, [languages[i % 3] for i in range(60)])
        yield backend, x
        yield backend.scorer, backend.transform(x)
    yield Head(languages, rng.normal(size=(3, 8)), rng.normal(size=3)), x
    yield Head(languages, rng.normal(size=(3, 8)), scale=30.0, cosine=True), x


def test_a_backend_comes_back_from_a_file_without_pickle(tmp_path):
    seen = set()
    for backend, x in every_backend():
        np.savez(tmp_path / "state.npz", **backend.state())
        with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
            loaded = load_backend(dict(state))
        assert isinstance(backend, type(loaded)) and loaded.languages == backend.languages
        assert (loaded.loglik(x) == backend.loglik(x)).all()
        seen.add(str(backend.state()["kind"]))
    assert seen == set(BACKENDS) - {"olr2020"}  # the name of a chain; as a kind, of files of the first version


def test_a_model_file_carries_every_backend(tmp_path):
    for backend, x in every_backend():
        path = write_model_file(
            tmp_path / "x.isogloss",
            languages=backend.languages,
            front_end=FrontEndConfig(),
            embedding="far",
            embedding_dim=8,
            backend="any",
            network=b"not looked at here",
            backend_state=backend.state(),
        )
        loaded = load_backend(read_model_file(path).backend_state)
        assert (loaded.loglik(x) == backend.loglik(x)).all()


def test_unknown_and_incomplete_states():
    with pytest.raises(IsoglossError, match="kind 'svm'; known are olr2020, head, chain, cosine"):
        load_backend({"kind": np.array("svm")})
    with pytest.raises(IsoglossError, match="kind 'nothing'"):
        load_backend({})
    backend, _ = next(every_backend())
    state = backend.state()
    for missing in ("0.weight", "1.kind", "3.rows_of"):
        with pytest.raises(IsoglossError, match=f"chain back end lacks its array '{missing[2:]}'"):
            load_backend({name: array for name, array in state.items() if name != missing})
    with pytest.raises(IsoglossError, match="lacks its array '0'"):
        load_backend({"kind": np.array("chain")})


def test_scoring_needs_numpy_only():
    code = (
        "import sys, numpy as np; from isogloss.backends import Head; import isogloss.metrics;"
        "Head(['a', 'b'], np.eye(2)).loglik(np.eye(2));"
        "print([name for name in ('torch', 'scipy', 'sklearn') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
