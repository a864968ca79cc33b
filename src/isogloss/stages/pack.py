"""Model + back end → one file: network as ONNX, back end, front-end options, labels. Read by `isogloss.load`."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isogloss.nn.multitask import Embedder
from isogloss.runtime.model_file import write_model_file
from isogloss.stages.backend import EMBEDDING_OF, read_backend
from isogloss.stages.calibrate import read_calibration
from isogloss.stages.validation import calibration_of
from isogloss.training import trained
from isogloss.types import IsoglossError

MAX_DIFFERENCE = 1e-3  # between the network and its ONNX form, relative to the embedding's largest value


def pack(
    model: Path,
    backends: Path,
    out: Path,
    backend: str,
    provenance: dict[str, Any] | None = None,
    calibration: Path | None = None,
) -> Path:
    """Write `out` (x.isogloss) with the back end called `backend`; the export is checked against the network first.

    calibration: folder that `calibrate` made of this back end's scores, with its open-set threshold if it has one; on top of
    what the validation utterances gave, as the scores were.
    """
    network = trained.load(model)
    fitted = read_backend(backends / f"{backend}.npz")
    kind = EMBEDDING_OF[backend]
    own = calibration_of(backends, backend)
    calibrated, open_set = read_calibration(own) if own.exists() else (None, None)
    if calibration is not None:
        further, open_set = read_calibration(calibration)
        if further.languages != list(fitted.languages):
            raise IsoglossError(
                f"{calibration} calibrates {', '.join(further.languages)}, but {backend} scores "
                f"{', '.join(fitted.languages)}; calibrate the scores of this back end"
            )
        calibrated = further if calibrated is None else calibrated.then(further)
    return write_model_file(
        out,
        languages=fitted.languages,
        front_end=network.info.front_end,
        embedding=kind,
        embedding_dim=network.network.embedding_dim,
        backend=backend,
        network=to_onnx(Embedder(network.network, kind).eval(), network.info.front_end.dim),
        backend_state=fitted.state(),
        calibration_state=None if calibrated is None else calibrated.state(),
        open_set=None if open_set is None else open_set.to_dict(),
        provenance={"system": network.info.system, "phones": network.info.phones, **(provenance or {})},
    )


def to_onnx(embedder: torch.nn.Module, feature_dim: int) -> bytes:
    """features [1, T, D] → embedding [1, E], any T, as ONNX bytes; compared with the module at two lengths."""
    import onnxruntime

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch would rather have dynamo=True, which takes ten seconds for the same graph
        torch.onnx.export(
            embedder,
            (torch.randn(1, 200, feature_dim),),
            buffer,  # type: ignore[arg-type]  # the signature leaves out what the exporter takes
            dynamo=False,
            opset_version=17,
            input_names=["features"],
            output_names=["embedding"],
            dynamic_axes={"features": {1: "frames"}},
        )
    network = buffer.getvalue()
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    for num_frames in (37, 350):
        frames = torch.randn(1, num_frames, feature_dim)
        with torch.no_grad():
            expected = embedder(frames).numpy()
        (got,) = session.run(None, {"features": frames.numpy()})
        difference = float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-6))
        if not difference <= MAX_DIFFERENCE:
            raise IsoglossError(
                f"the exported network differs from the trained one by {difference:.2g} at {num_frames} frames; it was not packed"
            )
    return network
