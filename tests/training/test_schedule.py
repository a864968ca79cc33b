import itertools
import math

import pytest

from isogloss.training.schedule import learning_rate


def test_it_restarts_at_every_cycle_and_halves_in_its_middle():
    rates = [learning_rate(step, 10, (1, 2), 1.0, 0.0) for step in range(31)]
    assert rates[0] == rates[10] == 1.0
    assert rates[5] == rates[20] == pytest.approx(0.5)
    assert rates[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.9)))
    assert rates[30] == 0.0
    assert all(a > b for a, b in itertools.pairwise(rates[:10]))


def test_it_never_falls_below_the_lowest():
    assert min(learning_rate(step, 7, (2,), 1e-3, 1e-5) for step in range(100)) == 1e-5
