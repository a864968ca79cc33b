"""Every loss compiles as one graph and means the same in it, and under mixed precision."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from isogloss.losses import (
    HEADS,
    AAMSoftmax,
    AMSoftmax,
    APMSoftmax,
    ConstantMargin,
    MultitaskLoss,
    PhonemeAwareMargin,
    ScheduledMargin,
    Softmax,
)
from isogloss.types import IGNORE_PDF, Batch, Encoded

B, T, E, K, C = 6, 5, 8, 7, 3
MARGIN = {"softmax": None, "a": 2, "am": 0.2, "aam": 0.2}


def slow(*values: Any) -> Any:
    """A case of its own seconds of compilation, left to the longer run."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def sample(batch: int = B) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(batch, E, generator=generator, dtype=torch.float64, requires_grad=True)
    z = torch.randn(batch, T, K, generator=generator, dtype=torch.float64, requires_grad=True)
    return x, torch.arange(batch) % C, z


def compiled(module: torch.nn.Module) -> Callable[..., Tensor]:
    """One graph, its backward pass split off as inductor does it, but without a C++ compiler."""
    return torch.compile(module, fullgraph=True, backend="aot_eager_decomp_partition")


def assert_same(
    loss: torch.nn.Module,
    call: Callable[[Callable[..., Tensor], int], tuple[Tensor, list[Tensor]]],
    sizes: tuple[int, ...] = (B, B),
) -> None:
    """Loss and gradients in float64 are those of the plain loss, step after step."""
    fast = compiled(loss.double())
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    results = []
    for function in (loss, fast):
        loss.load_state_dict(state)
        found = []
        for batch in sizes:
            loss.zero_grad()
            value, inputs = call(function, batch)
            value.backward()
            found += [value.detach(), *(x.grad for x in inputs), *(p.grad.clone() for p in loss.parameters())]
        results.append(found + [value.clone() for value in loss.state_dict().values()])  # steps, running means
    for plain, other in zip(*results, strict=True):
        torch.testing.assert_close(other, plain)


@pytest.mark.parametrize(
    ("name", "per_sample"),
    [
        ("a", False),
        ("am", True),
        *(slow(name, per_sample) for name, per_sample in (("softmax", False), ("a", True), ("aam", True))),
    ],
)
def test_a_head_compiles_as_one_graph(name: str, per_sample: bool) -> None:
    torch.manual_seed(0)
    head = HEADS[name](E, C) if name == "softmax" else HEADS[name](E, C, num_subcentres=2)
    margin = MARGIN[name] or 0.0

    def call(function: Callable[..., Tensor], batch: int) -> tuple[Tensor, list[Tensor]]:
        x, labels, _ = sample(batch)
        return function(x, labels, torch.full((batch,), margin) if per_sample else MARGIN[name]), [x]

    assert_same(head, call, sizes=(B, B, 4) if per_sample else (B, B))  # the last batch of an epoch may be smaller


@pytest.mark.parametrize(
    ("boundary", "normalise"),
    [("linear", "running_mean"), slow("easy", "none"), slow("clamp", "batch_softmax"), slow("none", "batch_sum")],
)
def test_apm_compiles_as_one_graph(boundary: str, normalise: str) -> None:
    torch.manual_seed(0)
    options = {"normalise": normalise, "detach": False, "warmup_steps": 3, "max_margin": 1.0, "target_mean": None}
    loss = APMSoftmax(E, C, form="aam", boundary=boundary, **options)

    def call(function: Callable[..., Tensor], batch: int) -> tuple[Tensor, list[Tensor]]:
        x, labels, z = sample(batch)
        return function(x, labels, z), [x, z]

    assert_same(loss, call)


@pytest.mark.parametrize(
    "margin",
    [
        slow(ScheduledMargin(0.2, steps=4, ramp="cosine")),
        ScheduledMargin(PhonemeAwareMargin(0.2, 10.0, target_mean=0.002), steps=4, start=1),
    ],
    ids=["scheduled", "scheduled and phoneme-aware"],
)
def test_the_multitask_loss_compiles_as_one_graph(margin: torch.nn.Module) -> None:
    loss = MultitaskLoss(AMSoftmax(E, C), margin)

    def call(function: Callable[..., Tensor], batch: int) -> tuple[Tensor, list[Tensor]]:
        x, labels, z = sample(batch)
        pdf_ids = torch.arange(batch * T).view(batch, T) % K
        pdf_ids[0] = IGNORE_PDF
        parts = function(Encoded(x, z), Batch(torch.zeros(batch, T, 2), labels, pdf_ids))
        return parts.total, [x, z]

    assert_same(loss, call)


