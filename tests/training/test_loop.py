"""A run: it learns, it resumes to the bit, it stops when numbers stop being numbers."""

import contextlib
import dataclasses
import errno
import json
import logging

import numpy as np
import pytest
import torch
from tiny_run import CONFIG, make, nothing, read_data, weights, write_stores

from isogloss.config import override
from isogloss.systems import TABLE_1
from isogloss.training import checkpoint, spec_augment, trained
from isogloss.types import IsoglossError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return read_data(write_stores(tmp_path_factory.mktemp("stores")))


class Killed(Exception):
    pass


def kill_at(step):
    def report(done, total):
        if done == step:
            raise Killed

    return report


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


def test_class_weights_that_fall_into_one_direction_are_told_of_once(data, tmp_path, caplog):
    run = make(data, tmp_path, "8", CONFIG.model_copy(update={"learning_rate": 1e-9, "min_learning_rate": 1e-9}))
    with torch.no_grad():
        run.loss.head.weight.copy_(run.loss.head.weight[:1].expand_as(run.loss.head.weight))
    with caplog.at_level(logging.WARNING):
        run.finish(nothing)
    told = [record.getMessage() for record in caplog.records if "fallen into one direction" in record.getMessage()]
    assert len(told) == 1 and "train.margin.ramp_start" in told[0]
    assert all(line["class_cosine"] > 0.9 for line in logged(tmp_path) if "valid_loss" in line)


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
    with pytest.raises(
        IsoglossError, match="step 0: loss nan, language nan.*learning rate 0.01.*last checkpoint is not made yet"
    ):
        run.finish(nothing)


def test_a_gradient_that_is_no_number_is_named_with_its_place_and_the_last_checkpoint(data, tmp_path):
    run = make(data, tmp_path)

    def poison(done, total):
        if done == 5:  # the forward pass stays finite
            run.network.language.tdnn7.affine.bias.register_hook(lambda gradient: gradient * float("inf"))

    with pytest.raises(IsoglossError) as caught:
        run.finish(poison)
    assert caught.match(
        r"step 5: loss \d.*phone \d.*gradient norm (inf|nan), not finite first in network.language.tdnn7.affine.bias"
    )
    assert caught.match(r"step-000000004.pt: try a lower")
    assert run.step == 5


OPTIONS = {
    "ema": ["average=ema", "ema_decay=0.9"],
    "last": ["average=last", "average_epochs=2"],
    "stop": ["early_stop=1", "cycles=[3, 3]", "average=ema"],
    "plateau": ["schedule=plateau", "plateau_patience=1", "cycles=[4]", "monitor=valid_loss"],
    "one cycle in parts": ["schedule=one_cycle", "accumulate=3"],
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_whatever_a_run_remembers_survives_a_kill(data, tmp_path, options):
    config = override(CONFIG, [*options, "spec_augment.time_masks=1", "spec_augment.time_width=4"])
    augment = spec_augment.make(config.spec_augment)
    whole = make(data, tmp_path / "whole", config=config, augment=augment)
    whole.finish(nothing)
    for step in (7, 9, 15):
        with contextlib.suppress(Killed):
            make(data, tmp_path / "killed", config=config, augment=augment).finish(kill_at(step))
    resumed = make(data, tmp_path / "killed", config=config, augment=augment)
    resumed.finish(nothing)
    assert resumed.step == whole.step
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    assert logged(tmp_path / "whole") == logged(tmp_path / "killed")


def test_early_stop_ends_with_the_best_epoch(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run = make(
        data,
        tmp_path,
        config=override(CONFIG, ["early_stop=2", "cycles=[20]", "learning_rate=3e-2", "monitor=valid_loss"]),
    )
    seen = {}
    end_epoch = run._end_epoch

    def watching():
        found = end_epoch()
        seen[run.step] = {name: value.clone() for name, value in weights(run).items()}
        return found

    run._end_epoch = watching
    run.finish(nothing)
    losses = {line["step"]: line["valid_loss"] for line in logged(tmp_path) if "valid_loss" in line}
    best = min(losses, key=losses.get)
    assert run.step == best + 2 * run.steps_per_epoch < run.num_steps
    assert all(torch.equal(value, seen[best][name]) for name, value in weights(run).items())
    assert run.validate()["valid_loss"] == losses[best]
    assert f"took the weights of step {best}, valid_loss" in caplog.text


def test_the_mean_of_the_last_epochs_is_what_it_says(data, tmp_path):
    run = make(data, tmp_path, config=override(CONFIG, ["average=last", "average_epochs=2", "cycles=[4]"]))
    seen = []

    def note(done, total):
        if done % run.steps_per_epoch == 0:
            seen.append({name: value.detach().double().clone() for name, value in run.objective.named_parameters()})

    run.finish(note)
    for name, value in run.objective.named_parameters():
        torch.testing.assert_close(value.double(), (seen[-1][name] + seen[-2][name]) / 2, rtol=1e-5, atol=1e-6)


def test_augmentation_is_for_training_and_a_function_of_seed_epoch_and_step(data, tmp_path):
    calls = []

    def augment(features, seed, epoch, step):
        calls.append((len(features), seed, epoch, step))
        return features * 2

    run = make(data, tmp_path, config=override(CONFIG, ["accumulate=2"]), augment=augment)
    run.finish(nothing)
    assert calls == [(16, 1024, step // 6, step) for step in range(12)]


def test_what_goes_by_validation_needs_some(data, tmp_path):
    without = dataclasses.replace(data, valid=None)
    for option in ("early_stop=1", "schedule=plateau"):
        with pytest.raises(IsoglossError, match="go by valid_cavg, but no validation clip has 20 voiced frames"):
            make(without, tmp_path, config=override(CONFIG, [option]))
    with pytest.raises(IsoglossError, match="average=last takes the mean"):
        override(CONFIG, ["average=last", "early_stop=1"])


def test_the_margin_log_holds_three_batches_and_every_sample(data, tmp_path):
    run = make(data, tmp_path)
    run.finish(nothing)
    summary = run.margins.summary(system="5")
    assert summary["system"] == "5" and len(summary["batches"]) == 3
    assert all(len(batch["beta_p"]) == CONFIG.batch_size for batch in summary["batches"])
    assert sum(summary["histogram"]["counts"]) == run.num_steps * CONFIG.batch_size
    edges = summary["histogram"]["edges"]
    assert edges == sorted(edges) and edges[0] <= summary["mean"] <= summary["max"] <= edges[-1] * (1 + 1e-5)


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
