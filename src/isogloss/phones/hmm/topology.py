"""HMM topologies and the transition model: which phone, HMM state and pdf every transition-id stands for.

The vocabulary is Kaldi's, so that an imported model and one trained here are the same class. Phones are numbered from 1
(0 is epsilon), as are transition-ids; a *transition-state* is a distinct (phone, HMM state, pdf), and a transition-id one
arc out of a transition-state. An alignment is a sequence of transition-ids, one per frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from isogloss.types import IsoglossError

SILENCE = "sil"
EPSILON = "<eps>"
SELF_LOOP_SCALE = 0.1  # Kaldi's, for alignment and decoding alike
MIN_PROBABILITY = 0.01  # of a transition; Kaldi's floor
MIN_TRANSITION_COUNT = 5.0  # frames; with fewer a state keeps its probabilities (Kaldi's mincount)


@dataclass(frozen=True)
class HmmState:
    """One emitting state: the pdf class it emits from, and (destination, initial probability) of its transitions."""

    pdf_class: int
    transitions: tuple[tuple[int, float], ...]


Topology = tuple[HmmState, ...]
"""The emitting states of a phone; destination `len(topology)` is its end."""


def left_to_right(num_states: int = 3) -> Topology:
    """Bakis topology of a phone: stay 0.75, go on 0.25."""
    return tuple(HmmState(state, ((state, 0.75), (state + 1, 0.25))) for state in range(num_states))


def silence_topology(num_states: int = 5) -> Topology:
    """Kaldi's silence: an ergodic middle between the first and the last state, so that a pause may be of any sound."""
    if num_states < 3:
        return left_to_right(num_states)
    last = num_states - 1
    share = 1.0 / last
    first = HmmState(0, tuple((to, share) for to in range(last)))
    middle = (HmmState(state, tuple((to, share) for to in range(1, num_states))) for state in range(1, last))
    return (first, *middle, HmmState(last, ((last, 0.75), (last + 1, 0.25))))


