import math

import pytest
import torch

from isogloss.nn import AttentiveStatisticsPooling, statistics_pooling
from isogloss.types import IsoglossError


@pytest.fixture
def pooling() -> AttentiveStatisticsPooling:
    """One whose weights differ from frame to frame."""
    torch.manual_seed(0)
    made = AttentiveStatisticsPooling(3, bottleneck=4).double()
    torch.nn.init.normal_(made.score.weight)
    torch.nn.init.normal_(made.score.bias)
    return made.requires_grad_(False)


def test_weighted_mean_and_std_in_a_plain_loop(pooling: AttentiveStatisticsPooling) -> None:
    x = torch.randn(2, 3, 7, dtype=torch.float64) * 2 + 1
    pooled = pooling(x)
    assert pooled.shape == (2, 6)
    w = torch.cat([pooling.frame.weight, pooling.context.weight], dim=1)  # [4, 9]: one affine of [h_t; mean; std]
    for n in range(2):
        plain = statistics_pooling(x[n : n + 1])[0]
        scores = [
            pooling.score(torch.tanh(w @ torch.cat([x[n, :, t], plain]) + pooling.frame.bias)).tolist()
            for t in range(7)
        ]
        for c in range(3):
            weights = [math.exp(score[c]) for score in scores]
            values = [float(v) for v in x[n, c]]
            mean = sum(a * v for a, v in zip(weights, values, strict=True)) / sum(weights)
            square = sum(a * (v - mean) ** 2 for a, v in zip(weights, values, strict=True)) / sum(weights)
            assert float(pooled[n, c]) == pytest.approx(mean)
            assert float(pooled[n, 3 + c]) == pytest.approx(math.sqrt(square))


@pytest.mark.parametrize("mask", [None, torch.arange(20)[None] < torch.tensor([[20], [11]])])
def test_an_untrained_one_is_statistics_pooling(mask: torch.Tensor | None) -> None:
    x = torch.randn(2, 5, 20) * 3 + 2
    torch.testing.assert_close(AttentiveStatisticsPooling(5)(x, mask), statistics_pooling(x, mask))


def test_the_gradient_is_that_of_the_formula_though_the_mean_is_detached(pooling: AttentiveStatisticsPooling) -> None:
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pooling, (x,))
    mask = torch.arange(6)[None] < torch.tensor([[6], [4]])
    assert torch.autograd.gradcheck(lambda y: pooling(y, mask), (x,))
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)  # of the weights' scores

    def by_scale(factor: torch.Tensor) -> torch.Tensor:
        weight = {"score.weight": pooling.score.weight * factor}
        return torch.func.functional_call(pooling, weight, (x.detach(),))

    assert torch.autograd.gradcheck(by_scale, (scale,))


@pytest.mark.parametrize(
    ("x", "largest"),
    [(torch.zeros(1, 3, 10), 1.01e-5), (torch.full((1, 3, 1), 2.0), 1.01e-5), (torch.full((1, 3, 1000), 1000.1), 1e-3)],
)
def test_no_variance_gives_the_floor_and_finite_gradients(
    pooling: AttentiveStatisticsPooling, x: torch.Tensor, largest: float
) -> None:
    x = x.clone().requires_grad_()
    pooled = pooling.float()(x)
    assert bool(((pooled[0, 3:] > 0.99e-5) & (pooled[0, 3:] < largest)).all())
    pooled.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_masked_frames_have_no_influence_not_even_nan(pooling: AttentiveStatisticsPooling) -> None:
    x = torch.randn(2, 3, 9, dtype=torch.float64)
    mask = torch.arange(9)[None] < torch.tensor([[9], [5]])
    polluted = x.masked_fill(~mask.unsqueeze(1), float("nan")).requires_grad_()
    pooled = pooling(polluted, mask)
    torch.testing.assert_close(pooled[1:], pooling(x[1:, :, :5]))
    torch.testing.assert_close(pooled[:1], pooling(x[:1]))
    pooled.sum().backward()
    assert torch.isfinite(polluted.grad).all() and not polluted.grad[1, :, 5:].any()


def test_half_precision_frames_are_pooled_in_float32(pooling: AttentiveStatisticsPooling) -> None:
    pooling = pooling.float()
    x = torch.randn(2, 3, 300).to(torch.bfloat16)
    torch.testing.assert_close(pooling(x), pooling(x.float()), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = pooling(x)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, pooling(x), rtol=0.02, atol=0.02)


def test_an_utterance_without_a_frame_is_an_error(pooling: AttentiveStatisticsPooling) -> None:
    with pytest.raises(IsoglossError, match="utterance 1 of the batch has no real frame"):
        pooling.float()(torch.zeros(2, 3, 4), torch.tensor([[True] * 4, [False] * 4]))
