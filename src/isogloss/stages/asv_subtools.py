"""A checkpoint of ASV-Subtools → model/, as if `train` had made it: extract, backend and pack go on from there."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from isogloss.config import FrontEndConfig, TrainConfig
from isogloss.nn.asv_subtools import from_asv_subtools
from isogloss.stages.ledger import done, stamp
from isogloss.systems import System
from isogloss.training import trained
from isogloss.types import IsoglossError


def import_asv_subtools(
    checkpoint: Path,
    out: Path,
    languages: Sequence[str],
    front_end: FrontEndConfig | None = None,
    margin: Literal["am", "aam"] = "am",
) -> Path:
    """Write model.safetensors and model.json of a state dict that ASV-Subtools saved (N.params); returns `out`.

    languages: names of the output layer's classes, in their order. margin: which loss a margin network was trained with; for
    scores it is all one. front_end: what the network was trained on, for the checkpoint does not say.

    Errors: IsoglossError for a file that is no state dict, for a network that is none of ours, and for languages or a front
    end of another size than its.
    """
    front_end = front_end or FrontEndConfig()
    imported = from_asv_subtools(_read(checkpoint))
    network, num_classes = imported.network, len(imported.head_weight)
    if len(set(languages)) != len(languages) or len(languages) != num_classes:
        raise IsoglossError(
            f"{len(set(languages))} languages for an output layer of {num_classes} classes; expected one different name each, in "
            "the order of the numbers that the recipe gave them (its utt2spk or spk2int)"
        )
    if front_end.dim != network.encoder.feature_dim:
        raise IsoglossError(
            f"the network takes {network.encoder.feature_dim} dimensions, the front end makes {front_end.dim}; say with --set "
            "what it was trained on, such as num_ceps=23 pitch=false"
        )
    num_pdfs = None if network.phone is None else network.phone.output.out_features
    head = "softmax" if imported.head_bias is not None else margin
    system = System(
        "asv-subtools",
        f"{checkpoint.name} of ASV-Subtools",
        head,
        num_pdfs is not None,
        0.0 if head == "softmax" else 0.2,
    )
    train = TrainConfig(width=network.embedding_dim, encoder=imported.encoder)  # type: ignore[arg-type]  # a key of ENCODERS
    _, loss = trained.build(system, train, front_end.dim, num_classes, num_pdfs)
    head_state = {"weight": imported.head_weight}
    if imported.head_bias is not None:
        head_state = {"affine.weight": imported.head_weight, "affine.bias": imported.head_bias}
    loss.head.load_state_dict(head_state)
    info = trained.ModelInfo(
        system=asdict(system), languages=list(languages), num_pdfs=num_pdfs, front_end=front_end, train=train
    )
    out.mkdir(parents=True, exist_ok=True)
    trained.save(out, network, loss.head, info)
    source = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    work = stamp("asv-subtools", front_end, languages=list(languages), head=head, source=source)
    return done(out, work, source=checkpoint.name, sha256=source)


def _read(checkpoint: Path) -> dict[str, Tensor]:
    if not checkpoint.is_file():
        raise IsoglossError(f"{checkpoint} is no file; expected a checkpoint such as exp/NAME/params/21.params")
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise IsoglossError(
            f"{checkpoint} is no file of tensors ({str(error).splitlines()[0][:100]}); expected what torch.save wrote"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise IsoglossError(
            f"{checkpoint} holds no state dict; expected names and tensors: is it the toolkit's file of options, or its optimiser?"
        )
    return state
