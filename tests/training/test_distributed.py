"""Two processes make the run that one makes."""

import json

import pytest
import torch
from test_loss_batch import a_batch, gradients
from tiny_run import CONFIG, make, nothing, read_data, together, weights, write_stores
from torch import nn

from isogloss.config import override
from isogloss.losses import AMSoftmax, MultitaskLoss, PhonemeAwareMargin
from isogloss.nn.global_norm import convert
from isogloss.nn.multitask import MultitaskNetwork
from isogloss.training.distributed import Processes
from isogloss.training.loss_batch import LossBatch, Objective
from isogloss.types import Batch, IsoglossError

MARGINS = {
    "detached": {"normalise": "batch_sum", "target_mean": 0.02},
    "attached": {"normalise": "batch_softmax", "detach": False},
    "running": {"normalise": "running_mean", "target_mean": 0.2, "detach": False},
}


def one_batch(options, accumulate):
    """Gradient, loss parts and state after one uneven loss batch; 11 chunks, the last ones hardly labelled."""
    torch.manual_seed(0)
    processes = Processes()
    network = processes.place(MultitaskNetwork(4, 5, 8).double())
    loss = MultitaskLoss(AMSoftmax(8, 2), PhonemeAwareMargin(0.2, 2.0, **options), alpha=0.7).double()
    batch = a_batch()
    objective = Objective(network, loss, "fp32").train()
    parts = LossBatch(objective, accumulate, processes).backward(
        Batch(batch.features.double(), batch.languages, batch.pdf_ids)
    )
    return vars(parts), gradients(network, loss), {**network.state_dict(), **loss.state_dict()}


def several_batches():
    """A process is dear, a batch is not."""
    return [one_batch(options, 1) for options in MARGINS.values()] + [one_batch(MARGINS["detached"], 2)]


def test_the_gradient_of_a_batch_in_two_processes_is_that_of_one(tmp_path):
    alone = several_batches()
    for of_process in together(2, tmp_path, several_batches):
        for (parts, gradient, state), (parts_alone, gradient_alone, state_alone) in zip(of_process, alone, strict=True):
            assert gradient.keys() == gradient_alone.keys() and state.keys() == state_alone.keys()
            for name, expected in (gradient_alone | state_alone).items():
                torch.testing.assert_close((gradient | state)[name], expected, rtol=1e-5, atol=1e-8)
            for name, expected in parts_alone.items():
                torch.testing.assert_close(parts[name].double(), expected.double(), rtol=1e-6, atol=1e-7)


def normalised(dtype, halves):
    """Output, gradient and statistics of this process's part; then, with momentum None, those of two calls more."""
    processes = Processes()
    generator = torch.Generator().manual_seed(3)
    norm = nn.BatchNorm1d(6, momentum=0.5, affine=True).to(dtype)
    nn.init.normal_(norm.weight, generator=generator)
    if processes.num > 1:
        convert(norm)
    x = torch.randn(9, 6, 5, dtype=torch.float64, generator=generator) * 3 + 60
    upstream = torch.randn(9, 6, 5, dtype=torch.float64, generator=generator)
    rows = halves[processes.index] if processes.num > 1 else slice(0, 9)
    own = x[rows].to(dtype).requires_grad_()
    out = norm(own)
    out.backward(upstream[rows].to(dtype))
    for name in ("weight", "bias"):
        processes.sum(getattr(norm, name).grad)
    found = {"out": out.detach(), "grad": own.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    found |= {f"first {name}": value.clone() for name, value in norm.state_dict().items()}
    norm.momentum = None
    norm.reset_running_stats()
    for part in (own, own * 2):
        norm(part)
    with torch.no_grad():
        return found | norm.state_dict() | {"eval": norm.eval()(own)}


def normalised_in_all(halves):
    return [normalised(dtype, halves) for dtype in (torch.float64, torch.float32)]


def test_batch_norm_is_over_all_processes(tmp_path):
    """The mean is 20 standard deviations from 0, which E[x²] − E[x]² in float32 would feel."""
    halves = [slice(0, 2), slice(2, 9)]
    alone = normalised_in_all(None)
    for index, of_process in enumerate(together(2, tmp_path, normalised_in_all, halves)):
        for found, expected, tolerance in zip(of_process, alone, (1e-10, 2e-5), strict=True):
            for name, value in expected.items():
                whole = value[halves[index]] if name in ("out", "grad", "eval") else value
                torch.testing.assert_close(found[name], whole, rtol=tolerance, atol=tolerance)


def a_run(stores, folder, options, dtype=torch.float32):
    run = make(read_data(stores), folder, config=override(CONFIG, options), dtype=dtype)
    run.finish(nothing)
    return {"weights": weights(run), "summary": json.dumps(run.margins.summary()), "step": run.step}


RUN = ["batch_size=15", "learning_rate=1e-4", "log_every=1", "average=ema", "chunks_per_epoch=47", "early_stop=3"]


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_of_two_processes_is_that_of_one(tmp_path):
    """47 chunks in batches of 15, which are 8 + 7; 24 validation chunks in batches of 8: nothing divides, nothing hangs.

    In float64, for Adam makes a step of full size out of the rounding error of a gradient that is 0 (that of a bias before
    batch normalisation, where the ReLU between them lets all through).
    """
    stores = write_stores(tmp_path, unlabelled=0.3)
    alone = a_run(stores, tmp_path / "alone", RUN, torch.float64)
    first, second = together(2, tmp_path, a_run, stores, tmp_path / "together", RUN, torch.float64)
    assert alone["step"] == first["step"] == second["step"] == 6
    for name, value in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-5, atol=1e-5)
        assert torch.equal(first["weights"][name], second["weights"][name])
    logs = [logged(tmp_path / folder) for folder in ("alone", "together")]
    assert len(logs[0]) == len(logs[1]) == 6
    for one, two in zip(*logs, strict=True):
        assert one.keys() == two.keys()
        for name in (
            "loss",
            "loss_language",
            "loss_phone",
            "phone_accuracy",
            "margin_mean",
            "beta_p_mean",
            "beta_p_max",
        ):
            assert one[name] == pytest.approx(two[name], rel=1e-5)
    assert logs[0][-1]["valid_loss"] == pytest.approx(logs[1][-1]["valid_loss"], rel=1e-4)
    of_alone, of_first = (json.loads(run["summary"]) for run in (alone, first))
    for one, two in zip(of_alone["batches"], of_first["batches"], strict=True):  # in the order of the batch
        assert one["beta_p"] == pytest.approx(two["beta_p"], rel=1e-4)


def killed_at_five(stores, folder, options):
    run = make(read_data(stores), folder, config=override(CONFIG, options))

    def report(done, total):
        if done == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run.finish(report)


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_where_it_was_killed(tmp_path):
    stores = write_stores(tmp_path)
    whole, _ = together(2, tmp_path, a_run, stores, tmp_path / "whole", RUN)
    together(2, tmp_path, killed_at_five, stores, tmp_path / "killed", RUN)
    for resumed in together(2, tmp_path, a_run, stores, tmp_path / "killed", RUN):
        assert all(torch.equal(resumed["weights"][name], value) for name, value in whole["weights"].items())


def refusal(stores, folder):
    with pytest.raises(IsoglossError) as caught:
        make(read_data(stores), folder, config=override(CONFIG, ["batch_size=3"]))
    return str(caught.value)


@pytest.mark.slow
def test_too_few_chunks_for_the_processes_are_refused_by_all(tmp_path):
    for message in together(2, tmp_path, refusal, write_stores(tmp_path), tmp_path / "run"):
        assert message.startswith("3 chunks per step for 2 processes × 1 parts")
