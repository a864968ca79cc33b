import itertools
import math

import pytest
import torch

from isogloss.config import TrainConfig
from isogloss.training.schedule import OneCycle, Plateau, WarmRestarts, make_schedule


def test_it_restarts_at_every_cycle_and_halves_in_its_middle():
    rate = WarmRestarts(10, (1, 2), 1.0, 0.0).rate
    rates = [rate(step) for step in range(31)]
    assert rates[0] == rates[10] == 1.0
    assert rates[5] == rates[20] == pytest.approx(0.5)
    assert rates[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.9)))
    assert rates[30] == 0.0
    assert all(a > b for a, b in itertools.pairwise(rates[:10]))


def test_it_never_falls_below_the_lowest():
    schedule = WarmRestarts(7, (2,), 1e-3, 1e-5)
    assert min(schedule.rate(step) for step in range(100)) == 1e-5


def optimiser(rate):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


@pytest.mark.parametrize("num_steps", [10, 57, 1000])
def test_one_cycle_is_that_of_torch(num_steps):
    own, theirs = OneCycle(num_steps, 1e-2, 1e-6), optimiser(1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        theirs, 1e-2, num_steps, final_div_factor=1e-2 / 25 / 1e-6, cycle_momentum=False
    )
    for step in range(num_steps):
        assert own.rate(step) == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        theirs.step()
        if step < num_steps - 1:
            scheduler.step()
    assert own.rate(num_steps - 1) == own.rate(num_steps + 9) == pytest.approx(1e-6)


def test_plateau_is_that_of_torch():
    values = [0.5, 0.4, 0.4, 0.41, 0.3, 0.35, 0.3, 0.31, 0.32, 0.33, 0.2, 0.2, 0.2, 0.2]
    own, theirs = Plateau(1e-2, 2e-3, 0.5, 2, "valid_loss"), optimiser(1e-2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.5, patience=1, threshold=0, min_lr=2e-3)
    for number, value in enumerate(values):
        own.epoch_ended({"valid_loss": value})
        scheduler.step(value)
        assert own.rate(0) == theirs.param_groups[0]["lr"]
        again = Plateau(1e-2, 2e-3, 0.5, 2, "valid_loss")
        again.load_state_dict(own.state_dict())
        own = again if number % 2 else own
    assert own.rate(0) == 2e-3


def test_the_config_names_the_schedule():
    kinds = {name: type(make_schedule(TrainConfig(schedule=name), 10)) for name in ("restarts", "one_cycle", "plateau")}
    assert kinds == {"restarts": WarmRestarts, "one_cycle": OneCycle, "plateau": Plateau}
    assert make_schedule(TrainConfig(schedule="one_cycle"), 10).rate(89) == pytest.approx(
        4e-8
    )  # 3 + 6 epochs of 10 steps
