import math

import pytest
import torch

from isogloss.nn import statistics_pooling
from isogloss.types import IsoglossError


def test_mean_and_biased_std_in_a_plain_loop() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, dtype=torch.float64) * 3 + 5
    pooled = statistics_pooling(x)
    assert pooled.shape == (2, 6)
    for n in range(2):
        for c in range(3):
            values = [float(v) for v in x[n, c]]
            mean = sum(values) / 7
            variance = sum((v - mean) ** 2 for v in values) / 7
            assert float(pooled[n, c]) == pytest.approx(mean)
            assert float(pooled[n, 3 + c]) == pytest.approx(math.sqrt(max(variance, 1e-10)))


def test_a_constant_channel_has_the_floor_as_std_however_far_from_zero() -> None:
    x = torch.full((1, 2, 1000), 1000.1)
    std = statistics_pooling(x)[0, 2:]
    # float32 rounds the mean of a thousand equal numbers by some 1e-4; E[x²] − E[x]² would be off by 0.1 and more.
    assert float(std.max()) < 1e-3
    assert float(statistics_pooling(torch.full((1, 1, 64), -3.0))[0, 1]) == pytest.approx(1e-5)


def test_the_gradient_is_that_of_the_formula_though_the_mean_is_detached() -> None:
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(statistics_pooling, (x,))
    mask = torch.arange(6)[None] < torch.tensor([[6], [4]])
    assert torch.autograd.gradcheck(lambda y: statistics_pooling(y, mask), (x,))


@pytest.mark.parametrize("x", [torch.zeros(1, 4, 10), torch.full((1, 4, 1), 2.0)])
def test_no_variance_gives_finite_gradients(x: torch.Tensor) -> None:
    x = x.clone().requires_grad_()
    statistics_pooling(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_masked_frames_have_no_influence_not_even_nan() -> None:
    x = torch.randn(2, 3, 9)
    mask = torch.arange(9)[None] < torch.tensor([[9], [5]])
    polluted = x.clone()
    polluted[1, :, 5:] = float("nan")
    pooled = statistics_pooling(polluted, mask)
    torch.testing.assert_close(pooled[1:], statistics_pooling(x[1:, :, :5]))
    torch.testing.assert_close(pooled[:1], statistics_pooling(x[:1]))


def test_half_precision_frames_are_pooled_in_float32() -> None:
    x = torch.randn(2, 3, 300).to(torch.bfloat16)
    torch.testing.assert_close(statistics_pooling(x), statistics_pooling(x.float()), rtol=0, atol=0)


def test_an_utterance_without_a_frame_is_an_error() -> None:
    with pytest.raises(IsoglossError, match="utterance 1 of the batch has no real frame"):
        statistics_pooling(torch.zeros(2, 3, 4), torch.tensor([[True] * 4, [False] * 4]))
