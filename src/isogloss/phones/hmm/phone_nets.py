"""A phone in its contexts as a small piece of graph: as many copies of its HMM as its neighbours make a difference.

What a phone sounds like depends on its left neighbour only through a *left class* (neighbours that the tree tells apart for
no right neighbour), and within a class on the right neighbour only through the pdfs it gives. So the pieces number a few
per phone, where the windows that Kaldi composes C with number the cube of the phones: seven million for Mandarin.

Pieces are as Kaldi's `reorder=true`: the arc that leaves an HMM state comes first, the state's self-loops after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.phones.hmm.topology import Topology, TransitionModel
from isogloss.phones.hmm.tree import ContextTree, Node
from isogloss.types import IsoglossError

PhoneSet = int
"""Phones as bits: phone p is 1 << p; OUTSIDE is bit 0."""


@dataclass(frozen=True)
class PhoneNet:
    """A phone in one left class. Every path is: an entry, arcs, and from an exit on to a phone of its set."""

    num_nodes: int
    entries: tuple[tuple[int, int], ...]  # (transition-id, node)
    arcs: tuple[tuple[int, int, int], ...]  # (node, transition-id, node), self-loops among them
    exits: tuple[tuple[int, PhoneSet], ...]  # (node, what may follow)


@dataclass(frozen=True)
class PhoneContexts:
    """`left_class`: left neighbour → index into `nets`."""

    left_class: dict[int, int]
    nets: tuple[PhoneNet, ...]


def phone_contexts(phone: int, neighbours: list[int], tree: ContextTree, model: TransitionModel) -> PhoneContexts:
    """The nets of `phone` among `neighbours`, which may include OUTSIDE. IsoglossError if tree or model do not know them."""
    if (tree.context_width, tree.central_position) not in ((1, 0), (3, 1)):
        raise IsoglossError(
            f"a tree of context width {tree.context_width}, central position {tree.central_position}: graphs are built for "
            "monophones (1, 0) and triphones (3, 1); train or import such a model"
        )
    if phone not in model.topologies:
        raise IsoglossError(
            f"phone {phone} is not in the acoustic model; was the phone n-gram made from another lexicon?"
        )
    topology = model.topologies[phone]
    windows = np.stack([_pdf_table(tree, phone, state.pdf_class, neighbours) for state in topology], axis=-1)
    # left neighbours with equal rows of pdfs are one class
    rows = {row.tobytes(): row for row in windows}
    nets = []
    for row in rows.values():
        rights: dict[tuple[int, ...], PhoneSet] = {}
        for right, pdfs in zip(neighbours, map(tuple, row.tolist()), strict=True):
            rights[pdfs] = rights.get(pdfs, 0) | 1 << right
        nets.append(_net(phone, topology, rights, model))
    class_of = {row: index for index, row in enumerate(rows)}
    left_class = {left: class_of[row.tobytes()] for left, row in zip(neighbours, windows, strict=True)}
    return PhoneContexts(left_class, tuple(nets))


def _pdf_table(tree: ContextTree, phone: int, pdf_class: int, neighbours: list[int]) -> np.ndarray:
    """pdf [left, right] of one pdf class of `phone`: whole sets of neighbours descend the tree together."""
    table = np.empty((len(neighbours), len(neighbours)), dtype=np.int32)
    phones = np.array(neighbours)

    def fill(node: Node, lefts: np.ndarray, rights: np.ndarray) -> None:
        if not len(lefts) or not len(rights):
            return
        if isinstance(node, int):
            table[np.ix_(lefts, rights)] = node
            return
        key = node["key"] if isinstance(node, dict) else node[0]
        if key >= 0 and key != tree.central_position:  # splits the neighbours
            is_left = key < tree.central_position
            side = lefts if is_left else rights
            if isinstance(node, dict):
                unknown = set(phones[side].tolist()) - set(node["table"])
                if unknown:
                    raise IsoglossError(f"the decision tree does not know phone {min(unknown)} beside phone {phone}")
                parts = [(child, side[phones[side] == value]) for value, child in node["table"].items()]
            else:
                yes = np.isin(phones[side], list(node[1]))
                parts = [(node[2], side[yes]), (node[3], side[~yes])]
            for child, part in parts:
                fill(child, *((part, rights) if is_left else (lefts, part)))
            return
        value = pdf_class if key < 0 else phone
        if isinstance(node, dict):
            if value not in node["table"]:
                raise IsoglossError(f"the decision tree does not know phone {phone}, pdf class {pdf_class}")
            fill(node["table"][value], lefts, rights)
        else:
            fill(node[2] if value in node[1] else node[3], lefts, rights)

    everyone = np.arange(len(neighbours))
    fill(tree.root, everyone, everyone)
    return table


def _net(phone: int, topology: Topology, rights: dict[tuple[int, ...], PhoneSet], model: TransitionModel) -> PhoneNet:
    """`rights`: the pdfs of the HMM's states → the right neighbours that ask for them.

    A left-to-right HMM's copies share their beginnings: they part at the first state whose pdf differs.
    """
    end = len(topology)
    linear = all(to in (state, state + 1) for state, of in enumerate(topology) for to, _ in of.transitions)
    nodes: dict[tuple[int, int, tuple[int, ...]], int] = {}  # (state left, next state, pdfs so far) → node
    # dicts for ordered sets
    entries: dict[tuple[int, int], None] = {}
    arcs: dict[tuple[int, int, int], None] = {}
    exits: dict[int, PhoneSet] = {}
    for pdfs, followers in rights.items():
        into: list[list[int]] = [[] for _ in range(end + 1)]
        leaving: list[tuple[int, int, int]] = []  # (state, transition-id, node)
        for state, of in enumerate(topology):
            first = int(model.first_id[model.transition_state(phone, state, pdfs[state])])
            loops = [first + i for i, (to, _) in enumerate(of.transitions) if to == state]
            for i, (to, _) in enumerate(of.transitions):
                if to == state:
                    continue
                node = nodes.setdefault((state, to, pdfs[: state + 1] if linear else pdfs), len(nodes))
                into[to].append(node)
                leaving.append((state, first + i, node))
                arcs.update(((node, loop, node), None) for loop in loops)
                if to == end:
                    exits[node] = exits.get(node, 0) | followers
        for state, transition_id, node in leaving:
            arcs.update(((source, transition_id, node), None) for source in into[state])
            if state == 0:
                entries[transition_id, node] = None
    return PhoneNet(len(nodes), tuple(entries), tuple(arcs), tuple(exits.items()))
