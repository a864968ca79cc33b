"""The baseline of bench/training.py: the multi-task E-TDNN as ASV-Subtools ships it, rebuilt from its source.

Source: github.com/Snowdar/asv-subtools, pytorch/model/multi_task_xvector_fix.py with extend=True, libs/nnet/components.py
(TdnnAffine, ReluBatchNormTdnnLayer), libs/nnet/pooling.py (StatisticsPooling) and libs/nnet/loss.py. What costs time there
costs it here: a layer that sees frames -4, 0 and 4 multiplies a kernel of nine by a mask of 0 and 1 at every step and
convolves with all nine; the input is padded by a copy; pooling squares a tensor of its own; the cross-entropy of the
phonemes reads its logits classes first. Parameters and buffers have the names of the checkpoints that the toolkit writes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("tdnn1", (-2, -1, 0, 1, 2)),
    ("ex_tdnn1", (0,)),
    ("tdnn2", (-2, 0, 2)),
    ("ex_tdnn2", (0,)),
    ("tdnn3", (-3, 0, 3)),
    ("ex_tdnn3", (0,)),
    ("ex_tdnn4", (-4, 0, 4)),
    ("ex_tdnn5", (0,)),
    ("tdnn4", (0,)),
)


class TdnnAffine(nn.Module):
    """Shape: [B, C_in, T] → [B, C_out, T]. The kernel has a tap for every frame from the first of the context to the last."""

    def __init__(self, in_dim: int, out_dim: int, context: Sequence[int] = (0,)) -> None:
        super().__init__()
        self.left, self.right = -min(context[0], 0), max(context[-1], 0)
        span = range(-self.left, self.right + 1)
        self.weight = nn.Parameter(torch.empty(out_dim, in_dim, len(span)))
        self.bias = nn.Parameter(torch.zeros(out_dim))
        nn.init.normal_(self.weight, std=0.01)
        self.mask = None if len(span) == len(context) else torch.tensor([[[int(frame in context) for frame in span]]])

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight if self.mask is None else self.weight * self.mask
        return F.conv1d(F.pad(x, (self.left, self.right)), kernel, self.bias)


class ReluBatchNormTdnnLayer(nn.Module):
    def __init__(self, in_dim: int, out_dim: int, context: Sequence[int] = (0,)) -> None:
        super().__init__()
        self.affine = TdnnAffine(in_dim, out_dim, context)
        self.activation = nn.ReLU(inplace=True)
        self.batchnorm = nn.BatchNorm1d(out_dim, momentum=0.5, affine=False)
        nn.init.kaiming_uniform_(self.affine.weight, a=0, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.batchnorm(self.activation(self.affine(x)))
        return out


class SoftmaxLoss(nn.Module):
    """Affine and cross-entropy, of segments or of frames. Shape: [B, C_in, T], targets [B] or [B, T]."""

    def __init__(self, in_dim: int, num_targets: int) -> None:
        super().__init__()
        self.affine = TdnnAffine(in_dim, num_targets)

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        logits = self.affine(x)
        self.posterior = logits.detach()
        return F.cross_entropy(logits.squeeze(2), targets)


class MultiTaskXvector(nn.Module):
    """Shape: features [B, D, T]. num_phones None: the toolkit's Xvector with extend=True, one task, head `loss`."""

    def __init__(
        self, inputs_dim: int, num_targets: int, num_phones: int | None, width: int = 512, num_nodes: int = 1500
    ) -> None:
        super().__init__()
        in_dim = inputs_dim
        for name, context in LAYERS:
            self.add_module(name, ReluBatchNormTdnnLayer(in_dim, width, context))
            in_dim = width
        self.tdnn5 = ReluBatchNormTdnnLayer(width, num_nodes)
        self.multitask = num_phones is not None
        if num_phones is not None:
            for number in (5, 6, 7):
                self.add_module(f"phonetic_tdnn{number}", ReluBatchNormTdnnLayer(width, width))
            self.loss_phone = SoftmaxLoss(width, num_phones)
        self.tdnn6 = ReluBatchNormTdnnLayer(2 * num_nodes, width)
        self.tdnn7 = ReluBatchNormTdnnLayer(width, width)
        self.add_module("loss_spk" if self.multitask else "loss", SoftmaxLoss(width, num_targets))

    def frames(self, features: Tensor) -> Tensor:
        x = features
        for name, _ in LAYERS:
            x = self.get_submodule(name)(x)
        return x

    def pooled(self, frames: Tensor) -> Tensor:
        x = self.tdnn5(frames)
        mean = x.sum(dim=2, keepdim=True) / x.shape[2]
        variance = torch.sum((x - mean) ** 2, dim=2, keepdim=True) / x.shape[2]
        return torch.cat([mean, torch.sqrt(variance.clamp(min=1e-10))], dim=1)

    def phonetic(self, frames: Tensor) -> Tensor:
        x = frames
        for number in (5, 6, 7):
            x = self.get_submodule(f"phonetic_tdnn{number}")(x)
        return x

    def forward(self, features: Tensor, targets: Tensor, phones: Tensor) -> tuple[Tensor, Tensor]:
        """Language loss and phoneme loss, before their weights."""
        frames = self.frames(features)
        phonetic = self.phonetic(frames)
        segment = self.tdnn7(self.tdnn6(self.pooled(frames)))
        return self.loss_spk(segment, targets), self.loss_phone(phonetic, phones)

    def extract_embedding(self, features: Tensor, kind: str = "far") -> Tensor:
        """[B, width] of features [B, D, T]: far | near_affine | near."""
        x = self.pooled(self.frames(features))
        if kind == "far":
            return self.tdnn6.affine(x).squeeze(2)
        x = self.tdnn6(x)
        return (self.tdnn7.affine(x) if kind == "near_affine" else self.tdnn7(x)).squeeze(2)
