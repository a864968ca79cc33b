"""Every encoder and pooling as ONNX, run by what the runtime runs."""

import numpy as np
import pytest
import torch

from isogloss.nn import EMBEDDING_KINDS, ENCODERS, POOLINGS, Embedder, MultitaskNetwork
from isogloss.stages.pack import to_onnx


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_exported_network_is_the_trained_one_at_any_length(encoder, pooling):
    import onnxruntime

    torch.manual_seed(0)
    network = MultitaskNetwork(5, None, 16, ENCODERS[encoder], POOLINGS[pooling])
    if pooling == "attentive":
        torch.nn.init.normal_(network.language.pooling.score.weight)
    network(torch.randn(8, 60, 5))  # batch statistics other than the initial ones
    network.eval()
    kind = EMBEDDING_KINDS[len(encoder) % 3]
    session = onnxruntime.InferenceSession(to_onnx(Embedder(network, kind).eval(), 5))
    for num_frames in (1, 37, 701):
        frames = torch.randn(1, num_frames, 5)
        with torch.no_grad():
            expected = network.embed(frames, kind=kind).numpy()
        (got,) = session.run(None, {"features": frames.numpy()})
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))
