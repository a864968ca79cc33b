"""Every encoder: its frames against plain loops in float64, what masks and widths do, and the papers' sizes."""

import numpy as np
import pytest
import torch
from torch import nn

from isogloss.nn import DTDNN, ECAPA, ENCODERS, POOLINGS, AttentiveStatisticsPooling, MultitaskNetwork, XVector
from isogloss.types import IsoglossError


def num_parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def made(name: str, width: int = 16) -> nn.Module:
    """An encoder whose batch statistics are not the initial ones."""
    torch.manual_seed(0)
    encoder = ENCODERS[name](4, width)
    encoder(torch.randn(6, 80, 4))
    return encoder.eval()


@pytest.mark.parametrize("name", ENCODERS)
def test_as_many_frames_out_as_in(name: str) -> None:
    encoder = made(name)
    for num_frames in (1, 2, 30):
        assert encoder(torch.randn(2, num_frames, 4)).shape == (2, encoder.out_dim, num_frames)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("training", [False, True])
def test_masked_frames_have_no_influence_not_even_nan(name: str, training: bool) -> None:
    encoder = made(name).train(training)
    lengths = torch.tensor([50, 9, 31])
    mask = torch.arange(50)[None] < lengths[:, None]
    x = torch.randn(3, 50, 4)
    polluted = x.masked_fill(~mask.unsqueeze(2), float("nan")).requires_grad_()
    state = {key: value.clone() for key, value in encoder.state_dict().items()}
    frames = encoder(polluted, mask)
    assert not frames.transpose(1, 2)[~mask].any()
    frames.square().sum().backward()
    assert torch.isfinite(polluted.grad).all()
    encoder.load_state_dict(state)
    torch.testing.assert_close(frames, encoder(x, mask))
    if not training:
        for n, length in enumerate(lengths):
            alone = encoder(x[n : n + 1, :length])[0]
            torch.testing.assert_close(frames[n, :, :length], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_features_of_another_front_end_are_an_error(name: str) -> None:
    with pytest.raises(IsoglossError, match=r"\[2, 5, 40\].*4"):
        made(name)(torch.zeros(2, 5, 40))


@pytest.mark.parametrize("name", ["ecapa", "dtdnn"])
def test_a_width_that_cannot_be_cut_is_an_error_that_names_another(name: str) -> None:
    with pytest.raises(IsoglossError, match=f"width 52 for {name}.*multiple of 8.*train.width=48"):
        ENCODERS[name](23, 52)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_encoder_and_pooling_makes_a_multitask_network(encoder: str, pooling: str) -> None:
    torch.manual_seed(0)
    network = MultitaskNetwork(4, 7, 16, ENCODERS[encoder], POOLINGS[pooling])
    x = torch.randn(3, 30, 4)
    encoded = network(x)
    assert encoded.embedding.shape == (3, 16) and encoded.phone_logits.shape == (3, 30, 7)
    (encoded.embedding.square().sum() + encoded.phone_logits.square().mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    mask = torch.arange(30)[None] < torch.tensor([30, 12, 5])[:, None]
    batched = network.embed(x.masked_fill(~mask.unsqueeze(2), float("nan")), mask)
    for n, length in enumerate((30, 12, 5)):
        torch.testing.assert_close(batched[n], network.embed_long(x[n, :length]), rtol=1e-4, atol=1e-5)
    halves = (network.embed(x[:1, :15])[0] + network.embed(x[:1, 15:])[0]) / 2
    torch.testing.assert_close(network.embed_long(x[0], max_frames=15), halves, rtol=1e-4, atol=1e-5)
    network.requires_grad_(False)
    exact = network.embed(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network.embed(x)
    assert float((rounded.float() - exact).norm() / exact.norm()) < 0.03


def tdnn(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    """[C, T]: each frame's affine over its neighbours, ReLU, normalised with the running statistics."""
    weight, bias = layer.affine.weight.detach().double().numpy(), layer.affine.bias.detach().double().numpy()
    taps, dilation = weight.shape[2], layer.affine.dilation[0]
    out = np.zeros((len(weight), x.shape[1]))
    for t in range(x.shape[1]):
        total = bias.copy()
        for tap in range(taps):
            at = t + (tap - taps // 2) * dilation
            if 0 <= at < x.shape[1]:
                total += weight[:, :, tap] @ x[:, at]
        out[:, t] = np.maximum(total, 0)
    mean, variance = (b.double().numpy()[:, None] for b in (layer.norm.running_mean, layer.norm.running_var))
    return (out - mean) / np.sqrt(variance + layer.norm.eps)


def gate(first: nn.Linear, second: nn.Linear, x: np.ndarray) -> np.ndarray:
    """[C', 1]: σ(W₂ ReLU(W₁ mean_t x))."""
    w1, b1, w2, b2 = (p.detach().double().numpy() for layer in (first, second) for p in (layer.weight, layer.bias))
    hidden = np.maximum(w1 @ x.mean(axis=1) + b1, 0)
    return (1 / (1 + np.exp(-(w2 @ hidden + b2))))[:, None]


def ecapa_in_loops(encoder: ECAPA, x: np.ndarray) -> np.ndarray:
    first = tdnn(encoder.tdnn1, x)
    outputs = []
    for block in encoder.blocks:
        into = first + sum(outputs)
        parts = np.split(tdnn(block.into, into), 8)
        for i in range(1, 8):
            parts[i] = tdnn(block.res2.layers[i - 1], parts[i] + (parts[i - 1] if i > 1 else 0))
        out = tdnn(block.out, np.concatenate(parts))
        outputs.append(into + out * gate(block.se.squeeze, block.se.excite, out))
    return tdnn(encoder.aggregate, np.concatenate(outputs))


def dtdnn_in_loops(encoder: DTDNN, x: np.ndarray) -> np.ndarray:
    x = tdnn(encoder.tdnn1, x)
    for number, layer in enumerate(encoder.layers):
        if number in (6, 19):  # behind the dense layers 0-5 and 7-18
            x = tdnn(layer, x)
        else:
            narrow = tdnn(layer.narrow, x)
            x = np.concatenate([x, tdnn(layer.grow, narrow) * gate(layer.context, layer.gate, narrow)])
    return x


@pytest.mark.parametrize(("name", "in_loops"), [("ecapa", ecapa_in_loops), ("dtdnn", dtdnn_in_loops)])
def test_frames_in_plain_loops(name: str, in_loops) -> None:
    encoder = made(name)
    x = torch.randn(1, 12, 4)
    expected = in_loops(encoder, x[0].T.double().numpy())
    assert np.abs(encoder(x)[0].detach().numpy() - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_x_vector_sees_seven_frames_to_each_side() -> None:
    encoder = made("xvector", width=32)
    x = torch.randn(1, 40, 4)
    nudged = x.clone()
    nudged[0, 20] += 10
    changed = (encoder(x) != encoder(nudged)).any(dim=1)[0].nonzero().squeeze(1)
    assert changed.tolist() == list(range(20 - 7, 20 + 7 + 1))


def test_the_x_vector_has_the_papers_4_2_million_parameters() -> None:
    """Snyder et al. 2018, table 1: 24 filter banks, without segment7 and softmax; weights alone are 4,200,448."""
    network = MultitaskNetwork(24, encoder=XVector)
    biases = 4 * 512 + 1500 + 512
    assert num_parameters(network) - num_parameters(network.language.tdnn7) == 4_200_448 + biases


def test_ecapa_has_the_papers_6_2_million_parameters() -> None:
    """Desplanques et al. 2020, table 1: C = 512, 80 inputs, pooling of 1536 channels, embedding of 192."""
    encoder = ECAPA(80, 512)
    whole = num_parameters(encoder, AttentiveStatisticsPooling(encoder.out_dim), nn.Linear(2 * encoder.out_dim, 192))
    assert round(whole / 1e6, 1) == 6.2


def test_dtdnn_has_the_papers_2_8_million_parameters() -> None:
    """Yu & Li 2020: 30 inputs, embedding of 512; D-TDNN has no masks, whose layers are left out here."""
    encoder = DTDNN(30, 512)
    masks = num_parameters(
        *(m for layer in encoder.layers if hasattr(layer, "gate") for m in (layer.gate, layer.context))
    )
    weights = sum(p.numel() for p in encoder.parameters() if p.dim() > 1) - sum(
        layer.gate.weight.numel() + layer.context.weight.numel() for layer in encoder.layers if hasattr(layer, "gate")
    )
    assert weights + 2 * 512 * 512 == 2_796_288
    assert round((num_parameters(encoder) - masks + 2 * 512 * 512) / 1e6, 1) == 2.8
