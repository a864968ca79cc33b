"""The HMM of one transcript: its words' pronunciations with optional silence between them, in phonetic context.

What Kaldi's `compile-train-graphs` makes, built directly: a transcript allows few paths, so no general composition is
needed. Every phone of the transcript stands once for each pair of neighbours it can have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isogloss.phones.hmm.topology import TransitionModel
from isogloss.phones.hmm.tree import OUTSIDE, ContextTree
from isogloss.types import IsoglossError

SILENCE_PROBABILITY = 0.5  # of a pause between two words, before the first and after the last

Words = Sequence[Sequence[tuple[int, ...]]]
"""A transcript: for each word its pronunciations, each a tuple of phones."""


@dataclass(frozen=True, eq=False)
class UtteranceGraph:
    """HMM states 0 … S − 1 of a transcript, and the arcs between them by destination.

    Arc a of state s (`arc_start[s]` ≤ a < `arc_start[s + 1]`) comes from `arc_from[a]` and is named by transition-id
    `arc_tid[a]`, whose log-probability it has besides `arc_link[a]`, that of the words and pauses chosen; an arc leaves its
    source after the source has emitted a frame.
    """

    pdfs: np.ndarray  # [S] int32, what a state emits
    entry_link: np.ndarray  # [S] float32 of beginning there; −inf: not possible
    final_link: np.ndarray  # [S] of ending there
    final_tid: np.ndarray  # [S] transition-id of that end
    arc_start: np.ndarray  # [S + 1]
    arc_from: np.ndarray
    arc_link: np.ndarray
    arc_tid: np.ndarray


def build(
    words: Words, model: TransitionModel, tree: ContextTree, silence_phone: int, *, optional_silence: bool = True
) -> UtteranceGraph:
    """The graph of one transcript; IsoglossError if it has no phones or the model lacks one of them."""
    nodes, after, begin, end = _phone_net(words, silence_phone if optional_silence else None)
    if not nodes:
        raise IsoglossError("an empty transcript has nothing to align")
    before: list[list[int]] = [[] for _ in nodes]
    for node, links in enumerate(after):
        for to, _ in links:
            before[to].append(node)
    # one instance per (phone to the left, node, phone to the right)
    lefts = [sorted({nodes[n] for n in before[i]} | ({OUTSIDE} if i in begin else set())) for i in range(len(nodes))]
    rights = [sorted({nodes[n] for n, _ in after[i]} | ({OUTSIDE} if i in end else set())) for i in range(len(nodes))]
    if tree.context_width == 1:
        lefts = rights = [[OUTSIDE]] * len(nodes)
    first_state: dict[tuple[int, int, int], int] = {}
    pdfs: list[int] = []
    arcs: list[tuple[int, int, int, float]] = []  # to, from, tid, link
    leaving: dict[tuple[int, int, int], list[tuple[int, int]]] = {}  # instance → ways out (state, tid)
    for i, phone in enumerate(nodes):
        for left in lefts[i]:
            for right in rights[i]:
                window = (phone,) if tree.context_width == 1 else (left, phone, right)
                base = first_state[left, i, right] = len(pdfs)
                leaving[left, i, right] = _expand(phone, window, model, tree, base, pdfs, arcs)
    size = len(pdfs)
    entry, final = np.full((2, size), -np.inf, dtype=np.float32)
    final_tid = np.zeros(size, dtype=np.int32)
    mono = tree.context_width == 1
    for (left, i, right), exits in leaving.items():
        if i in begin and (mono or left == OUTSIDE):
            entry[first_state[left, i, right]] = begin[i]
        if i in end and (mono or right == OUTSIDE):
            for state, tid in exits:
                final[state], final_tid[state] = end[i], tid
        for to, link in after[i]:
            if not mono and nodes[to] != right:
                continue
            seen_from_there = OUTSIDE if mono else nodes[i]
            for next_right in rights[to]:
                target = first_state[seen_from_there, to, next_right]
                arcs += [(target, state, tid, link) for state, tid in exits]
    arcs.sort()
    targets, sources, tids, costs = (np.array(column) for column in zip(*arcs, strict=True))
    return UtteranceGraph(
        pdfs=np.array(pdfs, dtype=np.int32),
        entry_link=entry,
        final_link=final,
        final_tid=final_tid,
        arc_start=np.searchsorted(targets, np.arange(size + 1)).astype(np.int32),
        arc_from=sources.astype(np.int32),
        arc_link=costs.astype(np.float32),
        arc_tid=tids.astype(np.int32),
    )


def _phone_net(
    words: Words, silence: int | None
) -> tuple[list[int], list[list[tuple[int, float]]], dict[int, float], dict[int, float]]:
    """Phones as nodes; (phones, links out with log-probabilities, entries, ends) of the transcript."""
    nodes: list[int] = []
    after: list[list[tuple[int, float]]] = []
    begin: dict[int, float] = {}
    end: dict[int, float] = {}
    pause = float(np.log(SILENCE_PROBABILITY)) if silence is not None else -np.inf
    none = float(np.log(1 - SILENCE_PROBABILITY)) if silence is not None else 0.0

    def add(phone: int) -> int:
        nodes.append(phone)
        after.append([])
        return len(nodes) - 1

    def slot(tails: list[tuple[int | None, float]]) -> list[tuple[int | None, float]]:
        """Optional silence after `tails`; None is the beginning of the utterance."""
        if silence is None:
            return tails
        node = add(silence)
        for tail, logp in tails:
            link(tail, node, logp + pause)
        return [(tail, logp + none) for tail, logp in tails] + [(node, 0.0)]

    def link(tail: int | None, node: int, logp: float) -> None:
        if tail is None:
            begin[node] = logp
        else:
            after[tail].append((node, logp))

    tails = slot([(None, 0.0)])
    for pronunciations in words:
        ends: list[tuple[int | None, float]] = []
        choice = -float(np.log(len(pronunciations)))
        for phones in pronunciations:
            heads = tails
            for position, phone in enumerate(phones):
                node = add(phone)
                for tail, logp in heads:
                    link(tail, node, logp + (choice if position == 0 else 0.0))
                heads = [(node, 0.0)]
            ends += heads
        tails = slot(ends)
    for tail, logp in tails:
        if tail is not None:
            end[tail] = logp
    return nodes, after, begin, end


def _expand(
    phone: int,
    window: tuple[int, ...],
    model: TransitionModel,
    tree: ContextTree,
    base: int,
    pdfs: list[int],
    arcs: list[tuple[int, int, int, float]],
) -> list[tuple[int, int]]:
    """Append the HMM states of one phone in context; returns the ways out of it: (state, transition-id)."""
    if phone not in model.topologies:
        raise IsoglossError(
            f"phone {phone} of the transcript is not in the model; was it trained with another lexicon?"
        )
    topology = model.topologies[phone]
    ways_out = []
    for state, hmm_state in enumerate(topology):
        pdf = tree.pdf(window, hmm_state.pdf_class)
        pdfs.append(pdf)
        first = int(model.first_id[model.transition_state(phone, state, pdf)])
        for tid, (to, _) in enumerate(hmm_state.transitions, first):
            if to == len(topology):
                ways_out.append((base + state, tid))
            else:
                arcs.append((base + to, base + state, tid, 0.0))
    return ways_out
