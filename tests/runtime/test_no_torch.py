"""The runtime must run where torch is not installed, and must not slow down a command that only prints its help."""

import json
import subprocess
import sys

import numpy as np
import soundfile

from isogloss.backends import OLR2020

TRAINING_ONLY = {"torch", "lhotse", "sklearn", "matplotlib", "onnx", "pandas"}
HEAVY = TRAINING_ONLY | {"numba", "onnxruntime", "scipy", "soundfile", "soxr"}

IDENTIFY = """
import json, sys
import isogloss.runtime
at_import = sorted(sys.modules)
from isogloss.runtime.table import answers_table, json_line
identifier = isogloss.runtime.load(sys.argv[1])
[(path, answer)] = identifier.identify_many([sys.argv[2]])
answers_table([(path, answer)])
answer = json.loads(json_line(path, answer))
print(json.dumps({"answer": answer, "at_import": at_import, "at_end": sorted(sys.modules)}))
"""


def test_identifying_a_file_imports_nothing_of_training(write_tiny, tiny, tmp_path):
    wav = tmp_path / "noise.wav"
    soundfile.write(wav, np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    embeddings = np.random.default_rng(1).normal(0, 1, (60, tiny.embedding_dim))
    backend = OLR2020().fit(embeddings, tiny.languages * 20)
    model = write_tiny(backend="olr2020", backend_state=backend.state())
    command = [sys.executable, "-c", IDENTIFY, str(model), str(wav)]
    seen = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert seen["answer"]["status"] == "ok"
    assert not TRAINING_ONLY & set(seen["at_end"])
    assert not HEAVY & set(seen["at_import"]), "import isogloss.runtime alone stays light"
    assert {"onnxruntime", "soundfile"} <= set(seen["at_end"]), "the audio went through the real path"
