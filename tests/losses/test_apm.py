import math

import pytest
import torch

from isogloss.losses import PRESETS, AAMSoftmax, AMSoftmax, APMSoftmax
from isogloss.types import IsoglossError

B, T, E, K, C = 4, 5, 6, 7, 3


def sample() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, E, generator=generator, dtype=torch.float64)
    z = 2 * torch.randn(B, T, K, generator=generator, dtype=torch.float64)
    return x, torch.tensor([0, 1, 2, 2]), z


@pytest.mark.parametrize("form", ["am", "aam"])
def test_apm_is_eq_12_to_16_with_p_normalised_over_the_batch(form: str) -> None:
    loss = APMSoftmax(E, C, form=form, preset="paper").double()
    x, y, z = sample()
    mean_posterior = [sum(float(z[i, t].softmax(0).max()) for t in range(T)) / T for i in range(B)]  # eq. 13
    expected = 0.0
    for i in range(B):
        P = 0.2 + 10 * mean_posterior[i] / sum(mean_posterior)  # eq. 12
        W = loss.head.weight.detach()
        theta = [math.acos(float(W[j] @ x[i] / W[j].norm() / x[i].norm())) for j in range(C)]
        if form == "am":
            rho = math.cos(theta[y[i]]) - P  # eq. 15
        elif theta[y[i]] + P <= math.pi:
            rho = math.cos(theta[y[i]] + P)  # eq. 16
        else:
            assert 2.34 < P < math.pi
            rho = math.cos(theta[y[i]]) - 1 + math.cos(P)  # the boundary rule
        others = sum(math.exp(30 * math.cos(theta[j])) for j in range(C) if j != y[i])
        expected -= math.log(math.exp(30 * rho) / (math.exp(30 * rho) + others)) / B  # eq. 14
    assert loss(x, y, z).item() == pytest.approx(expected)


@pytest.mark.parametrize("batch", [1, 2, B])
def test_by_default_the_mean_margin_is_that_of_table_1_in_a_batch_of_any_size(batch: int) -> None:
    loss = APMSoftmax(E, C)
    assert float(loss.margin(sample()[2][:batch]).total.mean()) == pytest.approx(0.22)


@pytest.mark.parametrize("form", ["am", "aam"])
@pytest.mark.parametrize("preset", PRESETS)
def test_beta_zero_is_the_constant_margin_to_the_bit(form: str, preset: str) -> None:
    loss = APMSoftmax(E, C, form=form, m=0.3, beta=0.0, preset=preset)
    x, y, z = (t.float() if t.is_floating_point() else t for t in sample())
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    aware, constant = loss(ours, y, z), loss.head(theirs, y, 0.3)
    aware.backward()
    constant.backward()
    assert torch.equal(aware, constant) and torch.equal(ours.grad, theirs.grad)


def test_apm_is_a_head_and_a_margin_and_nothing_else() -> None:
    for form, head in (("am", AMSoftmax), ("aam", AAMSoftmax)):
        loss = APMSoftmax(E, C, form, m=0.1, beta=2.0, scale=20.0, preset="literal", max_margin=0.5)
        x, y, z = sample()
        assert isinstance(loss.head, head)
        torch.testing.assert_close(loss(x, y, z), loss.head(x, y, loss.margin(z).total))
        assert float(loss.margin(z).total.max()) == 0.5
        assert [name for name, _ in loss.named_parameters()] == ["head.weight"]


def test_the_margin_is_off_in_evaluation() -> None:
    loss = APMSoftmax(E, C).eval()
    x, y, z = sample()
    torch.testing.assert_close(loss(x, y, z), torch.nn.functional.cross_entropy(loss.head.logits(x), y))
    torch.testing.assert_close(loss(x, y), loss(x, y, z))  # nor are phoneme logits needed


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.filterwarnings("ignore:m . β·p can reach")
def test_a_margin_past_pi_costs(preset: str) -> None:
    """In a batch of two the paper's reading has P near 5, eq. 13 as printed up to 10: never a loss below that without margin."""
    loss = APMSoftmax(E, C, form="aam", preset=preset)
    x, y, z = (t[:2].float() if t.is_floating_point() else t[:2] for t in sample())
    assert loss(x, y, z).item() > loss.head(x, y).item()
    if preset != "literal_scaled":
        assert loss.margin(z).total.max() > math.pi


@pytest.mark.parametrize("form", ["am", "aam"])
def test_padded_frames_are_masked(form: str) -> None:
    loss = APMSoftmax(E, C, form=form, preset="literal", beta=0.1).double()
    x, y, z = sample()
    padded = torch.cat([z, 9 * torch.eye(K, dtype=z.dtype).expand(B, K, K)], dim=1)  # K frames of a branch that is sure
    mask = torch.arange(T + K).expand(B, -1) < T
    torch.testing.assert_close(loss(x, y, padded, mask), loss(x, y, z))
    assert loss(x, y, padded) > loss(x, y, z) + 0.1


def test_without_phoneme_logits_training_is_an_error() -> None:
    x, y, _ = sample()
    with pytest.raises(IsoglossError, match="without phoneme logits"):
        APMSoftmax(E, C).double()(x, y)


def test_unknown_names_are_errors() -> None:
    with pytest.raises(IsoglossError, match="form 'arc'; expected one of am, aam"):
        APMSoftmax(E, C, form="arc")
    for form in ("am", "aam"):
        with pytest.raises(IsoglossError, match="boundary 'hard'; expected one of linear"):
            APMSoftmax(E, C, form=form, boundary="hard")
    with pytest.raises(IsoglossError, match="literal_scaled"):
        APMSoftmax(E, C, preset="printed")
