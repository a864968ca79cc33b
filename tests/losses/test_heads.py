"""Each head against its equation in a plain float64 loop, and against an independent library."""

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


@pytest.mark.parametrize("boundary", ["linear", "clamp", "easy", "none"])
def test_aam_beyond_pi_follows_its_boundary(boundary: str) -> None:
    head = AAMSoftmax(E, C, boundary=boundary).double()
    x, y = sample()
    margins, loss, num_beyond = [-0.5, 1.0, 2.2, 2.4, 4.0], 0.0, 0
    penalty = {2.2: 2.2 * math.sin(2.2), 2.4: 1 - math.cos(2.4), 4.0: 2.0}  # ArcFace's up to 2.33
    for i in range(B):
        theta = [angle(head.weight[j], x[i]) for j in range(C)]
        own, P = theta[y[i]], margins[i]
        num_beyond += own + P > math.pi
        target = math.cos(own + P)
        if boundary == "easy" and own > math.pi / 2:
            target = math.cos(own)
        elif own + P > math.pi and boundary in ("linear", "clamp"):
            target = math.cos(own) - penalty[P] if boundary == "linear" else -1.0
        others = sum(math.exp(S * math.cos(theta[j])) for j in range(C) if j != y[i])
        loss -= math.log(math.exp(S * target) / (math.exp(S * target) + others)) / B
    assert num_beyond >= 2
    assert head(x, y, torch.tensor(margins)).item() == pytest.approx(loss)


@pytest.mark.parametrize("margin", [2.4, 3.0, 3.2, 3.5, 4.0, 10.2])
@pytest.mark.parametrize("name", ["am", "aam"])
def test_by_default_a_margin_past_pi_costs_too(name: str, margin: float) -> None:
    head, (x, y) = make(name).double(), sample()
    assert head(x, y, margin).item() > head(x, y, 0.2).item() > head(x, y).item()


@pytest.mark.parametrize("m", [1, 2, 3, 4, 8])
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


@pytest.mark.parametrize("name", ["a", "am", "aam"])
def test_of_sub_centres_the_nearest_counts(name: str) -> None:
    num = 3
    torch.manual_seed(0)
    head = HEADS[name](E, C, num_subcentres=num).double()
    plain = HEADS[name](E, C).double()
    x, y = sample()
    margins = [2.0] * B if name == "a" else [0.0, 0.1, 0.2, 0.3, 0.4]
    loss, logits = 0.0, []
    for i in range(B):  # each sample sees a head without sub-centres, of the nearest weight of every language
        nearest = []
        for j in range(C):
            own = head.weight[num * j : num * (j + 1)]
            cosines = [math.cos(angle(w, x[i])) for w in own]
            nearest.append(own[cosines.index(max(cosines))])
        plain.weight.data = torch.stack(nearest)
        loss += plain.eval()(x[i : i + 1], y[i : i + 1], margins[i]).item() / B
        logits.append(plain.logits(x[i : i + 1]))
    torch.testing.assert_close(head.logits(x), torch.cat(logits))
    assert head(x, y, torch.tensor(margins)).item() == pytest.approx(loss)
    assert head.weight.shape == (C * num, E)


def test_sub_centres_equal_an_independent_library() -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    head = AAMSoftmax(E, C, num_subcentres=3)
    theirs = losses.SubCenterArcFaceLoss(
        num_classes=C, embedding_size=E, margin=float(np.degrees(0.3)), scale=S, sub_centers=3
    )
    theirs.W.data = head.weight.data.T.clone()
    mine, other = (torch.randn(64, E, generator=torch.Generator().manual_seed(2)).requires_grad_() for _ in range(2))
    y = torch.arange(64) % C
    ours_loss, their_loss = head(mine, y, 0.3), theirs(other, y)
    ours_loss.backward()
    their_loss.backward()
    torch.testing.assert_close(ours_loss, their_loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.weight.grad, theirs.W.grad.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_those_of_the_loss(name: str) -> None:
    head, (x, y) = make(name).double().eval(), sample()  # evaluation keeps λ of A-Softmax where it is

    def loss(x: Tensor, weight: Tensor) -> Tensor:
        own = "affine.weight" if name == "softmax" else "weight"
        return torch.func.functional_call(head, {own: weight}, (x, y, MARGIN[name]))

    weight = torch.randn(C, E, dtype=torch.float64)
    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), weight.requires_grad_()))


