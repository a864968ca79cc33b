import copy

import pytest
import torch
from torch import nn

from isogloss.nn import relu_norm as module
from isogloss.nn.relu_norm import relu_norm
from isogloss.types import IsoglossError


def made(num_rows: int = 50, channels: int = 6) -> tuple[torch.Tensor, nn.BatchNorm1d]:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(channels, momentum=0.5, affine=False)
    norm(torch.randn(20, channels))
    z = torch.randn(num_rows, channels) + torch.linspace(-1.5, 3, channels)  # from mostly cut off to hardly ever
    z[:, 0] = -1  # a dead channel
    return z, norm


@pytest.mark.parametrize("rows", [1, 7, 512], ids=["a row at a time", "ragged", "at once"])
@pytest.mark.parametrize("momentum", [0.5, None])
def test_value_gradient_and_buffers_are_those_of_relu_and_batch_norm(
    rows: int, momentum: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.SUMMED, torch.float32, rows)
    monkeypatch.setattr(module, "CACHED", rows)
    z, norm = made()
    norm.momentum = momentum
    plain, weights = copy.deepcopy(norm), torch.randn_like(z)
    ours, theirs = z.clone().requires_grad_(), z.clone().requires_grad_()

    y, reference = relu_norm(ours.clone(), norm), plain(torch.relu(theirs))
    (y * weights).sum().backward()
    (reference * weights).sum().backward()

    torch.testing.assert_close(y, reference, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], value)


def test_what_relu_cut_off_gets_no_gradient_and_the_rest_does_in_bfloat16_too() -> None:
    z, norm = made(2000)
    z = z.to(torch.bfloat16).requires_grad_()
    y = relu_norm(z.clone(), norm)
    (y.float() * torch.randn(y.shape)).sum().backward()
    assert y.dtype == z.grad.dtype == torch.bfloat16
    assert not z.grad[z <= 0].any()
    # an activation so small beside the mean that it rounds to what 0 becomes counts as 0
    assert float((z.grad[z > 0.05] != 0).float().mean()) > 0.99


def test_the_gradient_is_the_derivative() -> None:
    z, norm = made(12)
    norm.double()
    z = (z.double() + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: relu_norm(x.clone(), norm), (z,))


def test_statistics_of_many_rows_lose_no_digits() -> None:
    torch.manual_seed(0)
    z = torch.randn(60_000, 3)
    true = torch.relu(z.double())
    mean, variance = module._relu_and_statistics(z)
    torch.testing.assert_close(mean.double(), true.mean(dim=0), rtol=5e-7, atol=0)
    torch.testing.assert_close(variance.double(), true.var(dim=0, correction=0), rtol=2e-6, atol=0)


def test_another_batch_normalisation_is_called_itself() -> None:
    class Doubled(nn.BatchNorm1d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    z, norm = made()
    doubled = Doubled(6, affine=False)
    torch.testing.assert_close(relu_norm(z.clone(), doubled), 2 * relu_norm(z.clone(), norm))


def test_a_single_row_is_an_error() -> None:
    with pytest.raises(IsoglossError, match="single value per channel"):
        relu_norm(torch.zeros(1, 6), made()[1])
