"""Decoding graphs for phones: H∘C∘L∘G of Kaldi's utils/mkgraph.sh, for words of one phone with optional silence between.

Input labels are transition-ids, output labels phone ids (silence has none), weights negative natural logs. Built directly
as arrays, in a second, from the phones' pieces (`phone_nets`) and the n-gram's histories. Composing C by windows of phones
and determinizing, as Kaldi does, takes half a minute and 2 GB with 191 phones and gives the same best paths: parallel
paths are kept as they are (an n-gram's own arc and the one by its back-off), and a back-off arc is an epsilon.

Source: Mohri, Pereira and Riley, "Speech recognition with weighted finite-state transducers", 2008; the weights of
transitions Kaldi's `AddTransitionProbs` and `AddSelfLoops` with `reorder=true`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from isogloss.phones.hmm.fst_arrays import ARC, FstArrays
from isogloss.phones.hmm.ngram import END, START, Ngram, PhoneLM
from isogloss.phones.hmm.phone_nets import PhoneContexts, PhoneNet, PhoneSet, phone_contexts
from isogloss.phones.hmm.topology import SELF_LOOP_SCALE, TransitionModel, scaled_log_probs
from isogloss.phones.hmm.tree import OUTSIDE, ContextTree
from isogloss.phones.hmm.utterance_graph import SILENCE_PROBABILITY
from isogloss.types import IsoglossError


def build_graph(
    model: TransitionModel,
    tree: ContextTree,
    lm: PhoneLM,
    *,
    silence_phone: int,
    silence_probability: float = SILENCE_PROBABILITY,
    self_loop_scale: float = SELF_LOOP_SCALE,
    transition_scale: float = 1.0,
) -> FstArrays:
    """The graph of all phone sequences. `silence_probability`: of a pause before the first phone and after each, below 1."""
    if not 0 <= silence_probability < 1:
        raise IsoglossError(f"a silence probability of {silence_probability}: expected at least 0 and less than 1")
    if silence_phone in lm.log_probs[()]:
        raise IsoglossError(
            f"the phone n-gram has silence (phone {silence_phone}) among its phones; train it on phones without silence"
        )
    phones = [silence_phone, *lm.vocabulary]
    neighbours = sorted({OUTSIDE, *phones})
    contexts = {phone: phone_contexts(phone, neighbours, tree, model) for phone in phones}
    weights = -scaled_log_probs(model, self_loop_scale, transition_scale)
    return _Builder(lm, contexts, silence_phone, silence_probability, weights).build()


class _Builder:
    """Graph states are: the start; junctions, where the next phone is chosen; and the nodes of nets.

    A junction is (history, kind of the phone before, phones that may follow): the phone before has been said as it is said
    before exactly these, and phones before are of one kind if every phone has them in the same left class. A net's copy
    is (history after its phone, phone, left class).
    """

    def __init__(
        self,
        lm: PhoneLM,
        contexts: dict[int, PhoneContexts],
        silence: int,
        silence_probability: float,
        weights: np.ndarray,
    ) -> None:
        self.lm, self.contexts, self.silence, self.weights = lm, contexts, silence, weights.tolist()
        self.go_on_cost = -math.log(1.0 - silence_probability)
        self.pause_cost = -math.log(silence_probability) if silence_probability else math.inf
        self.followers = {history: _phone_set(of) for history, of in lm.log_probs.items()}
        rows = {before: tuple(of.left_class[before] for of in contexts.values()) for before in [OUTSIDE, *contexts]}
        kinds = {row: kind for kind, row in enumerate(dict.fromkeys(rows.values()))}
        self.kind = {before: kinds[row] for before, row in rows.items()}
        self.left_class = [dict(zip(contexts, row, strict=True)) for row in kinds]
        self.num_states = 1
        self.junctions: dict[tuple[Ngram, int, PhoneSet], int] = {}
        self.copies: dict[tuple[Ngram, int, int], int] = {}
        self.to_do: list[tuple[Ngram, int, PhoneSet] | tuple[Ngram, int, PhoneNet, int]] = []
        self.final: dict[int, float] = {}
        self.source: list[int] = []
        self.arcs: list[tuple[int, int, float, int]] = []  # input, output, weight, to

    def build(self) -> FstArrays:
        history = self.lm.state((START,))
        self._after(0, history, OUTSIDE, _phone_set(self.contexts) | 1 << OUTSIDE)
        while self.to_do:
            item = self.to_do.pop()
            if len(item) == 3:
                self._expand_junction(*item)
            else:
                self._expand_copy(*item)
        final = np.full(self.num_states, np.inf, dtype=np.float32)
        final[list(self.final)] = list(self.final.values())
        return FstArrays.sorted_by_source(0, final, np.array(self.source), np.array(self.arcs, dtype=ARC))

    def _after(self, state: int, history: Ngram, before: int, rights: PhoneSet) -> None:
        """What may follow `before`, said as before `rights`: the next phone, or a pause first."""
        if before == self.silence:
            self._to_junction(state, 0.0, history, self.kind[before], rights)
            return
        self._to_junction(state, self.go_on_cost, history, self.kind[before], rights)
        if rights >> self.silence & 1 and self.pause_cost < math.inf:
            self._enter(state, 0, self.pause_cost, history, self.silence, self.kind[before])

    def _to_junction(self, state: int, cost: float, history: Ngram, kind: int, rights: PhoneSet) -> None:
        """An epsilon to the choice of the next phone, past histories that have nothing of their own to offer."""
        while history and not self.followers[history] & rights:
            cost -= self.lm.log_backoffs[history]
            history = history[1:]
        if not self.followers[history] & rights:
            return
        key = history, kind, rights
        if key not in self.junctions:
            self.junctions[key] = self.num_states
            self.num_states += 1
            self.to_do.append(key)
        self.source.append(state)
        self.arcs.append((0, 0, cost, self.junctions[key]))

    def _enter(self, state: int, output: int, cost: float, history: Ngram, phone: int, kind: int) -> None:
        """Arcs into `phone` after a phone of `kind`; `history` is the one after it."""
        left_class = self.left_class[kind][phone]
        net = self.contexts[phone].nets[left_class]
        key = history, phone, left_class
        if key not in self.copies:
            self.copies[key] = self.num_states
            self.num_states += net.num_nodes
            self.to_do.append((history, phone, net, self.copies[key]))
        for transition_id, node in net.entries:
            self.source.append(state)
            self.arcs.append((transition_id, output, cost + self.weights[transition_id], self.copies[key] + node))

    def _expand_junction(self, history: Ngram, kind: int, rights: PhoneSet) -> None:
        state = self.junctions[history, kind, rights]
        for phone, log_prob in self.lm.log_probs[history].items():
            if phone == END:
                if rights >> OUTSIDE & 1:
                    self.final[state] = -log_prob
            elif rights >> phone & 1:
                self._enter(state, phone, -log_prob, self.lm.state((*history, phone)), phone, kind)
        if history:
            self._to_junction(state, -self.lm.log_backoffs[history], history[1:], kind, rights)

    def _expand_copy(self, history: Ngram, phone: int, net: PhoneNet, base: int) -> None:
        for node, transition_id, to in net.arcs:
            self.source.append(base + node)
            self.arcs.append((transition_id, 0, self.weights[transition_id], base + to))
        for node, rights in net.exits:
            self._after(base + node, history, phone, rights)


def _phone_set(phones: Iterable[int]) -> PhoneSet:
    """END counts as OUTSIDE."""
    return sum(1 << (OUTSIDE if phone == END else phone) for phone in phones)
