"""The fast network and a plain one, Conv1d, ReLU, BatchNorm1d, var and Linear as they stand in torch, give the same numbers."""

import copy

import pytest
import torch
from torch import nn

from isogloss.nn import MultitaskNetwork, TDNNLayer


class Plain(nn.Module):
    """The layers of a network, called one after the other."""

    def __init__(self, network: MultitaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        network = self.network
        frames = layers(network.encoder.children(), features.transpose(1, 2))
        wide = layers([network.language.tdnn5], frames)
        pooled = torch.cat([wide.mean(2), wide.var(2, correction=0).clamp_min(1e-10).sqrt()], dim=1).unsqueeze(2)
        embedding = layers([network.language.tdnn6, network.language.tdnn7], pooled).squeeze(2)
        phone = layers(list(network.phone.children())[:3], frames)
        return embedding, network.phone.output(phone.transpose(1, 2))


def layers(of, x: torch.Tensor) -> torch.Tensor:
    for layer in of:
        x = layer.norm(torch.relu(layer.affine(x)))
    return x


def pair(width: int = 32) -> tuple[MultitaskNetwork, Plain, torch.Tensor]:
    torch.manual_seed(6)  # one in which rounding turns no ReLU over
    network = MultitaskNetwork(feature_dim=5, num_pdfs=7, width=width)
    # utterances that differ: of equal ones, batch normalisation of the segments would blow up the rounding
    return network, Plain(copy.deepcopy(network)), 2 * torch.randn(32, 1, 5) + torch.randn(32, 25, 5)


def distance(out: torch.Tensor, true: torch.Tensor) -> float:
    return float((out.detach().double() - true.detach()).norm())


def gradients(module: nn.Module, embedding: torch.Tensor, logits: torch.Tensor) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    weights = (torch.randn(out.shape, generator=generator).to(out.dtype) for out in (embedding, logits))
    total = sum((out * weight).sum() for out, weight in zip((embedding, logits), weights, strict=True))
    return list(torch.autograd.grad(total, list(module.parameters())))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_training_gives_the_plain_networks_outputs_gradients_and_statistics(
    dtype: torch.dtype, tolerance: float
) -> None:
    network, plain, x = pair()
    network, plain, x = network.to(dtype), plain.to(dtype), x.to(dtype)

    encoded = network(x)
    embedding, logits = plain(x)
    ours = [encoded.embedding, encoded.phone_logits]
    ours += gradients(network, encoded.embedding, encoded.phone_logits)
    theirs = [embedding, logits, *gradients(plain, embedding, logits)]
    for own, reference in zip(ours, theirs, strict=True):
        assert distance(own, reference) <= tolerance * float(reference.detach().norm())
    for name, value in plain.network.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=tolerance, atol=tolerance)


def test_evaluation_gives_them_too() -> None:
    network, plain, x = pair()
    network(x), plain(x)
    encoded, (embedding, logits) = network.eval()(x), plain.eval()(x)
    torch.testing.assert_close(encoded.embedding, embedding, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoded.phone_logits, logits, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_as_far_from_float64_as_the_plain_network_is() -> None:
    network, plain, x = pair(64)
    exact = copy.deepcopy(plain).double()
    truth = exact(x.double())
    with torch.autocast("cpu", torch.bfloat16):
        encoded, outputs = network(x), plain(x)
    for own, other, true in zip((encoded.embedding, encoded.phone_logits), outputs, truth, strict=True):
        assert own.dtype == torch.bfloat16
        assert distance(own, true) < 1.3 * distance(other, true)


def test_a_layer_in_training_is_the_plain_one_for_one_frame_and_for_an_input_of_any_layout() -> None:
    torch.manual_seed(0)
    layer = TDNNLayer(4, 6, (-2, 0, 2))
    for x in (
        torch.randn(9, 4, 1),
        torch.randn(3, 4, 8),
        torch.randn(3, 8, 4).transpose(1, 2),
        torch.randn(3, 8, 8)[:, ::2],
    ):
        plain = copy.deepcopy(layer)
        torch.testing.assert_close(layer(x), layers([plain], x), rtol=1e-5, atol=1e-5)


def test_the_names_in_a_checkpoint_stay() -> None:
    names = MultitaskNetwork(5, 7, 32).state_dict().keys()
    norm = {f"norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    parts = {"affine.weight", "affine.bias"} | norm
    encoder = ("tdnn1", "ex1", "tdnn2", "ex2", "tdnn3", "ex3", "ex4", "ex5", "tdnn4")
    branches = [f"{branch}.tdnn{number}" for branch in ("phone", "language") for number in (5, 6, 7)]
    expected = {f"{layer}.{part}" for layer in [*(f"encoder.{name}" for name in encoder), *branches] for part in parts}
    assert set(names) == expected | {"phone.output.weight", "phone.output.bias"}
