"""Decoding: the likeliest sequence of phones, and the transition-id of every frame, for a matrix of log-likelihoods.

    max over paths of Σ_t acoustic_scale · log p(x_t | pdf) + Σ log weights of the graph

As in the recipe the labels come from, the path may be chosen at another scale (1.0) among those that the search keeps at
its own (1/12): Kaldi's `gmm-latgen-faster --acoustic-scale=0.083333` and `lattice-best-path --acoustic-scale=1.0`.
*Deviation*: Kaldi has thrown away all but one alignment of every phone sequence in between; here all compete.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from isogloss.phones.hmm.beam_search import search
from isogloss.phones.hmm.fst_arrays import FstArrays
from isogloss.phones.hmm.topology import TransitionModel
from isogloss.types import IsoglossError

ACOUSTIC_SCALE = 0.083333
BEAM = 10.0
MAX_ACTIVE = 2000
LATTICE_BEAM = 6.0


@dataclass(frozen=True, eq=False)
class Decoded:
    """`transition_ids` [T] int32; `phones` without silence; `score`: natural log of the path, acoustics at the search's scale.

    `reached_final` False: no path to an end survived the beam, this is the best of those that did not get there.
    """

    transition_ids: np.ndarray
    phones: list[int]
    score: float
    reached_final: bool


class Decoder:
    """Decodes with one graph. `best_path_scale`: None for that of the search."""

    def __init__(
        self,
        graph: FstArrays,
        model: TransitionModel,
        *,
        beam: float = BEAM,
        max_active: int = MAX_ACTIVE,
        acoustic_scale: float = ACOUSTIC_SCALE,
        best_path_scale: float | None = None,
        lattice_beam: float = LATTICE_BEAM,
    ) -> None:
        if beam <= 0 or max_active < 1 or acoustic_scale <= 0 or lattice_beam < 0:
            raise IsoglossError(
                f"decoding with beam {beam}, max_active {max_active}, acoustic_scale {acoustic_scale}, lattice_beam "
                f"{lattice_beam}: expected all above 0; defaults are {BEAM}, {MAX_ACTIVE}, {ACOUSTIC_SCALE}, {LATTICE_BEAM}"
            )
        if len(graph.arcs) and int(graph.arcs["ilabel"].max()) > model.num_transition_ids:
            raise IsoglossError(
                f"the graph has transition-id {int(graph.arcs['ilabel'].max())}, the model {model.num_transition_ids}: "
                "the graph was built for another model; build it again"
            )
        self.num_pdfs = model.num_pdfs
        self.acoustic_scale = float(acoustic_scale)
        # with one scale for both, the best of the lattice is the best of the search
        self._choice = (
            (self.acoustic_scale, np.inf) if best_path_scale is None else (float(best_path_scale), float(lattice_beam))
        )
        self._pruning = float(beam), int(max_active)
        source = graph.source
        order = np.lexsort((graph.arcs["ilabel"] != 0, source))  # stable: epsilons first within a state
        arcs = graph.arcs[order]
        self._ilabel, self._olabel, self._weight = (arcs[name].copy() for name in ("ilabel", "olabel", "weight"))
        epsilon = self._ilabel == 0
        epsilons = np.bincount(source[order][epsilon], minlength=graph.num_states)
        to = arcs["to"].copy()
        self._rank = _epsilon_rank(graph.num_states, source[order][epsilon], to[epsilon])
        self._pdf = np.where(epsilon, -1, model.pdf_of[self._ilabel]).astype(np.int32)
        self._graph = (
            graph.start, graph.final.astype(np.float64), graph.first, graph.first[:-1] + epsilons, to,
            self._weight.astype(np.float64), self._pdf, self._rank,
        )  # fmt: skip
        self._final = graph.final
        self.min_frames = _min_frames(graph, int(self._rank.max(initial=0)))

    def rescaled(self, acoustic_scale: float, insertion_penalty: float = 0.0) -> Decoder:
        """The same graph searched at another acoustic scale, the path chosen at that scale too; a phone costs so much more."""
        other = copy(self)
        other.acoustic_scale, other._choice = acoustic_scale, (acoustic_scale, np.inf)
        other._weight = self._weight + np.float32(insertion_penalty) * (self._olabel > 0)
        other._graph = (*self._graph[:5], other._weight.astype(np.float64), *self._graph[6:])
        return other

    def decode(self, loglik: np.ndarray) -> Decoded:
        """loglik [T, num_pdfs] float32, natural logs. Raises IsoglossError."""
        loglik = np.ascontiguousarray(loglik, dtype=np.float32)
        if loglik.ndim != 2 or loglik.shape[1] != self.num_pdfs:
            raise IsoglossError(
                f"log-likelihoods of shape {loglik.shape}, expected [frames, {self.num_pdfs}]: "
                "were they computed with the model that the graph was built for?"
            )
        if len(loglik) < self.min_frames:
            raise IsoglossError(
                f"{len(loglik)} frames, but the shortest phone needs {self.min_frames}; is the recording empty? Leave it out"
            )
        if not np.isfinite(loglik).all():
            frame = int(np.flatnonzero(~np.isfinite(loglik).all(axis=1))[0])
            raise IsoglossError(f"log-likelihoods of frame {frame} are not finite; are there NaN or infinite features?")
        path, reached_final, _ = search(loglik, *self._graph, *self._pruning, self.acoustic_scale, *self._choice)
        transition_ids = self._ilabel[path]
        emitting = transition_ids > 0
        transition_ids = transition_ids[emitting]
        if len(transition_ids) != len(loglik):
            raise IsoglossError(
                f"no path of {len(loglik)} frames through the graph survived; was it built without errors?"
            )
        acoustic = loglik[np.arange(len(loglik)), self._pdf[path[emitting]]].sum(dtype=np.float64)
        score = self.acoustic_scale * acoustic - self._weight[path].sum(dtype=np.float64)
        if reached_final:
            score -= self._final[self._graph[4][path[-1]]]
        phones = self._olabel[path]
        return Decoded(transition_ids, phones[phones > 0].tolist(), float(score), bool(reached_final))


def _epsilon_rank(num_states: int, source: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Length of the longest chain of epsilon arcs from each state [S] int32."""
    rank = np.zeros(num_states, dtype=np.int32)
    for _ in range(num_states):
        longer = rank.copy()
        np.maximum.at(longer, source, rank[to] + 1)
        if np.array_equal(longer, rank):
            return rank
        rank = longer
    raise IsoglossError("the graph goes round in epsilon arcs; build it again without loops of back-off")


def _min_frames(graph: FstArrays, max_rank: int) -> int:
    """Of the shortest path that has a frame."""
    source, to, epsilon = graph.source, graph.arcs["to"], graph.arcs["ilabel"] == 0

    def step(states: np.ndarray, arcs: np.ndarray) -> np.ndarray:
        after = np.zeros_like(states)
        after[to[arcs & states[source]]] = True
        return after

    alive = np.zeros(graph.num_states, dtype=bool)
    alive[graph.start] = True
    for frames in range(graph.num_states + 1):
        for _ in range(max_rank):
            alive |= step(alive, epsilon)
        if frames and np.isfinite(graph.final[alive]).any():
            return frames
        alive = step(alive, ~epsilon)
    raise IsoglossError("the graph has no path from its start to an end; was the phone n-gram empty?")
