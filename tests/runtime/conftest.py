"""A model small enough to be recomputed by hand: RMS pooling and one matrix, then a linear head."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from isogloss.backends import Head
from isogloss.config import FrontEndConfig
from isogloss.runtime import Identifier, read_model_file, write_model_file

LANGUAGES = ["cmn", "eng", "kaz"]
FRONT_END = FrontEndConfig(pitch=False)
EMBEDDING_DIM = 4
WEIGHT = np.random.default_rng(1).normal(0, 1, (FRONT_END.dim, EMBEDDING_DIM)).astype(np.float32)
CLASSES = np.random.default_rng(2).normal(0, 0.3, (EMBEDDING_DIM, len(LANGUAGES)))


def network(
    num_frames: int | str = "T", dim: int = FRONT_END.dim, embedding_dim: int = EMBEDDING_DIM, gain: float = 1
) -> bytes:
    """[1, T, D] → sqrt(mean over T of x²)·(gain·W) [1, E]: like statistics pooling, not linear in the frames."""
    weight = np.float32(gain) * np.resize(WEIGHT, (dim, embedding_dim))
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["features", "features"], ["squared"]),
            helper.make_node("ReduceMean", ["squared"], ["power"], axes=[1], keepdims=0),
            helper.make_node("Sqrt", ["power"], ["rms"]),
            helper.make_node("MatMul", ["rms", "weight"], ["embedding"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, num_frames, dim])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, embedding_dim])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def tiny():
    """The numbers of the tiny model, for tests that recompute it."""
    return SimpleNamespace(
        languages=LANGUAGES,
        front_end=FRONT_END,
        embedding_dim=EMBEDDING_DIM,
        weight=WEIGHT,
        classes=CLASSES,
        network=network,
    )


@pytest.fixture
def write_tiny(tmp_path):
    """Write a model file; keywords replace parts of the tiny model."""

    def write(**changed):
        parts = {
            "languages": LANGUAGES,
            "front_end": FRONT_END,
            "embedding": "far",
            "embedding_dim": EMBEDDING_DIM,
            "backend": "head",
            "network": network(),
            "backend_state": Head(LANGUAGES, CLASSES.T).state(),
            "provenance": {"corpus": "none", "licence": "Apache-2.0"},
        }
        return write_model_file(tmp_path / "tiny.isogloss", **{**parts, **changed})

    return write


@pytest.fixture
def identifier(write_tiny):
    return Identifier(read_model_file(write_tiny()))
