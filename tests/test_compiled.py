import os
import subprocess
import sys

import numpy as np

from isogloss.compiled import compiled


@compiled(fastmath=False)
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result


def test_a_compiled_function_is_the_function():
    assert total(np.arange(5.0)) == 10.0 and total.py_func(np.arange(5.0)) == 10.0


def test_the_front_end_imports_where_nothing_can_be_cached(tmp_path):
    """No cache folder at all: numba then has no place for its code, and a plain cache=True fails at import."""
    code = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
        "from isogloss.frontend.vad import vad; import numpy as np\n"
        "from isogloss.frontend.cmvn import sliding_cmn\n"
        "print(sliding_cmn(np.ones((5, 2), np.float32)).sum())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) == 0.0
