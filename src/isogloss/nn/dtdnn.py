"""M_e for short speech and little data: a densely connected TDNN with context-aware masking."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isogloss.nn.encoder import Encoder, channels_in_groups, mean_over_time
from isogloss.nn.tdnn import TDNNLayer

BLOCKS = ((6, 1), (12, 3))
"""Layers and dilation of each dense block."""


class DenseLayer(nn.Module):
    """New channels beside the old: [x; m · TDNN(h)], h = TDNN(x) narrow, m = σ(W₂ ReLU(W₁ mean_t h)). Shape: [B, C, T], mask.

    m is one weight per utterance and new channel: the mask that the utterance's context gives.
    """

    def __init__(self, in_dim: int, bottleneck: int, growth: int, dilation: int) -> None:
        super().__init__()
        self.narrow = TDNNLayer(in_dim, bottleneck)
        self.grow = TDNNLayer(bottleneck, growth, (-dilation, 0, dilation))
        self.context, self.gate = nn.Linear(bottleneck, bottleneck // 2), nn.Linear(bottleneck // 2, growth)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        narrow = self.narrow(x, mask)
        weight = torch.sigmoid(self.gate(torch.relu(self.context(mean_over_time(narrow, mask)))))
        return torch.cat([x, self.grow(narrow, mask) * weight.unsqueeze(2)], dim=1)


class DTDNN(Encoder):
    """A TDNN layer and two dense blocks of 6 and 12 layers, each followed by one that halves the channels: out_dim = width.

    Every layer sees the outputs of all before it, so that few and narrow ones do: 128 channels at first, 64 more from each
    layer through a bottleneck of 128 (at width 512; a quarter, an eighth and a quarter of any width), a third fewer parameters
    than the E-TDNN. Frames see ±2 + 6·1 + 12·3 = ±44, most of a second, and the whole utterance through the mask.

    Without the masks and with the paper's pooling and 512-dimensional embedding behind it, at 30 inputs: the 2.8 million
    parameters of D-TDNN. Deviations: affine, ReLU, batch normalisation (`TDNNLayer`) where D-TDNN normalises first; the mask
    from the mean of the utterance alone, for CAM++'s means over segments of 100 frames equal it on training chunks.

    Errors: IsoglossError if the width is no multiple of 8.
    Source: Yu & Li, "Densely connected time delay neural network for speaker verification", Interspeech 2020; Yu et al.,
    "CAM: context-aware masking for robust speaker verification", ICASSP 2021; Wang et al., "CAM++", Interspeech 2023.
    """

    def __init__(self, feature_dim: int = 23, width: int = 512) -> None:
        super().__init__(feature_dim, width)
        growth = channels_in_groups(width, 8, "dtdnn")
        channels = bottleneck = 2 * growth
        self.tdnn1 = TDNNLayer(feature_dim, channels, (-2, -1, 0, 1, 2))
        self.layers = nn.ModuleList()
        for num_layers, dilation in BLOCKS:
            for _ in range(num_layers):
                self.layers.append(DenseLayer(channels, bottleneck, growth, dilation))
                channels += growth
            self.layers.append(TDNNLayer(channels, channels // 2))
            channels //= 2

    def frames(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.tdnn1(x, mask)
        for layer in self.layers:
            x = layer(x, mask)
        return x
