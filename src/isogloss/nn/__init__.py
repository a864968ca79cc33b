"""The multi-task E-TDNN: frames in, an embedding and phoneme logits out. Imports torch."""

from isogloss.nn.etdnn import ETDNN
from isogloss.nn.multitask import EMBEDDING_KINDS, Embedder, MultitaskNetwork
from isogloss.nn.pooling import statistics_pooling
from isogloss.nn.tdnn import TDNNLayer

__all__ = ["EMBEDDING_KINDS", "ETDNN", "Embedder", "MultitaskNetwork", "TDNNLayer", "statistics_pooling"]
