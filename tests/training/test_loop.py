"""A run: it learns, it resumes to the bit, it stops when numbers stop being numbers."""

import errno
import json

import numpy as np
import pytest
import torch

from isogloss.config import MarginConfig, TrainConfig
from isogloss.frontend.store import Store, StoreWriter
from isogloss.systems import TABLE_1
from isogloss.training import checkpoint, trained
from isogloss.training.chunks import ChunkReader, chunk_table
from isogloss.training.loop import Data, Run
from isogloss.types import IsoglossError

CONFIG = TrainConfig(
    width=8, chunk_frames=20, hop_frames=20, batch_size=16, cycles=(1, 1), chunks_per_epoch=96, precision="fp32", threads=1,
    log_every=2, checkpoint_every=4, learning_rate=1e-2, weight_decay=0.0, margin=MarginConfig(warmup_steps=3),
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two languages that differ in the mean of one column; phones in another."""
    root, generator = tmp_path_factory.mktemp("stores"), np.random.default_rng(0)
    keys = [f"{language}{number}" for language in "xy" for number in range(12)]
    with StoreWriter(root / "frames", np.float16, (4,)) as frames, StoreWriter(root / "labels", np.int16) as labels:
        for key in keys:
            pdfs = generator.integers(0, 5, 90)
            rows = generator.normal(size=(90, 4))
            rows[:, 0] += 3.0 * (key[0] == "y")
            rows[:, 1] += pdfs
            frames.add(key, rows)
            labels.add(key, pdfs)
    store = Store(root / "frames")
    number = {"x": 0, "y": 1}

    def table(chosen):
        return chunk_table(store, chosen, [number[key[0]] for key in chosen], 20, 20)

    train, valid = ([key for key in keys if (int(key[1:]) < 9) is first] for first in (True, False))
    return Data(ChunkReader(store, Store(root / "labels"), 20), table(train), table(valid), 2)


def make(data, folder, system="5", config=CONFIG):
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    network, loss = trained.build(TABLE_1[system], config, feature_dim=4, num_languages=2, num_pdfs=5)
    return Run(network, loss, data, config, folder, "fingerprint")


def weights(run):
    return {**run.network.state_dict(), **{f"loss.{k}": v for k, v in run.loss.state_dict().items()}}


class Killed(Exception):
    pass


def kill_at(step):
    def report(done, total):
        if done == step:
            raise Killed

    return report


def nothing(done, total):
    pass


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("system", ["1", "2", "5", "8"])
def test_it_learns(data, tmp_path, system):
    run = make(data, tmp_path, system, CONFIG.model_copy(update={"chunks_per_epoch": 480, "log_every": 30}))
    before = run.validate()
    run.finish(nothing)
    after = run.validate()
    assert after["valid_loss"] < before["valid_loss"]
    assert after["valid_accuracy"] > 0.9
    first, *_, last = logged(tmp_path)
    assert last["loss_language"] < first["loss_language"]
    if system == "1":
        assert last["loss_phone"] is None and "beta_p_mean" not in last
    else:
        assert last["phone_accuracy"] > first["phone_accuracy"]
    if system in "58":  # the margin's mean is what Table 1 prints, once β has risen
        assert last["beta_p_mean"] == pytest.approx(10 * 0.002, rel=1e-4)
        assert last["margin_mean"] == pytest.approx(0.22, rel=1e-4)


def test_it_logs_every_few_steps_and_validates_every_epoch(data, tmp_path):
    make(data, tmp_path).finish(nothing)
    lines = logged(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "valid_loss" in line] == [6, 12]
    sizes = [16 * (b - a) for a, b in zip((0, 1, 2, 4, 6, 8, 10), (1, 2, 4, 6, 8, 10, 12), strict=True)]
    assert [sum(line["beta_p_histogram"]["counts"]) for line in lines] == sizes  # every sample since the line before
    assert [line["learning_rate"] for line in lines[:2]] == pytest.approx(
        [1e-2, 1e-2 * (1 + np.cos(np.pi / 6)) / 2], rel=1e-3
    )


@pytest.mark.parametrize("step", [1, 4, 5, 7, 11])
def test_a_killed_run_ends_with_the_same_bits(data, tmp_path, step):
    whole = make(data, tmp_path / "whole")
    whole.finish(nothing)
    with pytest.raises(Killed):
        make(data, tmp_path / "killed").finish(kill_at(step))
    resumed = make(data, tmp_path / "killed")
    resumed.finish(nothing)
    expected, got = weights(whole), weights(resumed)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert (tmp_path / "whole" / "log.jsonl").read_text() == (tmp_path / "killed" / "log.jsonl").read_text()
    assert whole.margins.summary() == resumed.margins.summary()


def test_a_corrupt_checkpoint_is_skipped_for_the_one_before(data, tmp_path, caplog):
    with pytest.raises(Killed):
        make(data, tmp_path).finish(kill_at(9))
    newest = sorted((tmp_path / "checkpoints").glob("*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    state = checkpoint.latest(tmp_path / "checkpoints", "fingerprint")
    assert state["step"] == 6 and "cannot be read" in caplog.text
    assert checkpoint.latest(tmp_path / "checkpoints", "another") is None


def test_a_run_with_other_options_does_not_lose_its_checkpoints_to_the_old_ones(data, tmp_path):
    make(data, tmp_path).finish(nothing)
    other = make(data, tmp_path)
    other.fingerprint = "other"
    with pytest.raises(Killed):
        other.finish(kill_at(5))
    assert [path.stem for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000004"]
    assert checkpoint.latest(tmp_path / "checkpoints", "other")["step"] == 4


def test_the_last_checkpoints_are_kept(data, tmp_path):
    make(data, tmp_path).finish(nothing)
    assert [path.stem for path in sorted((tmp_path / "checkpoints").iterdir())] == ["step-000000008", "step-000000012"]


def test_a_full_disk_keeps_the_checkpoint_before(data, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        make(data, tmp_path).finish(kill_at(5))

    def full(self, content):
        open(self, "wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        make(data, tmp_path).finish(nothing)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000004.pt"]
    monkeypatch.undo()
    make(data, tmp_path).finish(nothing)


def test_a_loss_that_is_no_number_stops_the_run(data, tmp_path):
    run = make(data, tmp_path)
    with torch.no_grad():
        run.network.encoder.tdnn1.affine.weight.fill_(float("nan"))
    with pytest.raises(IsoglossError, match="step 0: loss nan.*learning rate"):
        run.finish(nothing)


def test_the_margin_log_holds_three_batches_and_every_sample(data, tmp_path):
    run = make(data, tmp_path)
    run.finish(nothing)
    summary = run.margins.summary(system="5")
    assert summary["system"] == "5" and len(summary["batches"]) == 3
    assert all(len(batch["beta_p"]) == CONFIG.batch_size for batch in summary["batches"])
    assert sum(summary["histogram"]["counts"]) == run.num_steps * CONFIG.batch_size
    edges = summary["histogram"]["edges"]
    assert edges == sorted(edges) and edges[0] <= summary["mean"] <= summary["max"] <= edges[-1] * (1 + 1e-6)


def test_a_saved_model_gives_the_same_embedding(data, tmp_path):
    run = make(data, tmp_path)
    info = trained.ModelInfo(
        system=vars(TABLE_1["5"]), languages=["x", "y"], num_pdfs=5, train=CONFIG,
        front_end={"num_ceps": 4, "pitch": False},
    )  # fmt: skip
    trained.save(tmp_path, run.network, run.loss.head, info)
    model = trained.load(tmp_path)
    frames = np.random.default_rng(0).normal(size=(50, 4))
    far, near = trained.embed(model, frames)
    assert far.shape == near.shape == (8,)
    with torch.no_grad():
        expected = run.network.eval().embed(torch.tensor(frames, dtype=torch.float32)[None], kind="near")[0]
    np.testing.assert_allclose(near, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_multitask_system_needs_labels():
    with pytest.raises(IsoglossError, match="system 2 .* needs phoneme labels"):
        trained.build(TABLE_1["2"], CONFIG, 4, 2, None)
