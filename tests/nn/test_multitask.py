from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from isogloss.losses import Softmax
from isogloss.nn import EMBEDDING_KINDS, Embedder, MultitaskNetwork
from isogloss.types import IsoglossError


def num_parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.fixture
def network() -> MultitaskNetwork:
    """A small network whose batch statistics are not the initial ones."""
    torch.manual_seed(0)
    net = MultitaskNetwork(feature_dim=5, num_pdfs=7, width=32)
    net(torch.randn(4, 50, 5))
    return net.eval()


def test_the_papers_networks_have_its_number_of_parameters() -> None:
    head = Softmax(512, 10)
    assert num_parameters(MultitaskNetwork(), head) == 6_307_302
    assert num_parameters(MultitaskNetwork(num_pdfs=1507), head) == 7_868_361


def test_shapes_and_a_single_task_network_has_no_phone_logits(network: MultitaskNetwork) -> None:
    encoded = network(torch.randn(3, 20, 5))
    assert encoded.embedding.shape == (3, 32)
    assert encoded.phone_logits.shape == (3, 20, 7)
    assert encoded.phone_logits.is_contiguous()
    assert MultitaskNetwork(5, width=32)(torch.randn(3, 20, 5)).phone_logits is None
    assert network.language.tdnn5.affine.out_channels == round(1500 * 32 / 512)


def test_the_phoneme_branch_taps_the_encoder_and_not_the_language_branch(network: MultitaskNetwork) -> None:
    x = torch.randn(2, 20, 5, requires_grad=True)
    network(x).phone_logits.sum().backward()
    assert all(p.grad is None for p in network.language.parameters())
    assert all(p.grad is not None for p in network.encoder.parameters())


def test_the_three_embeddings_are_successive_steps(network: MultitaskNetwork) -> None:
    x = torch.randn(2, 20, 5)
    far, near_affine, near = (network.embed(x, kind=kind) for kind in EMBEDDING_KINDS)
    language = network.language
    torch.testing.assert_close(
        near_affine, language.tdnn7.affine(language.tdnn6.norm(far.relu().unsqueeze(2))).squeeze(2)
    )
    torch.testing.assert_close(near, language.tdnn7.norm(near_affine.relu()))
    torch.testing.assert_close(near, network(x).embedding)
    torch.testing.assert_close(network.embed(x), far)
    with pytest.raises(IsoglossError, match="far, near_affine, near"):
        network.embed(x, kind="middle")


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_padding_never_changes_an_embedding(network: MultitaskNetwork, kind: str) -> None:
    lengths = [40, 1, 17]
    mask = torch.arange(40)[None] < torch.tensor(lengths)[:, None]
    x = torch.randn(3, 40, 5)
    x[~mask] = float("nan")
    batched = network.embed(x, mask, kind)
    for n, length in enumerate(lengths):
        alone = network.embed(x[n : n + 1, :length], kind=kind)[0]
        torch.testing.assert_close(batched[n], alone, rtol=1e-5, atol=1e-5)


def test_padding_never_changes_phone_logits(network: MultitaskNetwork) -> None:
    x = torch.randn(2, 30, 5)
    mask = torch.arange(30)[None] < torch.tensor([[30], [12]])
    logits = network(x, mask).phone_logits
    torch.testing.assert_close(logits[1, :12], network(x[1:, :12]).phone_logits[0], rtol=1e-5, atol=1e-5)


def test_long_utterances_are_the_length_weighted_mean_of_equal_pieces(network: MultitaskNetwork) -> None:
    x = torch.randn(25, 5)
    with torch.no_grad():
        whole = network.embed(x[None])[0]
        torch.testing.assert_close(network.embed_long(x), whole)
        torch.testing.assert_close(network.embed_long(x, max_frames=25), whole)
        pieces = [network.embed(piece[None])[0] for piece in (x[:9], x[9:17], x[17:])]  # 25 frames ≤ 10 each: 9, 8, 8
        expected = (9 * pieces[0] + 8 * pieces[1] + 8 * pieces[2]) / 25
        torch.testing.assert_close(network.embed_long(x, max_frames=10), expected)
        kinds = ("near", "far", "near_affine")
        each = torch.stack([network.embed(x[None], kind=kind)[0] for kind in kinds])
        torch.testing.assert_close(network.embed_long_kinds(x, kinds), each)
    with pytest.raises(IsoglossError, match="0 frames"):
        network.embed_long(x[:0])


@pytest.mark.filterwarnings("ignore")  # the tracer warns of its own deprecation, and of shapes it reads
def test_the_embedder_exports_to_onnx_for_any_length_and_batch(network: MultitaskNetwork, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    embedder = Embedder(network).eval()
    path = str(tmp_path / "embedder.onnx")
    torch.onnx.export(
        embedder,
        (torch.randn(1, 30, 5),),
        path,
        dynamo=False,
        input_names=["features"],
        output_names=["embedding"],
        dynamic_axes={"features": {0: "batch", 1: "frames"}, "embedding": {0: "batch"}},
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in ((1, 30, 5), (1, 1, 5), (3, 211, 5)):
        x = torch.randn(shape)
        (out,) = session.run(None, {"features": x.numpy()})
        np.testing.assert_allclose(out, network.embed(x).detach().numpy(), atol=1e-5)


def test_bfloat16_autocast_stays_close(network: MultitaskNetwork) -> None:
    network.requires_grad_(False)
    x = torch.randn(2, 60, 5)
    exact = network.embed(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network.embed(x)
    assert float((rounded.float() - exact).norm() / exact.norm()) < 0.02
