"""M_e of ECAPA-TDNN: squeeze-excitation Res2 blocks whose outputs are all aggregated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isogloss.nn.encoder import Encoder, channels_in_groups, mean_over_time
from isogloss.nn.tdnn import TDNNLayer

SCALE = 8  # groups of channels of a Res2 layer
DILATIONS = (2, 3, 4)


class Res2Layer(nn.Module):
    """Groups of channels, each seeing the one before: y_0 = x_0, y_i = TDNN_i(x_i + y_{i−1}). Shape: [B, C, T], mask.

    Source: Gao et al., "Res2Net: a new multi-scale backbone architecture", TPAMI 2021, eq. 1.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        group = channels_in_groups(width, SCALE, "ecapa")
        self.layers = nn.ModuleList(TDNNLayer(group, group, (-dilation, 0, dilation)) for _ in range(SCALE - 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        first, *others = x.chunk(SCALE, dim=1)
        out = [first]
        for part, layer in zip(others, self.layers, strict=True):
            out.append(layer(part if len(out) == 1 else part + out[-1], mask))
        return torch.cat(out, dim=1)


class SqueezeExcitation(nn.Module):
    """x · σ(W₂ ReLU(W₁ mean_t x)): each channel weighted by what the whole utterance holds. Shape: [B, C, T], mask.

    Source: Hu et al., "Squeeze-and-excitation networks", CVPR 2018.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        weight = torch.sigmoid(self.excite(torch.relu(self.squeeze(mean_over_time(x, mask)))))
        return x * weight.unsqueeze(2)


class SERes2Block(nn.Module):
    """x + SE(TDNN(Res2(TDNN(x)))). Shape: [B, C, T], mask."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.into, self.res2 = TDNNLayer(width, width), Res2Layer(width, dilation)
        self.out, self.se = TDNNLayer(width, width), SqueezeExcitation(width, width // 4)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + self.se(self.out(self.res2(self.into(x, mask), mask), mask), mask)


class ECAPA(Encoder):
    """A TDNN layer, three SE-Res2 blocks of dilation 2, 3, 4, and a layer over all their outputs: out_dim = 3 · width.

    The input of each block is the sum of all outputs before it, as in the paper. Frames see ±2 + 7·(2 + 3 + 4) = ±65, and
    the whole utterance through squeeze-excitation, whose bottleneck is width / 4 (the paper's 128 at 512).

    At width 512 with 80 inputs, and with the paper's pooling and 192-dimensional embedding behind it: 6.2 million
    parameters, as published. Deviations: ReLU before batch normalisation also in the aggregating layer, which has none in
    the paper, batch normalisation without scale and shift (`TDNNLayer`), and in the multi-task network the language
    branch (tdnn5 … tdnn7) in the place of pooling and the one affine layer behind it.

    Errors: IsoglossError if the width is no multiple of 8.
    Source: Desplanques et al., "ECAPA-TDNN: emphasized channel attention, propagation and aggregation in TDNN based
    speaker verification", Interspeech 2020.
    """

    def __init__(self, feature_dim: int = 23, width: int = 512) -> None:
        super().__init__(feature_dim, len(DILATIONS) * width)
        self.tdnn1 = TDNNLayer(feature_dim, width, (-2, -1, 0, 1, 2))
        self.blocks = nn.ModuleList(SERes2Block(width, dilation) for dilation in DILATIONS)
        self.aggregate = TDNNLayer(self.out_dim, self.out_dim)

    def frames(self, x: Tensor, mask: Tensor | None) -> Tensor:
        before = self.tdnn1(x, mask)
        outputs = []
        for block in self.blocks:
            outputs.append(block(before, mask))
            before = before + outputs[-1]
        return self.aggregate(torch.cat(outputs, dim=1), mask)
