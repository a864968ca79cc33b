"""A margin that grows: the factor in a plain loop, what it is a factor of, and where it goes on after a restart."""

import math

import pytest
import torch
from torch import Tensor

from isogloss.losses import AAMSoftmax, ConstantMargin, MultitaskLoss, PhonemeAwareMargin, ScheduledMargin
from isogloss.types import Batch, Encoded, IsoglossError

B, T, E, K, C = 4, 5, 6, 7, 3


def logits() -> Tensor:
    return torch.randn(B, T, K, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ramp", ["linear", "cosine"])
@pytest.mark.parametrize(("start", "steps"), [(0, 1), (0, 5), (3, 4)])
def test_the_margin_grows_from_0_as_it_says(ramp: str, start: int, steps: int) -> None:
    margin = ScheduledMargin(0.3, steps=steps, start=start, ramp=ramp)
    for call in range(start + steps + 3):
        if call <= start:
            share = 0.0
        elif call >= start + steps:
            share = 1.0
        else:
            share = (call - start) / steps
            share = share if ramp == "linear" else (1 - math.cos(math.pi * share)) / 2
        found = margin()
        assert float(found.total) == pytest.approx(0.3 * share, abs=1e-7) and found.p is None and found.beta_p is None


def test_of_a_phoneme_aware_margin_m_and_beta_p_grow_together() -> None:
    z = logits()
    aware = PhonemeAwareMargin(0.2, 10.0, target_mean=0.002)
    whole = aware.eval()(z)
    margin = ScheduledMargin(aware.train(), steps=4, start=1)
    for share in (0, 0, 0.25, 0.5, 0.75, 1, 1):
        found = margin(z)
        torch.testing.assert_close(found.total, share * whole.total)
        torch.testing.assert_close(found.beta_p, share * whole.beta_p)
        torch.testing.assert_close(found.p, whole.p)


def test_no_gradient_reaches_the_phoneme_branch_where_p_is_detached() -> None:
    for detach in (True, False):
        margin = ScheduledMargin(PhonemeAwareMargin(0.2, 1.0, detach=detach), steps=1)
        z = logits().requires_grad_()
        margin(z)
        assert margin(z).total.requires_grad != detach


def test_it_grows_in_training_only_and_goes_on_where_it_was() -> None:
    def make() -> ScheduledMargin:
        return ScheduledMargin(PhonemeAwareMargin(0.2, 1.0, normalise="running_mean", warmup_steps=3), steps=10)

    z, margin, resumed = logits(), make(), make()
    for _ in range(3):
        margin(z)
    margin.eval()(z)
    assert int(margin.step) == 3 and int(margin.margin.step) == 3
    resumed.load_state_dict(margin.state_dict())
    margin.train()
    for _ in range(8):
        assert torch.equal(margin(z).total, resumed(z).total)


def test_in_the_multitask_loss_it_is_the_margin_of_the_step() -> None:
    head = AAMSoftmax(E, C)
    encoded = Encoded(torch.randn(B, E))
    batch = Batch(torch.zeros(B, T, 2), torch.tensor([0, 1, 2, 0]))
    loss = MultitaskLoss(head, ScheduledMargin(ConstantMargin(0.2), steps=2))
    for m in (0.0, 0.1, 0.2, 0.2):
        parts = loss(encoded, batch)
        torch.testing.assert_close(parts.total, head(encoded.embedding, batch.languages, m))
        assert parts.margin.tolist() == pytest.approx([m] * B)


def test_schedules_that_cannot_be_are_errors() -> None:
    for options in ({"steps": 0}, {"steps": 5, "start": -1}):
        with pytest.raises(IsoglossError, match="rises over"):
            ScheduledMargin(0.2, **options)
    with pytest.raises(IsoglossError, match="linear, cosine"):
        ScheduledMargin(0.2, steps=5, ramp="sudden")
    with pytest.raises(IsoglossError, match="without phoneme logits"):
        ScheduledMargin(PhonemeAwareMargin(0.2, 1.0), steps=5)()
