import numpy as np
import pytest
import torch
from torch import nn

from isogloss.training.averaging import Average, renew_statistics
from isogloss.training.early_stop import EarlyStop


def steps(module, num):
    """Give the module `num` different weights, one after another."""
    for number in range(num):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(float(number) ** 2)
            module[1].num_batches_tracked.fill_(number)
        yield float(number) ** 2


@pytest.fixture
def module():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False))


@pytest.mark.parametrize("decay", [None, 0.5, 0.95])
def test_the_average_is_what_its_equation_says(module, decay):
    average, expected, seen = Average(module, decay), 0.0, []
    for number, value in enumerate(steps(module, 30)):
        average.update()
        seen.append(value)
        kept = 0.0 if number == 0 else min(decay or 0, (1 + number) / (10 + number))
        expected = kept * expected + (1 - kept) * value if decay else float(np.mean(seen))
        again = Average(module, decay)
        again.load_state_dict(average.state_dict())
        average = again
    with average.in_place():
        assert module[0].weight[0, 0].item() == pytest.approx(expected, rel=1e-5)
        assert module[1].num_batches_tracked.item() == 29
    assert module[0].weight[0, 0].item() == 29.0**2
    average.apply()
    assert module[0].bias[2].item() == pytest.approx(expected, rel=1e-5)


def test_without_an_update_the_weights_stay(module):
    before = module[0].weight.clone()
    with Average(module, None).in_place():
        assert torch.equal(module[0].weight, before)


def test_renewed_statistics_are_those_of_the_weights(module):
    batches = [torch.randn(50, 2) * 3 + 1 for _ in range(4)]
    module[1].running_mean.fill_(100.0)
    module[1].momentum = 0.3
    renew_statistics(module, module, iter(batches))
    outputs = [module[0](batch).double() for batch in batches]
    for name, expected in (
        ("running_mean", [o.mean(0) for o in outputs]),
        ("running_var", [o.var(0) for o in outputs]),
    ):
        torch.testing.assert_close(
            getattr(module[1], name).double(), torch.stack(expected).mean(0), rtol=1e-5, atol=1e-6
        )
    assert module[1].momentum == 0.3


def test_the_first_of_equally_good_epochs_is_kept(module):
    stop = EarlyStop(patience=2)
    ended = []
    for value, weight in zip((4, 3, 3, 2, 2.5, 2), steps(module, 6), strict=True):
        stop.epoch_ended(value, int(weight), module)
        again = EarlyStop(patience=2)
        again.load_state_dict(stop.state_dict())
        stop = again
        ended.append(stop.stopped)
    assert ended == [False] * 5 + [True]
    assert (stop.best, stop.best_step) == (2, 9)
    stop.apply(module)
    assert (module[0].weight == 9.0).all()
