import math
from itertools import pairwise

import pytest
import torch

from isogloss.losses.boundary import shifted_cosine

THETAS = [math.pi * k / 40 for k in range(1, 40)]  # clear of 0 and π, where sin θ is floored
MARGINS = [0.0, 0.2, 1.0, 2.0, 2.3, 2.4, 3.0, 3.5, 4.0, 10.2]


def linear(theta: float, margin: float) -> float:
    """φ beyond θ + P = π: ArcFace's, as long as it begins at −1 or below where θ + P = π."""
    arc_face = margin * math.sin(margin)
    if margin < math.pi and math.cos(math.pi - margin) - arc_face <= -1:
        return math.cos(theta) - arc_face
    return math.cos(theta) - (1 - math.cos(margin) if margin < math.pi else 2)


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
            expected = linear(theta, margin)
        if boundary == "clamp" and beyond:
            expected = -1.0
        if boundary == "easy" and theta > math.pi / 2:
            expected = math.cos(theta)
        assert one(theta, margin, boundary) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("boundary", ["linear", "clamp"])
def test_a_larger_angle_is_never_rewarded_nor_is_any_margin(boundary: str) -> None:
    for margin in [0.01 * k for k in range(1, 1200, 7)]:
        logits = [one(theta, margin, boundary) for theta in THETAS]
        assert all(later <= earlier + 1e-9 for earlier, later in pairwise(logits)), margin
        assert all(logit < math.cos(theta) for theta, logit in zip(THETAS, logits, strict=True)), margin


@pytest.mark.parametrize("margin", [0.2, 1.0, 2.0, 2.33])
def test_up_to_2_33_linear_is_arc_faces(margin: float) -> None:
    theta = math.pi - margin / 2
    assert one(theta, margin, "linear") == pytest.approx(math.cos(theta) - margin * math.sin(margin), abs=1e-9)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [-0.2, 0.2, 1.0, 3.0])
def test_exact_at_one_and_minus_one(margin: float, dtype: torch.dtype) -> None:
    cosine = torch.tensor([1.0, -1.0], dtype=dtype)
    found = shifted_cosine(cosine, torch.full_like(cosine, margin), "none")
    expected = [math.cos(0 + margin), math.cos(math.pi + margin)]
    assert found.tolist() == pytest.approx(expected, abs=4 * torch.finfo(dtype).eps)