@dataclass(frozen=True, eq=False)
class TransitionModel:
    """All transition-ids of a model.

    `topologies`: phone → its Topology. `states` [S, 3] int32: (phone, HMM state, pdf), sorted; transition-state s has
    transition-ids `first_id[s]` … `first_id[s + 1]` − 1 in the order of its HMM state's transitions. `log_probs` [N + 1]:
    natural log of each transition's probability; entry 0 belongs to no transition.

    Derived, indexed by transition-id (entry 0 unused): `pdf_of`, `phone_of`, `hmm_state_of`, `state_of`, `is_self_loop`,
    `is_final` (leads to the phone's end).
    """

    topologies: dict[int, Topology]
    states: np.ndarray
    log_probs: np.ndarray
    first_id: np.ndarray = field(init=False)
    state_of: np.ndarray = field(init=False)
    pdf_of: np.ndarray = field(init=False)
    phone_of: np.ndarray = field(init=False)
    hmm_state_of: np.ndarray = field(init=False)
    is_self_loop: np.ndarray = field(init=False)
    is_final: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        arcs = [self.topologies[phone][state].transitions for phone, state, _ in self.states.tolist()]
        counts = np.array([len(of) for of in arcs], dtype=np.int32)
        set_ = object.__setattr__
        set_(self, "first_id", np.concatenate([[1], 1 + np.cumsum(counts)]).astype(np.int32))
        state_of = np.concatenate([[0], np.repeat(np.arange(len(self.states)), counts)]).astype(np.int32)
        set_(self, "state_of", state_of)
        phone, hmm_state, pdf = self.states[state_of].T.copy()
        destination = np.array([-1] + [to for of in arcs for to, _ in of], dtype=np.int32)
        lengths = np.array([len(self.topologies[p]) for p in phone.tolist()], dtype=np.int32)
        for name, value in (("phone_of", phone), ("hmm_state_of", hmm_state), ("pdf_of", pdf)):
            value[0] = -1 if name == "pdf_of" else 0
            set_(self, name, value)
        set_(self, "is_self_loop", destination == hmm_state)
        set_(self, "is_final", destination == lengths)
        if self.log_probs.shape != (len(destination),):
            raise IsoglossError(
                f"{len(self.log_probs) - 1} transition probabilities for {len(destination) - 1} transition-ids; "
                "do the topology and the transition model belong together?"
            )

    @classmethod
    def initial(cls, topologies: dict[int, Topology], states: np.ndarray) -> TransitionModel:
        """With the topology's own probabilities."""
        probabilities = [
            probability
            for phone, state, _ in states.tolist()
            for _, probability in topologies[phone][state].transitions
        ]
        return cls(topologies, states.astype(np.int32), np.log(np.array([1.0, *probabilities])).astype(np.float32))

    @property
    def num_transition_ids(self) -> int:
        return len(self.log_probs) - 1

    @property
    def num_pdfs(self) -> int:
        return int(self.states[:, 2].max()) + 1

    def transition_state(self, phone: int, hmm_state: int, pdf: int) -> int:
        """Index into `states`; IsoglossError if the model has no such state."""
        wanted = (phone, hmm_state, pdf)
        if wanted not in self._index:
            raise IsoglossError(
                f"the transition model has no state (phone, HMM state, pdf) = {wanted}; do the tree and the model belong together?"
            )
        return self._index[wanted]

    @cached_property
    def _index(self) -> dict[tuple[int, int, int], int]:
        return {(phone, state, pdf): index for index, (phone, state, pdf) in enumerate(self.states.tolist())}

    def reestimated(self, counts: np.ndarray) -> TransitionModel:
        """Maximum-likelihood probabilities from `counts` [N + 1] of each transition-id, floored at 0.01.

        A state seen in fewer than five frames keeps its own.
        """
        starts, state = self.first_id[:-1] - 1, self.state_of[1:]
        counts = np.asarray(counts, dtype=np.float64)[1:]
        totals = np.add.reduceat(counts, starts)[state]
        probability = counts / np.maximum(totals, 1e-10)
        for _ in range(3):  # Kaldi's number of turns: what the floor adds to one is taken from the others
            probability = np.maximum(probability, MIN_PROBABILITY)
            probability /= np.add.reduceat(probability, starts)[state]
        seen = totals >= MIN_TRANSITION_COUNT
        log_probs = self.log_probs.copy()
        log_probs[1:][seen] = np.log(probability[seen])
        return TransitionModel(self.topologies, self.states, log_probs)

    def phone_segments(self, alignment: np.ndarray) -> list[tuple[int, int, int]]:
        """(phone, first frame, one past the last) of each phone of an alignment [T] of transition-ids.

        Works whether a state's self-loops stand before the arc that leaves it or after (Kaldi's `reorder`); a partial
        path may end inside a phone.
        """
        alignment = np.asarray(alignment)
        num_frames = len(alignment)
        if not num_frames:
            return []
        phone, state = self.phone_of[alignment], self.state_of[alignment]
        final, loop = self.is_final[alignment], self.is_self_loop[alignment]
        same_state = state[1:] == state[:-1]
        if _loops_first(loop, same_state):
            is_last = final
        else:  # the phone goes on through the self-loops that follow its final arc
            last_arc = np.maximum.accumulate(np.where(loop, 0, np.arange(num_frames)))
            is_last = final[last_arc]
            is_last[:-1] &= ~(loop[1:] & same_state)
        is_last[:-1] |= phone[1:] != phone[:-1]
        is_last[-1] = True
        stops = np.flatnonzero(is_last) + 1
        starts = np.concatenate([[0], stops[:-1]])
        return list(zip(phone[starts].tolist(), starts.tolist(), stops.tolist(), strict=True))


def scaled_log_probs(
    model: TransitionModel, self_loop_scale: float = SELF_LOOP_SCALE, transition_scale: float = 1.0
) -> np.ndarray:
    """Natural logs [N + 1], float64, of the transitions as a graph has them (Kaldi's `AddTransitionProbs`).

    Self-loop: self_loop_scale · log p; other: transition_scale · log(p / (1 − p_loop)) + self_loop_scale · log(1 − p_loop),
    so that what leaving a state costs is scaled as its loop is, and the shares of the ways out are not.
    """
    log_probs, loop = model.log_probs.astype(np.float64), model.is_self_loop
    stay = np.bincount(model.state_of[1:], weights=np.where(loop, np.exp(log_probs), 0.0)[1:])
    leave = np.log(np.maximum(1.0 - stay, 1e-10))[model.state_of]
    scaled = np.where(
        loop, self_loop_scale * log_probs, transition_scale * (log_probs - leave) + self_loop_scale * leave
    )
    scaled[0] = 0.0
    return scaled


def _loops_first(loop: np.ndarray, same_state: np.ndarray) -> bool:
    """True if self-loops stand before the leaving arc: `loop` [T], `same_state` [T − 1] of neighbouring frames.

    The first state that has both kinds of arc tells. Only one-state phones can deceive it: the same phone again, first
    without a loop and then with some, reads the same either way round, and is then read as loops last.
    """
    pairs = np.flatnonzero(same_state & (loop[1:] != loop[:-1]))
    return bool(loop[0] or (len(pairs) and loop[pairs[0]]))
