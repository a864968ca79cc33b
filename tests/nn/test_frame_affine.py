import pytest
import torch
from torch import nn

from isogloss.nn import frame_affine as module
from isogloss.nn.frame_affine import frame_affine


def made(taps: int, dilation: int, in_dim: int = 6, out_dim: int = 5) -> tuple[nn.Conv1d, torch.Tensor]:
    torch.manual_seed(0)
    plain = nn.Conv1d(in_dim, out_dim, taps, dilation=dilation, padding=dilation * (taps - 1) // 2)
    return plain, torch.randn(3, 20, in_dim)


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 2), (3, 4), (5, 1)])
def test_it_is_conv1d_in_value_and_gradient(taps: int, dilation: int) -> None:
    plain, x = made(taps, dilation)
    weights = torch.randn(3, 20, 5)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()

    z = frame_affine(ours, plain.weight, plain.bias, dilation)
    assert z.is_contiguous()
    of_ours = torch.autograd.grad((z * weights).sum(), [ours, plain.weight, plain.bias])
    reference = plain(theirs.transpose(1, 2)).transpose(1, 2)
    of_theirs = torch.autograd.grad((reference * weights).sum(), [theirs, plain.weight, plain.bias])

    torch.testing.assert_close(z, reference, rtol=1e-5, atol=1e-5)
    for own, their in zip(of_ours, of_theirs, strict=True):
        torch.testing.assert_close(own, their, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 2)])
def test_its_gradient_is_the_derivative(taps: int, dilation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.ROWS, torch.float64, 7)  # 60 rows in ragged parts
    plain, x = made(taps, dilation)
    plain.double()
    inputs = (x.double().requires_grad_(), plain.weight, plain.bias)
    assert torch.autograd.gradcheck(lambda *of: frame_affine(*of, dilation), inputs)


@pytest.mark.parametrize(("taps", "dilation", "ins", "outs"), [(1, 1, 32, 64), (1, 1, 64, 32), (3, 2, 32, 64)])
def test_under_autocast_it_is_conv1d_under_autocast(taps: int, dilation: int, ins: int, outs: int) -> None:
    plain, x = made(taps, dilation, ins, outs)
    x.requires_grad_()
    weights = torch.randn(3, 20, outs)
    exact = torch.autograd.grad(
        (plain(x.transpose(1, 2)).transpose(1, 2) * weights).sum(), [x, plain.weight, plain.bias]
    )
    with torch.autocast("cpu", torch.bfloat16):
        z = frame_affine(x, plain.weight, plain.bias, dilation)
    assert z.dtype == torch.bfloat16
    gradients = torch.autograd.grad((z.float() * weights).sum(), [x, plain.weight, plain.bias])
    for own, true in zip(gradients, exact, strict=True):
        assert own.dtype == torch.float32
        assert float((own - true).norm() / true.norm()) < 5e-3


def test_features_that_need_no_gradient_get_none() -> None:
    plain, x = made(3, 2)
    frame_affine(x, plain.weight, plain.bias, 2).sum().backward()
    assert x.grad is None and plain.weight.grad is not None
