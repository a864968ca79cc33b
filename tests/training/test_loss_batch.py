"""A loss batch in parts gives the numbers of the whole."""

import copy

import pytest
import torch
from torch import nn

from isogloss.losses import AMSoftmax, ASoftmax, ConstantMargin, MultitaskLoss, PhonemeAwareMargin, ScheduledMargin
from isogloss.training.distributed import Processes
from isogloss.training.loss_batch import LossBatch, Objective
from isogloss.types import Batch, Encoded, IsoglossError

NORMALISATIONS = [
    {"normalise": "batch_sum", "target_mean": 0.002},
    {"normalise": "batch_softmax"},
    {"normalise": "none", "target_mean": 0.01},
    {"normalise": "running_mean", "target_mean": 0.3, "warmup_steps": 4},
    {"normalise": "none", "max_margin": 0.5},
]


class Plain(nn.Module):
    """No batch norm: that alone would make a part differ from the whole."""

    def __init__(self):
        super().__init__()
        self.frames, self.phone, self.language = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, features):
        frames = torch.tanh(self.frames(features))
        self.seen += 1
        return Encoded(self.language(frames.mean(1)), self.phone(frames))


def a_batch(size=11):
    generator = torch.Generator().manual_seed(0)
    pdf_ids = torch.randint(5, (size, 7), generator=generator)
    pdf_ids[
        torch.rand(size, 7, generator=generator) < torch.linspace(0, 1, size)[:, None]
    ] = -100  # the last has no label
    features = torch.randn(size, 7, 4, generator=generator)
    return Batch(features, torch.randint(2, (size,), generator=generator), pdf_ids)


def gradients(network, loss):
    return {name: p.grad for name, p in [*network.named_parameters(), *loss.named_parameters()]}


@pytest.mark.parametrize("accumulate", [1, 2, 5])
@pytest.mark.parametrize("options", NORMALISATIONS, ids=lambda options: options["normalise"])
def test_parts_one_after_another_are_the_whole(options, accumulate):
    torch.manual_seed(0)
    network = Plain()
    margin = ScheduledMargin(PhonemeAwareMargin(0.2, 10.0, **options), steps=5, start=0)
    loss = MultitaskLoss(AMSoftmax(3, 2), margin, alpha=0.7)
    plain_network, plain_loss = copy.deepcopy(network), copy.deepcopy(loss)
    objective = Objective(network, loss, "fp32")
    parts_of = LossBatch(objective, accumulate, Processes())
    for more in range(3):  # β and the running mean move from step to step
        batch = a_batch(11 + more)
        for module in (objective, plain_network, plain_loss):
            module.train()
            module.zero_grad()
        expected = plain_loss(plain_network(batch.features), batch)
        expected.total.backward()
        parts = parts_of.backward(batch)
        for name in ("total", "language", "phone", "phone_accuracy", "p", "beta_p", "margin"):
            torch.testing.assert_close(getattr(parts, name), getattr(expected, name), rtol=1e-5, atol=1e-7)
        got = gradients(network, loss)
        for name, gradient in gradients(plain_network, plain_loss).items():
            torch.testing.assert_close(got[name], gradient, rtol=1e-4, atol=1e-6)
        state = loss.state_dict()
        for name, value in plain_loss.state_dict().items():
            torch.testing.assert_close(state[name], value)
    assert loss.alpha == 0.7 and network.seen == 3 * accumulate  # the first pass leaves no trace


def test_other_counters_move_once_per_loss_batch():
    objective = Objective(Plain(), MultitaskLoss(ASoftmax(3, 2), ConstantMargin(2)), "fp32").train()
    parts = LossBatch(objective, 3, Processes()).backward(a_batch())
    assert objective.loss.head.step == 1
    assert parts.p is None and parts.beta_p is None and (parts.margin == 2).all()


def test_a_batch_without_labels_has_no_phone_loss():
    batch = a_batch()
    batch.pdf_ids.fill_(-100)
    objective = Objective(Plain(), MultitaskLoss(AMSoftmax(3, 2), ConstantMargin(0.2)), "fp32").train()
    parts = LossBatch(objective, 2, Processes()).backward(batch)
    assert parts.phone == 0 and parts.total == parts.language
    assert (objective.network.phone.weight.grad == 0).all()


def test_rows_are_shared_out_evenly():
    objective = Objective(Plain(), MultitaskLoss(AMSoftmax(3, 2), ConstantMargin(0.2)), "fp32")
    rows = LossBatch(objective, 3, Processes()).rows(11)
    assert [index for part in rows for index in range(11)[part]] == list(range(11))
    assert sorted(part.stop - part.start for part in rows) == [3, 4, 4]
    with pytest.raises(IsoglossError, match="11 chunks per step for 1 processes × 6 parts"):
        LossBatch(objective, 6, Processes()).rows(11)


def test_what_would_not_be_exact_is_refused():
    def make(**options):
        margin = PhonemeAwareMargin(0.2, 0.5, detach=False, **options)
        return LossBatch(Objective(Plain(), MultitaskLoss(AMSoftmax(3, 2), margin), "fp32"), 2, Processes())

    make()
    with pytest.raises(IsoglossError, match="detach=false with train.accumulate"):
        make(normalise="batch_sum")
