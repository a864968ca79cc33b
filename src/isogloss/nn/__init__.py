"""The multi-task network: frames in, an embedding and phoneme logits out. Imports torch."""

from collections.abc import Callable

from torch import nn

from isogloss.nn.attentive import AttentiveStatisticsPooling
from isogloss.nn.dtdnn import DTDNN
from isogloss.nn.ecapa import ECAPA
from isogloss.nn.encoder import Encoder
from isogloss.nn.etdnn import ETDNN
from isogloss.nn.multitask import EMBEDDING_KINDS, Embedder, MultitaskNetwork
from isogloss.nn.pooling import StatisticsPooling, statistics_pooling
from isogloss.nn.tdnn import TDNNLayer
from isogloss.nn.xvector import XVector

ENCODERS: dict[str, Callable[[int, int], Encoder]] = {
    "etdnn": ETDNN,
    "xvector": XVector,
    "ecapa": ECAPA,
    "dtdnn": DTDNN,
}
"""train.encoder → M_e; each is made of (feature_dim, width)."""

POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "statistics": StatisticsPooling,
    "attentive": AttentiveStatisticsPooling,
}
"""train.pooling → pooling over time; each is made of (channels)."""

__all__ = [
    "DTDNN",
    "ECAPA",
    "EMBEDDING_KINDS",
    "ENCODERS",
    "ETDNN",
    "POOLINGS",
    "AttentiveStatisticsPooling",
    "Embedder",
    "Encoder",
    "MultitaskNetwork",
    "StatisticsPooling",
    "TDNNLayer",
    "XVector",
    "statistics_pooling",
]
