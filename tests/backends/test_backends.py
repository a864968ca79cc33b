import subprocess
import sys

import numpy as np
import pytest

from isogloss.backends import BACKENDS, OLR2020, Head, load_backend
from isogloss.types import IsoglossError


def every_backend():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8)) + 3 * np.eye(8)[np.arange(60) % 3]
    languages = ["ja", "zh-Hant", "ko"]
    yield OLR2020().fit(x, [languages[i % 3] for i in range(60)]), x
    yield Head(languages, rng.normal(size=(3, 8)), rng.normal(size=3)), x
    yield Head(languages, rng.normal(size=(3, 8)), scale=30.0, cosine=True), x


def test_a_backend_comes_back_from_a_file_without_pickle(tmp_path):
    seen = set()
    for backend, x in every_backend():
        np.savez(tmp_path / "state.npz", **backend.state())
        with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
            loaded = load_backend(dict(state))
        assert type(loaded) is type(backend) and loaded.languages == backend.languages
        assert (loaded.loglik(x) == backend.loglik(x)).all()
        seen.add(str(backend.state()["kind"]))
    assert seen == set(BACKENDS)


def test_unknown_and_incomplete_states():
    with pytest.raises(IsoglossError, match="kind 'plda'; known are olr2020, head"):
        load_backend({"kind": np.array("plda")})
    with pytest.raises(IsoglossError, match="kind 'nothing'"):
        load_backend({})
    backend, _ = next(every_backend())
    state = backend.state()
    del state["mean"]
    with pytest.raises(IsoglossError, match="lacks its array 'mean'"):
        load_backend(state)


def test_scoring_needs_numpy_only():
    code = (
        "import sys, numpy as np; from isogloss.backends import Head; import isogloss.metrics;"
        "Head(['a', 'b'], np.eye(2)).loglik(np.eye(2));"
        "print([name for name in ('torch', 'scipy', 'sklearn') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