@pytest.mark.slow
def test_padded_segments_and_short_labels_compile_as_one_graph() -> None:
    torch.manual_seed(0)
    loss = APMSoftmax(E, C, form="aam", preset="literal_scaled", detach=False)

    def call(function: Callable[..., Tensor], batch: int) -> tuple[Tensor, list[Tensor]]:
        x, labels, z = sample(batch)
        return function(x, labels.to(torch.int32), z, torch.arange(T) <= torch.arange(batch)[:, None]), [x, z]

    assert_same(loss, call, sizes=(B, B, 4))


@pytest.mark.slow
def test_a_margin_that_changes_every_step_stays_one_graph() -> None:
    """A plain number, which a compiled head takes for a variable from its second value on."""
    margins = iter([0.1, 0.2, 0.3] * 2)

    def call(function: Callable[..., Tensor], batch: int) -> tuple[Tensor, list[Tensor]]:
        x, labels, _ = sample(batch)
        return function(x, labels, next(margins)), [x]

    assert_same(AMSoftmax(E, C), call, sizes=(B, B, B))


def test_wrong_labels_are_found_in_a_compiled_loss_too() -> None:
    x, labels, z = sample()
    with pytest.raises(RuntimeError, match="expected language labels from 0 to 2"):
        compiled(Softmax(E, C))(x, labels + 1)
    pdf_ids = torch.full((B, T), K)
    with pytest.raises(RuntimeError, match="expected pdf labels from 0 to 6"):
        compiled(MultitaskLoss(AMSoftmax(E, C), ConstantMargin(0.2)))(
            Encoded(x, z), Batch(torch.zeros(B, T, 2), labels, pdf_ids)
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", HEADS)
def test_autocast_leaves_the_loss_in_float32(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    head = HEADS[name](E, C).eval()
    x, labels, _ = sample()
    for margin in (None, MARGIN[name]):
        exact = head(x.to(dtype).float(), labels, margin)  # x is float64, so rounded once
        with torch.autocast("cpu", dtype):
            inside = head(x.to(dtype), labels, margin)
            logits = head.logits(x.to(dtype))
        torch.testing.assert_close(inside, exact, rtol=0, atol=0)
        assert logits.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("form", ["am", "aam"])
def test_mixed_precision_training_learns(form: str, dtype: torch.dtype) -> None:
    """Autocast and a GradScaler that begins far too high: it steps back until the gradients fit, then the loss falls."""
    torch.manual_seed(0)
    encoder, phones = torch.nn.Linear(10, E), torch.nn.Linear(10, K)
    loss = APMSoftmax(E, C, form=form)
    optimiser = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    labels = torch.arange(24) % C
    frames = torch.randn(24, T, 10) + 2 * torch.nn.functional.one_hot(labels, 10)[:, None]
    values, skipped = [], 0
    for _ in range(80):
        with torch.autocast("cpu", dtype):
            value = loss(encoder(frames).mean(1), labels, phones(frames))
        optimiser.zero_grad()
        scaler.scale(value).backward()
        scaler.unscale_(optimiser)
        finite = all(torch.isfinite(p.grad).all() for p in [*encoder.parameters(), *loss.parameters()])
        before = scaler.get_scale()
        scaler.step(optimiser)
        scaler.update()
        assert finite == (scaler.get_scale() >= before)
        skipped += not finite
        values.append(float(value.detach()))
    assert all(torch.isfinite(p).all() for p in [*encoder.parameters(), *loss.parameters()])
    assert values[-1] < 0.1 * values[0]
    assert bool(skipped) == (dtype == torch.float16)  # 2^40 overflows float16 and not bfloat16


def test_scaled_gradients_are_the_gradients_times_the_scale() -> None:
    torch.manual_seed(0)
    head = AAMSoftmax(E, C)
    x, labels, _ = sample()
    x = x.detach().float().requires_grad_()
    (plain,) = torch.autograd.grad(head(x, labels, 0.2), x)
    (scaled,) = torch.autograd.grad(2.0**16 * head(x, labels, 0.2), x)
    torch.testing.assert_close(scaled / 2.0**16, plain, rtol=0, atol=0)
