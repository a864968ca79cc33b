import math
from itertools import pairwise

import pytest
import torch

from isogloss.losses.boundary import shifted_cosine

THETAS = [math.pi * k / 40 for k in range(1, 40)]  # clear of 0 and π, where sin θ is floored
MARGINS = [0.0, 0.2, 1.0, 2.0, 3.0, 4.0]


def one(theta: float, margin: float, boundary: str) -> float:
    cosine = torch.tensor([math.cos(theta)], dtype=torch.float64)
    return float(shifted_cosine(cosine, torch.tensor([margin], dtype=torch.float64), boundary)[0])


@pytest.mark.parametrize("boundary", ["linear", "clamp", "easy", "none"])
@pytest.mark.parametrize("margin", MARGINS)
def test_each_rule_against_its_words(boundary: str, margin: float) -> None:
    for theta in THETAS:
        beyond = theta + margin > math.pi
        if math.isclose(theta + margin, math.pi) or math.isclose(theta, math.pi / 2):
            continue  # on the edge either side will do
        expected = math.cos(theta + margin)
        if boundary == "linear" and beyond:
            expected = math.cos(theta) - margin * math.sin(margin)
        if boundary == "clamp" and beyond:
            expected = -1.0
        if boundary == "easy" and theta > math.pi / 2:
            expected = math.cos(theta)
        assert one(theta, margin, boundary) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("boundary", "margin"), [("linear", 0.2), ("linear", 2.3), ("clamp", 0.2), ("clamp", 3.0)])
def test_a_larger_angle_is_never_rewarded(boundary: str, margin: float) -> None:
    logits = [one(theta, margin, boundary) for theta in THETAS]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(logits))


def test_without_a_rule_a_larger_angle_is_rewarded_beyond_pi() -> None:
    assert one(3.0, 1.0, "none") > one(2.2, 1.0, "none")


@pytest.mark.parametrize("boundary", ["linear", "clamp", "easy", "none"])
def test_finite_at_one_and_one_ulp_beyond(boundary: str) -> None:
    one_up = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)).item()
    one_down = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    edge = [one_up, 1.0, one_down, -one_down, -1.0, -one_up]
    cosine = torch.tensor(edge).repeat(len(MARGINS)).requires_grad_()
    margin = torch.tensor(MARGINS).repeat_interleave(len(edge)).requires_grad_()

    out = shifted_cosine(cosine, margin, boundary)
    out.sum().backward()

    assert torch.isfinite(out).all() and torch.isfinite(cosine.grad).all() and torch.isfinite(margin.grad).all()
    at_one = shifted_cosine(torch.tensor([1.0]), torch.tensor([0.2]), boundary)
    assert float(at_one) == pytest.approx(math.cos(0.2), abs=1e-4)
