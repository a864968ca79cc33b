"""Each head against its equation in a plain float64 loop, against an independent library, and at the edges."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from isogloss.losses import HEADS, AAMSoftmax, AMSoftmax, ASoftmax, Softmax
from isogloss.types import IsoglossError

B, E, C, S = 5, 6, 4, 30.0
MARGIN = {"softmax": 0.0, "a": 3.0, "am": 0.2, "aam": 0.2}


def make(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return HEADS[name](E, C)


def sample() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, E, generator=generator, dtype=torch.float64), torch.tensor([0, 3, 1, 1, 2])


def dot(a: Tensor, b: Tensor) -> float:
    return sum(u * v for u, v in zip(a.tolist(), b.tolist(), strict=True))


def norm(a: Tensor) -> float:
    return math.sqrt(dot(a, a))


def angle(a: Tensor, b: Tensor) -> float:
    return math.acos(dot(a, b) / norm(a) / norm(b))


def test_softmax_is_eq_1() -> None:
    head = Softmax(E, C).double()
    torch.nn.init.normal_(head.affine.bias)
    x, y = sample()
    W, b = head.affine.weight, head.affine.bias
    loss = 0.0
    for i in range(B):
        z = [dot(W[j], x[i]) + b[j].item() for j in range(C)]
        loss -= math.log(math.exp(z[y[i]]) / sum(math.exp(v) for v in z)) / B
    assert head(x, y).item() == pytest.approx(loss)


def margin_loss(head: torch.nn.Module, x: Tensor, y: Tensor, margins: list[float], form: str) -> float:
    """Eq. 5, 7, 14 with φ or ρ of eq. 6, 8 (corrected), 15, 16."""
    loss = 0.0
    for i in range(B):
        theta = [angle(head.weight[j], x[i]) for j in range(C)]
        target = math.cos(theta[y[i]]) - margins[i] if form == "am" else math.cos(theta[y[i]] + margins[i])
        others = sum(math.exp(S * math.cos(theta[j])) for j in range(C) if j != y[i])
        loss -= math.log(math.exp(S * target) / (math.exp(S * target) + others)) / B
    return loss


@pytest.mark.parametrize("form", ["am", "aam"])
def test_am_and_aam_are_eq_5_to_8_and_per_sample_eq_14_to_16(form: str) -> None:
    head = make(form).double()
    x, y = sample()
    constant, per_sample = [0.2] * B, [0.0, 0.1, 0.2, 0.3, 0.4]
    assert head(x, y, 0.2).item() == pytest.approx(margin_loss(head, x, y, constant, form))
    assert head(x, y, torch.tensor(per_sample)).item() == pytest.approx(margin_loss(head, x, y, per_sample, form))


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("steps", [0, 50])
def test_a_softmax_is_eq_3_and_4_with_annealing(m: int, steps: int) -> None:
    head = ASoftmax(E, C, lambda_base=100.0, lambda_min=5.0, lambda_decay=0.5).double()
    x, y = sample()
    for _ in range(steps):
        head(x, y, m)
    lam = max(5.0, 100.0 / (1 + 0.5 * steps))
    loss = 0.0
    for i in range(B):
        theta = [angle(head.weight[j], x[i]) for j in range(C)]
        k = next(k for k in range(m) if k * math.pi / m <= theta[y[i]] <= (k + 1) * math.pi / m)
        phi = (-1) ** k * math.cos(m * theta[y[i]]) - 2 * k
        target = norm(x[i]) * (lam * math.cos(theta[y[i]]) + phi) / (1 + lam)
        others = sum(math.exp(norm(x[i]) * math.cos(theta[j])) for j in range(C) if j != y[i])
        loss -= math.log(math.exp(target) / (math.exp(target) + others)) / B
    assert head(x, y, m).item() == pytest.approx(loss)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_the_angular_margin_falls_with_the_angle_over_the_whole_circle(m: int) -> None:
    head = ASoftmax(E, C, lambda_base=0.0, lambda_min=0.0)
    theta = torch.linspace(0, torch.pi, 200, dtype=torch.float64)
    phi = head.target_logit(theta.cos(), torch.full_like(theta, m))
    assert float(phi[0]) == pytest.approx(1) and float(phi[-1]) == pytest.approx(1 - 2 * m)
    assert bool((phi.diff() < 1e-9).all())


def test_annealing_advances_in_training_only_and_resumes() -> None:
    head, (x, y) = make("a"), sample()
    head(x, y, 2)
    head.eval()(x, y, 2)
    assert int(head.step) == 1
    resumed = make("a")
    resumed.load_state_dict(head.state_dict())
    assert int(resumed.step) == 1


@pytest.mark.parametrize("form", ["am", "aam"])
@pytest.mark.parametrize("m", [0.0, 0.2, 0.5, 2.0])
def test_equal_to_an_independent_library_on_equal_weights(form: str, m: float) -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    head = make(form)
    if form == "am":
        theirs = losses.CosFaceLoss(C, E, margin=m, scale=S)
    else:
        theirs = losses.ArcFaceLoss(C, E, margin=float(np.degrees(m)), scale=S)  # theirs are degrees, ours radians
    theirs.W.data = head.weight.data.T.clone()
    mine, other = (torch.randn(64, E, generator=torch.Generator().manual_seed(2)).requires_grad_() for _ in range(2))
    y = torch.arange(64) % C

    ours_loss, their_loss = head(mine, y, m), theirs(other, y)
    ours_loss.backward()
    their_loss.backward()

    torch.testing.assert_close(ours_loss, their_loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.weight.grad, theirs.W.grad.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_margin_off_is_cross_entropy_of_the_logits_and_a_margin_costs(name: str) -> None:
    head, (x, y) = make(name).double(), sample()
    off = head(x, y, None)
    torch.testing.assert_close(off, torch.nn.functional.cross_entropy(head.logits(x), y))
    torch.testing.assert_close(head(x, y, 1.0 if name == "a" else 0.0), off)
    if name != "softmax":
        assert head(x, y, MARGIN[name]).item() > off.item()


def embeddings_at_the_edge(head: torch.nn.Module) -> Tensor:
    """Rows for class 0: on its weight, opposite, zero, tiny, huge, and random."""
    weight = (head.affine if isinstance(head, Softmax) else head).weight.detach()[0]
    unit = weight / weight.norm()
    return torch.stack([unit, -unit, 0 * unit, 1e-7 * unit, 100 * unit, 7 * unit, torch.randn(E)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("margin", [0.0, 0.2, 3.0, 3.5, 10.2])
def test_loss_and_gradients_are_finite_everywhere(name: str, dtype: torch.dtype, margin: float) -> None:
    head = make(name).to(dtype)
    if name == "softmax":
        margin = 0.0
    if name == "a":
        margin = 1 + round(margin)
    for rows in (slice(None), slice(2, 3)):  # a mixed batch of one class, and one zero embedding alone
        x = embeddings_at_the_edge(head)[rows].to(dtype).requires_grad_()
        head.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = head(x, torch.zeros(len(x), dtype=torch.int64), margin)
        loss.backward()
        assert loss.dtype == torch.float32 and torch.isfinite(loss)
        assert x.grad.dtype == dtype and torch.isfinite(x.grad).all()
        assert all(torch.isfinite(p.grad).all() for p in head.parameters())


@pytest.mark.parametrize("boundary", ["linear", "clamp", "easy", "none"])
def test_every_boundary_is_finite_where_the_weight_meets_the_embedding(boundary: str) -> None:
    head = AAMSoftmax(E, C, boundary=boundary)
    x = embeddings_at_the_edge(head).requires_grad_()
    head(x, torch.zeros(len(x), dtype=torch.int64), torch.linspace(0, 4, len(x))).backward()
    assert torch.isfinite(x.grad).all() and torch.isfinite(head.weight.grad).all()


def test_the_margin_is_computed_in_float32_under_autocast() -> None:
    head, (x, y) = make("aam"), sample()
    exact = head(x.float(), y, 0.2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(x.float(), y, 0.2)
    torch.testing.assert_close(inside, exact, rtol=0, atol=0)


def test_a_gradient_that_reaches_the_margin_is_minus_scale_times_the_error() -> None:
    head, (x, y) = AMSoftmax(E, C, scale=2.0).double(), sample()
    margin = torch.full((B,), 0.2, dtype=torch.float64, requires_grad=True)
    head(x, y, margin).backward()
    logits = 2.0 * (head.cosines(x) - 0.2 * torch.nn.functional.one_hot(y, C))
    posterior = logits.softmax(dim=1)[range(B), y]
    torch.testing.assert_close(margin.grad, 2.0 * (1 - posterior).detach() / B)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("label", [-1, C])
def test_a_language_outside_the_head_is_an_error_with_and_without_margin(name: str, label: int) -> None:
    for margin in (MARGIN[name], None):
        with pytest.raises(IsoglossError, match="expected 0 to 3"):
            make(name)(torch.randn(2, E), torch.tensor([0, label]), margin)


def test_margins_a_head_cannot_use_are_errors() -> None:
    x, y = sample()
    with pytest.raises(IsoglossError, match="Softmax; expected 0"):
        make("softmax")(x.float(), y, 0.2)
    with pytest.raises(IsoglossError, match="whole number"):
        make("a")(x, y, 0.2)
    with pytest.raises(IsoglossError, match="linear, clamp, easy, none"):
        AAMSoftmax(E, C, boundary="hard")
