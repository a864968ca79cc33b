import math

import pytest
import torch

from isogloss.nn import TDNNLayer
from isogloss.types import IsoglossError


@pytest.mark.parametrize("offsets", [(0,), (-2, -1, 0, 1, 2), (-2, 0, 2), (-3, 0, 3), (-4, 0, 4)])
def test_a_layer_is_affine_over_its_offsets_then_relu_then_batch_norm(offsets: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = TDNNLayer(3, 4, offsets).double()
    torch.nn.init.normal_(layer.affine.bias)
    x = torch.randn(2, 3, 9, dtype=torch.float64)
    W, b = layer.affine.weight.detach(), layer.affine.bias.detach()

    activation = torch.zeros(2, 4, 9, dtype=torch.float64)
    for n in range(2):
        for c in range(4):
            for t in range(9):
                total = float(b[c])
                for tap, offset in enumerate(offsets):
                    if 0 <= t + offset < 9:  # zeros beyond both ends
                        total += sum(float(W[c, d, tap]) * float(x[n, d, t + offset]) for d in range(3))
                activation[n, c, t] = max(total, 0.0)
    mean = activation.mean(dim=(0, 2), keepdim=True)
    variance = (activation - mean).square().mean(dim=(0, 2), keepdim=True)

    torch.testing.assert_close(layer(x), (activation - mean) / (variance + 1e-5).sqrt())


def test_batch_norm_has_no_parameters_and_moves_half_way_per_batch() -> None:
    layer = TDNNLayer(2, 3)
    x = torch.randn(4, 2, 50)
    layer(x)
    activation = torch.relu(layer.affine(x)).detach()
    assert list(layer.norm.parameters()) == []
    torch.testing.assert_close(layer.norm.running_mean, 0.5 * activation.mean(dim=(0, 2)))  # from 0


def test_the_initial_bound_is_that_of_the_full_kernel() -> None:
    layer = TDNNLayer(200, 100, (-4, 0, 4))
    bound = math.sqrt(2) * math.sqrt(3 / (100 * 9))  # kaiming-uniform, gain √2, fan-out 100 channels × 9 frames
    assert 0.99 * bound < layer.affine.weight.abs().max().item() <= bound
    assert not layer.affine.bias.any()


def test_padding_does_not_enter_the_batch_statistics_in_training() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 20)
    padded = torch.cat([x, torch.zeros(1, 3, 15)], dim=2)
    mask = torch.arange(35)[None] < 20
    alone, batched = TDNNLayer(3, 5, (-2, 0, 2)), TDNNLayer(3, 5, (-2, 0, 2))
    batched.load_state_dict(alone.state_dict())

    out = batched(padded, mask)

    torch.testing.assert_close(out[:, :, :20], alone(x))
    assert not out[:, :, 20:].any()
    torch.testing.assert_close(batched.norm.running_var, alone.norm.running_var)


@pytest.mark.parametrize("offsets", [(-1, 0, 2), (0, 1), (2, 0, -2), (-2, -1, 1, 2), ()])
def test_offsets_that_no_dilated_convolution_has_are_refused(offsets: tuple[int, ...]) -> None:
    with pytest.raises(IsoglossError, match="evenly spaced"):
        TDNNLayer(2, 2, offsets)
