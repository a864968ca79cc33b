import numpy as np
import pytest

from isogloss.backends.lbfgs import minimise


def recorded(function):
    seen = []

    def of(x):
        seen.append(x.copy())
        return function(x)

    return of, seen


def valley(x):
    """Rosenbrock's function, least at (1, 1)."""
    slow = x[1] - x[0] ** 2
    return 100 * slow**2 + (1 - x[0]) ** 2, np.array([-400 * x[0] * slow - 2 * (1 - x[0]), 200 * slow])


def bowl(x):
    scale = np.arange(1, 31)
    return 0.5 * (scale * (x - 1) ** 2).sum(), scale * (x - 1)


@pytest.mark.parametrize("function, start", [(valley, [-1.2, 1.0]), (bowl, np.zeros(30))])
def test_it_finds_the_lowest_point(function, start):
    found = minimise(function, np.array(start, dtype=float), 300)
    assert found == pytest.approx(np.ones(len(start)), abs=1e-5)


@pytest.mark.parametrize("max_steps", [1, 2, 7])
def test_it_evaluates_no_more_than_that_and_gives_the_best_of_them(max_steps):
    function, seen = recorded(bowl)
    found = minimise(function, np.zeros(30), max_steps)
    assert len(seen) == max_steps
    assert bowl(found)[0] == min(bowl(x)[0] for x in seen)


def test_the_first_step_is_the_gradient_then_halved_while_too_long():
    """x = 0, f = 8 (x − 1)²: the gradient −16 proposes 16, then 8, 4, 2: f(2) = f(0), so 1, the lowest point."""
    function, seen = recorded(lambda x: (8 * float((x[0] - 1) ** 2), 16 * (x - 1)))
    assert minimise(function, np.zeros(1), 6).tolist() == [1.0]
    assert [float(x[0]) for x in seen] == [0, 16, 8, 4, 2, 1]


def test_where_there_is_nothing_to_gain_it_stops():
    function, seen = recorded(lambda x: (0.0, np.zeros(2)))
    assert minimise(function, np.ones(2), 50).tolist() == [1, 1]
    assert len(seen) == 2
