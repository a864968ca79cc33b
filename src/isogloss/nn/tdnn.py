"""One time-delay layer: affine over a few frames, ReLU, batch normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isogloss.nn.frame_affine import frame_affine
from isogloss.nn.relu_norm import relu_norm
from isogloss.types import IsoglossError


class TDNNLayer(nn.Module):
    """Affine over the frames t + offsets (bias), ReLU, BatchNorm without scale and shift; as many frames out as in.

    Zero padding at both ends keeps T, which is what keeps phoneme labels aligned with frames.

    Shape: x [B, C_in, T], mask [B, T] bool or None → [B, C_out, T].

    With a mask (True: a real frame) the frames beyond an utterance's end come out as zeros, so the next layer sees
    there the same zero padding as at the end of a batch of one; in training they do not enter the batch statistics.

    Errors: IsoglossError if the offsets are not symmetric and evenly spaced (0 | −2,0,2 | −2,−1,0,1,2 …).
    Source: layer, order and initial bound as in the authors' toolkit (ASV-Subtools), which stores a dilated layer as a
    masked full kernel: kaiming-uniform over the fan-out of that full kernel, bias 0, batch-norm momentum 0.5.
    """

    def __init__(self, in_dim: int, out_dim: int, offsets: Sequence[int] = (0,)) -> None:
        super().__init__()
        taps = len(offsets)
        dilation = offsets[1] - offsets[0] if taps > 1 else 1
        reach = dilation * (taps - 1) // 2
        if taps % 2 == 0 or dilation < 1 or list(offsets) != [k * dilation - reach for k in range(taps)]:
            raise IsoglossError(
                f"context {list(offsets)} of a TDNN layer; expected evenly spaced offsets around 0 such as (-2, 0, 2): "
                "one dilated convolution cannot hold any other"
            )
        self.affine = nn.Conv1d(in_dim, out_dim, taps, dilation=dilation, padding=reach)
        self.norm = nn.BatchNorm1d(out_dim, momentum=0.5, affine=False)
        bound = math.sqrt(6 / (out_dim * (2 * reach + 1)))
        nn.init.uniform_(self.affine.weight, -bound, bound)
        nn.init.zeros_(self.affine.bias)  # type: ignore[arg-type]  # Conv1d(bias=True) has one

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.training and x.device.type == "cpu":
            return self._train_on_cpu(x, mask)
        activation = torch.relu_(self.affine(x))  # in place: the convolution's backward does not need its output
        if mask is None:
            return self.norm(activation)
        if not self.training:
            return self.norm(activation).masked_fill(~mask.unsqueeze(1), 0)
        real = self.norm(activation.transpose(1, 2)[mask])  # [real frames, C]
        padded = real.new_zeros(mask.shape + real.shape[1:])  # [B, T, C]
        padded[mask] = real
        return padded.transpose(1, 2)

    def _train_on_cpu(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The same, in less time and memory; [B, C_out, T] is then a view of [B, T, C_out]."""
        bias = self.affine.bias
        assert bias is not None
        z = frame_affine(x.transpose(1, 2), self.affine.weight, bias, self.affine.dilation[0])  # [B, T, C_out]
        if mask is None:
            return relu_norm(z.flatten(0, 1), self.norm).view_as(z).transpose(1, 2)
        padded = torch.zeros_like(z)
        padded[mask] = relu_norm(z[mask], self.norm)
        return padded.transpose(1, 2)
