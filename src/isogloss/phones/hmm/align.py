"""Forced alignment: the likeliest path of an utterance through the HMM of its transcript (Viterbi with a beam).

    max over paths of Σ_t scale·log p(x_t | pdf) + Σ log a        scale 0.1, Kaldi's acoustic scale for alignment

Likelihoods are computed for the pdfs that are alive, a block of frames at a time. A beam that loses the end is widened once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from isogloss.phones.hmm import kernels
from isogloss.phones.hmm.gmm import PackedGmm
from isogloss.phones.hmm.topology import TransitionModel, scaled_log_probs
from isogloss.phones.hmm.utterance_graph import UtteranceGraph

ACOUSTIC_SCALE = 0.1
BEAM, RETRY_BEAM = 10.0, 40.0


@dataclass(frozen=True, eq=False)
class Alignments:
    """Transition-ids of every frame of a corpus; 0 in utterances that could not be aligned."""

    transition_ids: np.ndarray  # [N] int32
    scores: np.ndarray  # [U] of the best path, acoustic part scaled; −inf: not aligned
    retried: int  # utterances that needed the wider beam

    @property
    def failed(self) -> np.ndarray:
        """[F] utterances without an alignment."""
        return np.flatnonzero(~np.isfinite(self.scores))


@dataclass(frozen=True, eq=False)
class PackedGraphs:
    """Graphs of all utterances one after another, for the compiled search."""

    state_start: np.ndarray  # [U + 1]
    arc_base: np.ndarray  # [U + 1]
    arrays: dict[str, np.ndarray]  # those of UtteranceGraph

    @classmethod
    def of(cls, graphs: Sequence[UtteranceGraph]) -> PackedGraphs:
        names = [field.name for field in fields(UtteranceGraph)]
        arrays = {name: np.concatenate([getattr(graph, name) for graph in graphs]) for name in names}
        states = np.cumsum([0, *(len(graph.pdfs) for graph in graphs)])
        arcs = np.cumsum([0, *(len(graph.arc_from) for graph in graphs)])
        return cls(states, arcs, arrays)


def align(
    gmm: PackedGmm,
    frames: np.ndarray,
    frame_start: np.ndarray,
    graphs: PackedGraphs,
    model: TransitionModel,
    *,
    beam: float = BEAM,
    retry_beam: float = RETRY_BEAM,
    acoustic_scale: float = ACOUSTIC_SCALE,
) -> Alignments:
    """frames [N, D] of utterance u are frame_start[u] … frame_start[u + 1] − 1; all utterances side by side."""
    frames = gmm.checked(frames)
    transition_ids = np.zeros(len(frames), dtype=np.int32)
    scores = np.empty(len(frame_start) - 1)
    retried = np.zeros(len(scores), dtype=np.bool_)
    of, logp = graphs.arrays, scaled_log_probs(model).astype(np.float32)
    kernels.align_all(
        frames, frame_start, graphs.state_start, graphs.arc_base, of["pdfs"], of["entry_link"],
        of["final_link"] + logp[of["final_tid"]], of["final_tid"], of["arc_start"], of["arc_from"],
        of["arc_link"] + logp[of["arc_tid"]], of["arc_tid"], gmm.offsets, gmm.constants, gmm.terms, beam, retry_beam,
        acoustic_scale, transition_ids, scores, retried,
    )  # fmt: skip
    return Alignments(transition_ids, scores, int(retried.sum()))