@pytest.mark.parametrize("name", HEADS)
def test_margin_off_is_cross_entropy_of_the_logits_and_a_margin_costs(name: str) -> None:
    head, (x, y) = make(name).double(), sample()
    off = head(x, y)
    torch.testing.assert_close(off, torch.nn.functional.cross_entropy(head.logits(x), y))
    torch.testing.assert_close(head(x, y, 1.0 if name == "a" else 0.0), off)
    if name != "softmax":
        assert head(x, y, MARGIN[name]).item() > off.item()


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
    for margin in (0.2, torch.tensor([0.0, 0.2, 0.0, 0.0, 0.0])):
        with pytest.raises(IsoglossError, match="margin 0.2 for Softmax; expected 0"):
            make("softmax")(x.float(), y, margin)
    for margin in (0.2, 0, 9, torch.tensor([1.0, 2.0, 2.5, 2.0, 2.0])):
        with pytest.raises(IsoglossError, match="whole number from 1 to 8"):
            make("a")(x, y, margin)
    for shape in ((B - 1,), (B, 1), (B, C)):
        with pytest.raises(IsoglossError, match="expected a number or one per sample"):
            make("am")(x, y, torch.zeros(shape))
    with pytest.raises(IsoglossError, match="num_subcentres 0"):
        AMSoftmax(E, C, num_subcentres=0)
    with pytest.raises(IsoglossError, match="linear, clamp, easy, none"):
        AAMSoftmax(E, C, boundary="hard")


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8], ids=str)
def test_labels_may_be_of_any_integer_type(name: str, dtype: torch.dtype) -> None:
    x, y = sample()
    head = make(name).double().eval()
    for margin in (MARGIN[name], None):
        assert torch.equal(head(x, y.to(dtype), margin), head(x, y, margin))


LABELS = [
    (torch.zeros(B), "type torch.float32; expected a tensor of whole numbers"),
    (torch.zeros(B, dtype=torch.bool), "type torch.bool; expected a tensor of whole numbers"),
    ([0] * B, "type list; expected a tensor of whole numbers"),
    (torch.zeros(B, 1, dtype=torch.int64), r"expected one each, \[5\].*squeeze"),
    (torch.eye(C, dtype=torch.int64)[[0] * B], r"expected one each, \[5\].*argmax"),
    (torch.tensor(1), "expected one each"),
    (torch.zeros(B - 1, dtype=torch.int64), r"shape \[4\] for 5 embeddings"),
]


@pytest.mark.parametrize("name", HEADS)
def test_what_a_head_is_given_by_mistake_is_an_error_of_one_line(name: str) -> None:
    head, (x, y) = make(name).double(), sample()
    for margin in (MARGIN[name], None):
        for labels, message in LABELS:
            with pytest.raises(IsoglossError, match=message):
                head(x, labels, margin)
        for shape in ((E,), (B, 7, E), (B, E + 1), (0, E)):  # one, of frames, too wide, none
            with pytest.raises(IsoglossError, match=r"embeddings of shape .*; expected \[batch, 6\], one at least"):
                head(torch.zeros(shape, dtype=torch.float64), y[: shape[0]], margin)


def test_numbers_a_head_cannot_have_are_errors() -> None:
    for scale in (0.0, -30.0):
        with pytest.raises(IsoglossError, match="expected more than 0"):
            AMSoftmax(E, C, scale)
    with pytest.raises(IsoglossError, match="scale inf; expected a finite number"):
        AAMSoftmax(E, C, math.inf)
    x, y = sample()
    for margin in (math.nan, math.inf, -math.inf):
        with pytest.raises(IsoglossError, match="expected a finite number"):
            make("aam").double()(x, y, margin)


def test_class_cosine_is_the_mean_over_pairs_of_languages() -> None:
    head = AMSoftmax(7, 5)
    rows = head.weight.detach().double()
    pairs = [dot(rows[i], rows[j]) / norm(rows[i]) / norm(rows[j]) for i in range(5) for j in range(5) if i != j]
    assert head.class_cosine() == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    with torch.no_grad():
        head.weight.copy_(torch.linspace(1, 3, 5).unsqueeze(1) * head.weight[:1])
    assert head.class_cosine() == pytest.approx(1, abs=1e-6)


def test_class_cosine_leaves_out_pairs_of_sub_centres_of_one_language() -> None:
    num = 3
    head = AMSoftmax(7, 4, num_subcentres=num)
    rows = head.weight.detach().double()
    pairs = [
        dot(rows[i], rows[j]) / norm(rows[i]) / norm(rows[j])
        for i in range(4 * num)
        for j in range(4 * num)
        if i // num != j // num
    ]
    assert head.class_cosine() == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    opposite = AMSoftmax(7, 2, num_subcentres=2)
    with torch.no_grad():
        opposite.weight.copy_(torch.tensor([1.0, 1, -1, -1]).unsqueeze(1) * opposite.weight[:1])
    assert opposite.class_cosine() == pytest.approx(-1, abs=1e-6)
    assert AMSoftmax(7, 1, num_subcentres=2).class_cosine() == pytest.approx(0, abs=1e-6)  # no pair


def test_an_angular_margin_is_cheapest_where_all_weights_lie_in_one_heap() -> None:
    """Why AAM-Softmax may collapse and AM-Softmax may not: what embeddings that know nothing pay at an angle to the heap."""
    x, labels = torch.zeros(4, 3), torch.arange(4)
    x[:, 0] = 1

    def loss(head: torch.nn.Module, cosine: float) -> float:
        with torch.no_grad():
            head.weight.copy_(torch.tensor([cosine, (1 - cosine**2) ** 0.5, 0.0]).expand(4, 3))
        return head(x, labels, margin=0.2).item()

    for scale in (12.0, 30.0):
        aside, opposite, onto = (loss(AAMSoftmax(3, 4, scale), cosine) for cosine in (0.0, -1.0, 1.0))
        assert onto < opposite < aside
        assert len({round(loss(AMSoftmax(3, 4, scale), cosine), 4) for cosine in (0.0, -1.0, 1.0)}) == 1
