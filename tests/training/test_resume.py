"""kill -9 at any moment, the same command again, and the weights are those of an uninterrupted run, bit by bit."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import CONFIG, make, read_data, start, weights, write_stores

from isogloss.config import override
from isogloss.training import spec_augment

OPTIONS = [  # all that a run remembers, and a checkpoint so often that half of the time goes into them
    "average=ema", "early_stop=30", "checkpoint_every=2", "cycles=[2, 3]", "accumulate=2", "spec_augment.time_masks=1",
    "spec_augment.time_width=4",
]  # fmt: skip


def train(stores, folder, die_in_write_of=None):
    """The command: a process that trains and, like `isogloss train`, writes the weights when it is done."""
    config = override(CONFIG, OPTIONS)
    if die_in_write_of is not None:
        write_bytes = Path.write_bytes

        def write_half(path, content):
            if path.name == f"step-{die_in_write_of:09d}.part":
                write_bytes(path, bytes(content)[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return write_bytes(path, content)

        Path.write_bytes = write_half

    def report(done, total):
        (folder / "progress").write_text(str(done))

    run = make(read_data(stores), folder, config=config, augment=spec_augment.make(config.spec_augment))
    run.finish(report)
    torch.save(weights(run), folder / "final.pt")


def done(folder):
    """Steps finished; 0 before the first, or where the file is being written."""
    try:
        return int((folder / "progress").read_text() or 0)
    except FileNotFoundError:
        return 0


def kill_after(stores, folder, step, seconds):
    """Train, and kill so many seconds after `step`: wherever in the step after it, or in its checkpoint, that may be."""
    (folder / "progress").unlink(missing_ok=True)
    process = start(train, stores, folder)
    while done(folder) < step and process.is_alive():
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Stores, and the folder of a run nobody disturbed."""
    root = tmp_path_factory.mktemp("whole")
    (root / "run").mkdir()
    train(write_stores(root), root / "run")
    return root


def same(whole, folder):
    expected, got = (torch.load(path / "final.pt") for path in (whole / "run", folder))
    logs = [(path / "log.jsonl").read_text() for path in (whole / "run", folder)]
    return (
        expected.keys() == got.keys() and all(map(torch.equal, expected.values(), got.values())) and logs[0] == logs[1]
    )


def finish(stores, folder):
    process = start(train, stores, folder)
    process.join(120)
    assert process.exitcode == 0


def test_a_process_killed_in_a_step_and_in_a_checkpoint_ends_with_the_same_bits(whole, tmp_path):
    generator = np.random.default_rng()
    step, seconds = int(generator.integers(1, 10)), generator.uniform(0, 0.03)
    kill_after(whole, tmp_path, step, seconds)
    process = start(train, whole, tmp_path, 14)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "checkpoints" / "step-000000014.part").exists()
    finish(whole, tmp_path)
    assert same(whole, tmp_path), f"killed {seconds} s after step {step}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_process_killed_again_and_again_ends_with_the_same_bits(whole, tmp_path, seed):
    generator = np.random.default_rng(seed)
    steps = sorted(generator.integers(0, 30, 8).tolist())
    for step in steps:
        kill_after(whole, tmp_path, step, generator.uniform(0, 0.1))
    finish(whole, tmp_path)
    assert same(whole, tmp_path), steps
