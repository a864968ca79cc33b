"""Loss and gradients are finite wherever an embedding, a class weight or a cosine can get to, in every float type."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from isogloss.losses import PRESETS, AAMSoftmax, AMSoftmax, APMSoftmax, ASoftmax, CosineHead, Softmax

E, C = 6, 4
BOUNDARIES = ["linear", "clamp", "easy", "none"]
HEADS: dict[str, Callable[[], torch.nn.Module]] = {
    "softmax": lambda: Softmax(E, C),
    "a": lambda: ASoftmax(E, C),
    "a-unannealed": lambda: ASoftmax(E, C, lambda_base=0.0, lambda_min=0.0),
    "am": lambda: AMSoftmax(E, C),
    "am-subcentres": lambda: AMSoftmax(E, C, num_subcentres=3),
    **{f"aam-{b}": lambda b=b: AAMSoftmax(E, C, boundary=b) for b in BOUNDARIES},
    "aam-subcentres": lambda: AAMSoftmax(E, C, num_subcentres=3),
}
COSINE_HEADS = [name for name in HEADS if name != "softmax"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SITUATIONS = [
    "on its class weight", "opposite its class weight", "zero", "tiny", "huge", "random", "zero class weights",
    "one class", "batch of one, zero", "batch of one, on its class weight",
]  # fmt: skip


def margins_of(name: str) -> list[float | None]:
    """Among them θ + P > π for every θ, and off."""
    if name == "softmax":
        return [None, 0.0]
    return [None, 1.0, 2.0, 4.0, 8.0] if name.startswith("a-") or name == "a" else [None, 0.0, 0.2, 3.0, 3.5, 10.2]


def make(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return HEADS[name]()


def situation(what: str, head: torch.nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Embeddings and labels; the head's weights are changed where the situation is about them."""
    weight = (head.affine if isinstance(head, Softmax) else head).weight
    unit = torch.nn.functional.normalize(weight.detach()[0].double(), dim=0)  # of class 0
    labels = torch.arange(4) % C
    x = torch.randn(4, E, generator=torch.Generator().manual_seed(1)).double()
    largest = torch.finfo(dtype).max
    if "class weight" in what and "zero" not in what:
        x[0] = -7 * unit if "opposite" in what else 7 * unit
    elif what == "zero":
        x[0] = 0
    elif what == "tiny":
        x *= torch.finfo(dtype).smallest_normal
    elif what == "huge":  # A-Softmax's gradient grows with ‖x‖ over that of the weight, and float16 ends at 65504
        room = 1.0 if not isinstance(head, ASoftmax) else 0.01 if dtype == torch.float16 else 1e-6
        x *= room * largest / 8 / x.abs().max()
    elif what == "zero class weights":
        weight.data[:2] = 0
    elif what == "one class":
        labels = torch.zeros(4, dtype=torch.int64)
    if what.startswith("batch of one"):
        x, labels = (7 * unit if "class weight" in what else 0 * unit).unsqueeze(0), labels[:1]
    return x.to(dtype), labels


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("what", SITUATIONS)
@pytest.mark.parametrize("name", HEADS)
def test_loss_and_gradients_are_finite(name: str, what: str, dtype: torch.dtype) -> None:
    for parameters in {dtype, torch.float32}:  # all in half precision, and as autocast has it
        head = make(name).to(parameters)
        embedding, labels = situation(what, head, dtype)
        for margin in margins_of(name):
            x = embedding.clone().requires_grad_()
            head.zero_grad()
            loss = head(x, labels, margin)
            loss.backward()
            assert loss.dtype == torch.float32 and torch.isfinite(loss), margin
            assert x.grad.dtype == dtype and torch.isfinite(x.grad).all(), margin
            assert all(torch.isfinite(p.grad).all() for p in head.parameters()), margin


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", COSINE_HEADS)
def test_finite_at_one_and_an_ulp_beyond(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """±1, an ulp inside and an ulp beyond, as a product of unit vectors rounded to `dtype` can come out."""
    ulp = torch.finfo(dtype).eps
    edge = [1 + ulp, 1.0, 1 - ulp / 2, 0.0, -1 + ulp / 2, -1.0, -1 - ulp]
    head = make(name)
    x, labels = torch.randn(len(edge), E), torch.zeros(len(edge), dtype=torch.int64)
    for margin in margins_of(name):
        cosine = torch.zeros(len(edge), C)
        cosine[:, 0] = torch.tensor(edge)
        cosine.requires_grad_()
        monkeypatch.setattr(head, "cosines", lambda _, cosine=cosine: cosine)
        loss = head(x, labels, margin)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(cosine.grad).all(), margin


def test_rounding_does_pass_one() -> None:
    """The test above is not about nothing: cos of a vector and itself, as float32 computes it."""
    head = AMSoftmax(64, 1)
    x = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    cosines = []
    for row in x:
        head.weight.data = row.unsqueeze(0)
        cosines.append(head.cosines(row.unsqueeze(0)).item())
    assert max(cosines) > 1


def test_a_direction_is_exact_whatever_the_length() -> None:
    head = make("am")
    x = torch.randn(3, E)
    expected = head.cosines(x)
    for length in (2.0**-6, 2.0**60, 2.0**120):  # ‖x‖² of the last two overflows, or nearly
        torch.testing.assert_close(head.cosines(length * x), expected, rtol=1e-6, atol=1e-6)
    assert not head.cosines(torch.zeros(1, E)).any()  # no direction


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("form", ["am", *(f"aam-{b}" for b in BOUNDARIES)])
@pytest.mark.filterwarnings("ignore:m . β·p can reach")
def test_apm_is_finite_with_sure_unsure_and_absurd_phoneme_branches(form: str, preset: str, dtype: torch.dtype) -> None:
    kind, _, boundary = form.partition("-")
    torch.manual_seed(0)
    loss = APMSoftmax(E, C, form=kind, boundary=boundary or "linear", preset=preset, detach=False).to(dtype)
    assert isinstance(loss.head, CosineHead)
    largest = torch.finfo(dtype).max / 2
    sure = torch.zeros(4, 5, 7)
    sure[..., 2] = 1
    for batch in (4, 1):
        for logits in (0 * sure, largest * sure, -largest * sure, torch.randn(4, 5, 7)):
            embedding, labels = situation("on its class weight", loss.head, dtype)
            x = embedding[:batch].clone().requires_grad_()
            z = logits[:batch].to(dtype).requires_grad_()
            loss.zero_grad()
            value = loss(x, labels[:batch], z)
            value.backward()
            assert torch.isfinite(value) and torch.isfinite(x.grad).all() and torch.isfinite(z.grad).all()
            assert torch.isfinite(loss.head.weight.grad).all()
