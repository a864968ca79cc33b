"""Networks trained with ASV-Subtools: its state dict, with masked full kernels, as ours, with dilated ones.

Read: Xvector of snowdar_xvector.py (E-TDNN with extend=True, else the x-vector) and of multi_task_xvector_fix.py, and
ExtendedXvector, each with ReLU before batch normalisation and statistics pooling. A state dict says nothing of
`skip_connection`, of `bn-relu` and of other nonlinearities: networks with those are read, and are wrong.

Source: github.com/Snowdar/asv-subtools, pytorch/model/ and pytorch/libs/nnet/components.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isogloss.nn.etdnn import ETDNN
from isogloss.nn.multitask import MultitaskNetwork
from isogloss.nn.tdnn import TDNNLayer
from isogloss.nn.xvector import XVector
from isogloss.types import IsoglossError

HEADS = ("loss_spk", "loss")
"""Where the language output layer is: of two tasks, of one."""


@dataclass(frozen=True)
class Imported:
    """A network in evaluation mode, and its language output layer."""

    network: MultitaskNetwork
    encoder: str  # a key of isogloss.nn.ENCODERS
    head_weight: Tensor  # [C, width]
    head_bias: Tensor | None  # [C]; None: trained with a margin loss, only the direction of a class weight counts


def from_asv_subtools(state: Mapping[str, Tensor]) -> Imported:
    """The network of a state dict; its embeddings and logits are those of the toolkit in evaluation mode, up to rounding.

    Taps that the toolkit masks are dropped, whatever they hold. Scale γ > 0 and shift β of a batch normalisation that has them
    go into its statistics, which is exact: γ(x − μ)/σ + β = (x − (μ − βσ/γ))/(σ/γ).

    Errors: IsoglossError naming the first layer that is missing, of another shape, or not part of these networks.
    """
    left = dict(state)
    width, feature_dim = _take(dict(left), "tdnn1.affine.weight").shape[:2]
    extended = any(name.startswith("ex_tdnn") for name in left)
    phones = left.get("loss_phone.affine.weight")
    head = next((name for name in HEADS if f"{name}.affine.weight" in left or f"{name}.weight" in left), None)
    if head is None:
        raise IsoglossError(
            "no language output layer (loss.affine, loss_spk.affine, or weight in place of affine); expected a checkpoint of "
            f"training: is it another model's? It has {', '.join(sorted(left)[:3])} …"
        )
    network = MultitaskNetwork(
        feature_dim, None if phones is None else phones.shape[0], width, ETDNN if extended else XVector
    )
    for ours, theirs in _layers(network, extended):
        _read_layer(ours, theirs, left)
    if network.phone is not None:
        _copy(
            network.phone.output.weight, "loss_phone.affine.weight", _take(left, "loss_phone.affine.weight").squeeze(2)
        )
        _copy(network.phone.output.bias, "loss_phone.affine.bias", _take(left, "loss_phone.affine.bias"))
    if f"{head}.affine.weight" in left:
        weight, bias = _take(left, f"{head}.affine.weight").squeeze(2), _take(left, f"{head}.affine.bias")
    else:
        weight, bias = _take(left, f"{head}.weight").squeeze(2), None
    # what else a loss holds is no part of the network; multi_task_xvector_fix also makes a whole `loss` that it never uses
    if unknown := sorted(name for name in left if not name.startswith(("loss.", "loss_spk."))):
        raise IsoglossError(
            f"{unknown[0]}{f' and {len(unknown) - 1} more' if unknown[1:] else ''} belongs to no layer of ours; expected TDNN "
            "layers and statistics pooling alone: was the network trained with SE, attention or another pooling?"
        )
    return Imported(network.eval(), "etdnn" if extended else "xvector", weight, bias)


def _layers(network: MultitaskNetwork, extended: bool) -> list[tuple[TDNNLayer, str]]:
    """Our layers beside the toolkit's names."""
    pairs = []
    for name, layer in network.encoder.named_children():
        assert isinstance(layer, TDNNLayer)
        pairs.append((layer, name.replace("ex", "ex_tdnn") if extended else name.replace("frame", "tdnn")))
    language, phone = network.language, network.phone
    pairs += [(getattr(language, name), name) for name in ("tdnn5", "tdnn6", "tdnn7")]
    if phone is not None:
        pairs += [(getattr(phone, name), f"phonetic_{name}") for name in ("tdnn5", "tdnn6", "tdnn7")]
    return pairs


@torch.no_grad()
def _read_layer(layer: TDNNLayer, name: str, left: dict[str, Tensor]) -> None:
    affine, norm = layer.affine, layer.norm
    (taps,), (dilation,) = affine.kernel_size, affine.dilation
    full = _take(left, f"{name}.affine.weight")
    span = (taps - 1) * dilation + 1
    expected = [affine.out_channels, affine.in_channels, span]
    if list(full.shape) != expected:
        raise IsoglossError(
            f"{name}.affine.weight of shape {list(full.shape)}; expected {expected}, channels out and in and {span} frames: "
            "is the network of another width, context or pooling than those of ASV-Subtools' recipes?"
        )
    affine.weight.copy_(full[:, :, ::dilation])
    assert affine.bias is not None and norm.running_mean is not None and norm.running_var is not None
    _copy(affine.bias, f"{name}.affine.bias", _take(left, f"{name}.affine.bias"))
    _copy(norm.running_mean, f"{name}.batchnorm.running_mean", _take(left, f"{name}.batchnorm.running_mean"))
    _copy(norm.running_var, f"{name}.batchnorm.running_var", _take(left, f"{name}.batchnorm.running_var"))
    left.pop(f"{name}.batchnorm.num_batches_tracked", None)  # counts for nothing: the momentum is fixed
    if f"{name}.batchnorm.weight" in left:
        _fold(norm, name, _take(left, f"{name}.batchnorm.weight"), _take(left, f"{name}.batchnorm.bias"))


def _fold(norm: nn.BatchNorm1d, name: str, scale: Tensor, shift: Tensor) -> None:
    if num := int((scale <= 0).sum()):
        raise IsoglossError(
            f"{name}.batchnorm.weight is not positive in {num} of {len(scale)} channels; expected a positive scale, which alone "
            'can go into the statistics: train with bn_params {"affine": False}, as the toolkit\'s recipes do'
        )
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    wide = (variance.double() + norm.eps).sqrt() / scale.double()
    mean.copy_(mean.double() - shift.double() * wide)
    variance.copy_(wide.square() - norm.eps)


def _take(left: dict[str, Tensor], name: str) -> Tensor:
    if name not in left:
        near = sorted(other for other in left if other.startswith(name.split(".")[0]))
        raise IsoglossError(
            f"no {name} in the checkpoint; expected a network of ASV-Subtools (E-TDNN or x-vector, one task or two); "
            f"it has {', '.join(near or sorted(left)[:3]) or 'nothing'}"
        )
    return left.pop(name)


def _copy(into: Tensor, name: str, value: Tensor) -> None:
    if into.shape != value.shape:
        raise IsoglossError(
            f"{name} of shape {list(value.shape)}; expected {list(into.shape)}: is it another network's?"
        )
    with torch.no_grad():
        into.copy_(value)
