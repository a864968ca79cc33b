"""A trained network as a folder: model.safetensors (weights) and model.json (what they are). Built and read here alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from isogloss.config import FrontEndConfig, MarginConfig, TrainConfig
from isogloss.losses import (
    HEADS,
    AAMSoftmax,
    ConstantMargin,
    CosineHead,
    MultitaskLoss,
    PhonemeAwareMargin,
    ScheduledMargin,
    Softmax,
)
from isogloss.nn import ENCODERS, POOLINGS, MultitaskNetwork
from isogloss.systems import System
from isogloss.types import IsoglossError

WEIGHTS, ABOUT = "model.safetensors", "model.json"


class ModelInfo(BaseModel):
    """Everything but the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: dict[str, Any]
    languages: list[str]
    num_pdfs: int | None
    front_end: FrontEndConfig
    train: TrainConfig
    phones: dict[str, Any] | None = None  # where the labels came from
    seconds: float = 0.0
    num_chunks: int = 0
    dropped: list[str] = []


@dataclass
class Trained:
    """A network, its language head, and what they are."""

    network: MultitaskNetwork
    head: Softmax | CosineHead
    info: ModelInfo


def build(
    system: System, train: TrainConfig, feature_dim: int, num_languages: int, num_pdfs: int | None
) -> tuple[MultitaskNetwork, MultitaskLoss]:
    """Network and loss of one system, initialised from `train.seed`; one seed gives all systems of a shape the same weights."""
    if system.multitask and num_pdfs is None:
        raise IsoglossError(
            f"system {system.id} ({system.label}) is multi-task and needs phoneme labels; "
            "give --phones a source, or train system 1"
        )
    torch.manual_seed(train.seed)
    network = MultitaskNetwork(
        feature_dim,
        num_pdfs if system.multitask else None,
        train.width,
        ENCODERS[train.encoder],
        POOLINGS[train.pooling],
    )
    options: dict[str, Any] = {"boundary": train.margin.boundary} if HEADS[system.head] is AAMSoftmax else {}
    if system.head in ("am", "aam"):
        options["scale"] = train.scale
    if issubclass(HEADS[system.head], CosineHead):
        options["num_subcentres"] = train.num_subcentres
    head = HEADS[system.head](train.width, num_languages, **options)
    return network, MultitaskLoss(head, _margin(system, train.margin), alpha=train.alpha)


def _margin(system: System, config: MarginConfig) -> ConstantMargin | PhonemeAwareMargin | ScheduledMargin:
    definition = config.model_dump(exclude={"boundary", "ramp", "ramp_steps", "ramp_start"})
    margin = PhonemeAwareMargin(system.m, system.beta, **definition) if system.beta else ConstantMargin(system.m)
    return ScheduledMargin(margin, config.ramp_steps, config.ramp_start, config.ramp) if config.ramp_steps else margin


def save(folder: Path, network: nn.Module, head: nn.Module, info: ModelInfo) -> None:
    """Write the weights, then model.json; each beside, then renamed by the caller's folder logic."""
    from safetensors.torch import save as pack

    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"head.{name}": value for name, value in head.state_dict().items()}
    part = folder / f"{WEIGHTS}.part"
    try:
        part.write_bytes(pack({name: value.contiguous() for name, value in tensors.items()}))
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(folder / WEIGHTS)
    (folder / ABOUT).write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Trained:
    """Read a model folder; network and head are in evaluation mode."""
    from safetensors.torch import load_file

    if not (folder / ABOUT).exists() or not (folder / WEIGHTS).exists():
        raise IsoglossError(f"{folder} holds no trained model ({ABOUT} and {WEIGHTS}); run `isogloss train` first")
    info = ModelInfo(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))
    network, loss = build(System(**info.system), info.train, info.front_end.dim, len(info.languages), info.num_pdfs)
    tensors = load_file(folder / WEIGHTS)
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    loss.head.load_state_dict({k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")})
    return Trained(network.eval(), loss.head.eval(), info)


@torch.no_grad()
def embed(trained: Trained, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[V, D] voiced frames of one utterance → ("far" [E], "near" [E]) float32: the paper's embedding, and the head's."""
    features = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32))
    far, near = trained.network.embed_long_kinds(features, ("far", "near")).numpy()
    return far, near
