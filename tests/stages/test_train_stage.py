import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from isogloss.config import override
from isogloss.corpora import manifest
from isogloss.stages.features import features
from isogloss.stages.prepare import prepare
from isogloss.stages.train import chunk_cavg, train
from isogloss.systems import TABLE_1


def test_cavg_of_chunks_is_the_lowest_of_any_threshold():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 3, 40)
    loglik = generator.normal(size=(40, 3)) + 1.5 * np.eye(3)[true]
    costs = []
    for threshold in [*np.unique(loglik), np.inf]:
        cost = 0.0
        for language in range(3):
            cost += 0.5 * np.mean(loglik[true == language, language] < threshold)
            for other in {0, 1, 2} - {language}:
                cost += 0.25 * np.mean(loglik[true == other, language] >= threshold)
        costs.append(cost / 3)
    assert chunk_cavg(["a", "b", "c"], loglik, true) == pytest.approx(min(costs), abs=1e-12)


@pytest.fixture(scope="module")
def made(corpus, tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    data = prepare(manifest.items(corpus), root / "data", tiny.prepare)
    return data, features(data, root / "frames", tiny.features)


def test_what_a_run_was_asked_for_reaches_it(made, tiny, tmp_path):
    config = override(tiny.train, ["spec_augment.time_masks=1", "average=ema", "early_stop=1", "accumulate=2"])
    folder = train(*made, None, tmp_path / "a", TABLE_1["1"], config, "fold0", report=lambda step, total: None)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(0 <= line["valid_cavg"] <= 0.5 for line in lines if "valid_loss" in line)
    assert json.loads((folder / "stage.json").read_text())["steps"] == lines[-1]["step"]
    plain = train(*made, None, tmp_path / "b", TABLE_1["1"], tiny.train, "fold0", report=lambda step, total: None)
    weights, others = (load_file(path / "model.safetensors") for path in (folder, plain))
    assert weights.keys() == others.keys()
    assert not np.array_equal(*(w["network.encoder.tdnn1.affine.weight"] for w in (weights, others)))


@pytest.mark.slow
def test_torchrun_trains_one_model_and_one_process_speaks(made, tiny_options, tmp_path):
    data, frames = made
    options = [part for option in tiny_options if option.startswith("train.") for part in ("--set", option[6:])]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "isogloss"]
    command += ["train", str(data), str(frames), str(tmp_path / "model"), "--system", "1", *options]
    for _ in range(2):  # the second time it is done
        ran = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.count("wrote") == 1
    info = json.loads((tmp_path / "model" / "stage.json").read_text())
    lines = (tmp_path / "model" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == sorted({json.loads(line)["step"] for line in lines})
    assert json.loads(lines[-1])["step"] == info["steps"]
    assert not list(tmp_path.rglob("*.part"))
