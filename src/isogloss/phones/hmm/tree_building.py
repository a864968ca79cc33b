"""Growing the phonetic decision tree: greedy splits by likelihood gain over questions found in the data.

    L(S) = −½ n_S Σ_d (1 + log 2π + log σ²_Sd)        the frames of S under one diagonal Gaussian

The leaf whose best question gains most is split, until `max_leaves` or no split gains `threshold`; then leaves of one root
whose union loses less than `threshold` are joined. Phones of one root group share a root, their HMM states too; silence
keeps a pdf per state, whatever its neighbours.

Source: Young, Odell and Woodland, "Tree-based state tying for high accuracy acoustic modelling", HLT 1994; questions from
clustering as in Kaldi's `cluster-phones`, thresholds those of its `build-tree`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isogloss.phones.hmm.gmm import LOG_2PI
from isogloss.phones.hmm.topology import Topology, TransitionModel
from isogloss.phones.hmm.tree import ContextTree, Node

VARIANCE_FLOOR = 0.01  # of the statistics
THRESHOLD = 300.0  # log-likelihood a split must gain
LEFT, CENTRE, RIGHT, PDF_CLASS = 0, 1, 2, -1


@dataclass(frozen=True, eq=False)
class TreeStats:
    """Frames by (left phone, phone, right phone, pdf class)."""

    keys: np.ndarray  # [E, 4] int32
    counts: np.ndarray  # [E]
    first: np.ndarray  # [E, D]
    second: np.ndarray  # [E, D]

    def take(self, rows: np.ndarray) -> TreeStats:
        return TreeStats(self.keys[rows], self.counts[rows], self.first[rows], self.second[rows])


def accumulate_tree_stats(
    frames: np.ndarray,
    frame_start: np.ndarray,
    transition_ids: np.ndarray,
    model: TransitionModel,
    context_free: Sequence[int],
) -> TreeStats:
    """From an alignment; phones in `context_free` are counted without their neighbours. Transition-id 0 leaves a frame out."""
    keys = np.zeros((len(frames), 4), dtype=np.int32)
    for first, stop in zip(frame_start[:-1].tolist(), frame_start[1:].tolist(), strict=True):
        if stop == first or transition_ids[first] == 0:
            continue
        segments = model.phone_segments(transition_ids[first:stop])
        phones = [0, *(phone for phone, _, _ in segments), 0]
        for i, (phone, begin, end) in enumerate(segments):
            around = (0, 0) if phone in context_free else (phones[i], phones[i + 2])
            keys[first + begin : first + end, :3] = (around[0], phone, around[1])
    aligned = transition_ids > 0
    classes = np.zeros(model.num_transition_ids + 1, dtype=np.int32)
    for tid in range(1, model.num_transition_ids + 1):
        classes[tid] = model.topologies[int(model.phone_of[tid])][int(model.hmm_state_of[tid])].pdf_class
    keys[:, 3] = classes[transition_ids]
    distinct, index = np.unique(keys[aligned], axis=0, return_inverse=True)
    index = index.reshape(-1)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(distinct)))
    x = frames[aligned][order].astype(np.float64)
    return TreeStats(
        distinct,
        np.bincount(index, minlength=len(distinct)).astype(np.float64),
        np.add.reduceat(x, starts) if len(x) else np.zeros((0, frames.shape[1])),
        np.add.reduceat(x * x, starts) if len(x) else np.zeros((0, frames.shape[1])),
    )


def loglik(counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """L of sets of frames: counts [...], first and second [..., D] → [...]; an empty set has 0."""
    n = np.maximum(counts, 1e-10)[..., None]
    variances = np.maximum(second / n - (first / n) ** 2, VARIANCE_FLOOR)
    return np.where(counts > 0, -0.5 * counts * (1 + LOG_2PI + np.log(variances)).sum(-1), 0.0)


def find_questions(stats: TreeStats, groups: Sequence[Sequence[int]], pdf_class: int = 1) -> list[frozenset[int]]:
    """Sets of phones that sound alike: every cluster met while root groups are joined two by two, the nearest first.

    Only frames of the middle state (`pdf_class`) count, as in Kaldi's `cluster-phones`.
    """
    sets, sums = [], []
    middle = stats.take(np.flatnonzero(stats.keys[:, 3] == pdf_class))
    for group in groups:
        inside = np.isin(middle.keys[:, CENTRE], np.array(group))
        sets.append(frozenset(group))
        sums.append((middle.counts[inside].sum(), middle.first[inside].sum(0), middle.second[inside].sum(0)))
    questions = list(sets)
    n, x, xx = (np.array(column) for column in zip(*sums, strict=True))
    own = loglik(n, x, xx)
    alive = list(range(len(sets)))
    loss = np.full((2 * len(sets), 2 * len(sets)), np.inf)

    def compare(i: int, others: list[int]) -> None:
        merged = loglik(n[i] + n[others], x[i] + x[others], xx[i] + xx[others])
        loss[i, others] = loss[others, i] = own[i] + own[others] - merged

    for position, i in enumerate(alive):
        if position:
            compare(i, alive[:position])
    while len(alive) > 2:  # the union of all is no question
        table = loss[np.ix_(alive, alive)]
        a, b = np.unravel_index(int(np.argmin(table)), table.shape)
        i, j = alive[a], alive[b]
        alive = [k for k in alive if k not in (i, j)]
        new = len(sets)
        sets.append(sets[i] | sets[j])
        questions.append(sets[new])
        n, x, xx = np.append(n, n[i] + n[j]), np.vstack([x, x[i] + x[j]]), np.vstack([xx, xx[i] + xx[j]])
        own = np.append(own, loglik(n[new], x[new], xx[new]))
        compare(new, alive)
        alive.append(new)
    return sorted(set(questions), key=sorted)


@dataclass(eq=False)
class _Leaf:
    """A leaf while the tree grows."""

    root: int
    rows: np.ndarray
    gain: float = 0.0
    question: tuple[int, frozenset[int]] | None = None
    children: tuple[_Leaf, _Leaf] | None = None
    pdf: int = -1


def build_tree(
    stats: TreeStats,
    groups: Sequence[Sequence[int]],
    questions: Sequence[frozenset[int]],
    topologies: dict[int, Topology],
    context_free: Sequence[int],
    *,
    max_leaves: int,
    threshold: float = THRESHOLD,
) -> tuple[ContextTree, list[np.ndarray]]:
    """The tree, and for each pdf the rows of `stats` that belong to it (none for a phone that was never seen)."""
    sets = [np.array(sorted(question)) for question in questions]
    membership = np.zeros((len(sets), max(topologies) + 2))
    for row, phones in enumerate(sets):
        membership[row, phones] = 1.0
    roots = [
        _Leaf(index, np.flatnonzero(np.isin(stats.keys[:, CENTRE], np.array(group))))
        for index, group in enumerate(groups)
    ]
    queue: list[tuple[float, int, _Leaf]] = []
    count = 0

    def consider(leaf: _Leaf) -> None:
        nonlocal count
        leaf.gain, leaf.question = _best_question(stats.take(leaf.rows), questions, membership)
        if leaf.question is not None and leaf.gain > threshold:
            heapq.heappush(queue, (-leaf.gain, count, leaf))
            count += 1

    for leaf in roots:
        consider(leaf)
    free = [phone for phone in context_free if phone in topologies]
    num_leaves = len(roots) + sum(len(topologies[phone]) for phone in free)
    while queue and num_leaves < max_leaves:
        _, _, leaf = heapq.heappop(queue)
        assert leaf.question is not None
        key, values = leaf.question
        yes = np.isin(stats.keys[leaf.rows, key if key >= 0 else 3], np.array(sorted(values)))
        leaf.children = (_Leaf(leaf.root, leaf.rows[yes]), _Leaf(leaf.root, leaf.rows[~yes]))
        num_leaves += 1
        for child in leaf.children:
            consider(child)
    leaves = [leaf for root in roots for leaf in _leaves(root)]
    rows_of: list[np.ndarray] = []
    table: dict[int, Node] = {}
    for phone in free:  # a pdf for each state
        by_class: dict[int, Node] = {}
        for pdf_class in sorted({state.pdf_class for state in topologies[phone]}):
            by_class[pdf_class] = len(rows_of)
            rows_of.append(np.flatnonzero((stats.keys[:, CENTRE] == phone) & (stats.keys[:, 3] == pdf_class)))
        table[phone] = {"key": PDF_CLASS, "table": by_class}
    for joined in _joined(leaves, stats, threshold):
        for leaf in joined:
            leaf.pdf = len(rows_of)
        rows_of.append(np.concatenate([leaf.rows for leaf in joined]))
    for root, group in zip(roots, groups, strict=True):
        node = _node(root)
        table |= dict.fromkeys(group, node)
    return ContextTree(3, CENTRE, {"key": CENTRE, "table": table}, len(rows_of)), rows_of


def monophone_tree(groups: Sequence[Sequence[int]], topologies: dict[int, Topology]) -> ContextTree:
    """A pdf for each state of each group of phones, whatever the neighbours."""
    table: dict[int, Node] = {}
    num_pdfs = 0
    for group in groups:
        classes = sorted({state.pdf_class for state in topologies[group[0]]})
        node = {"key": PDF_CLASS, "table": {pdf_class: num_pdfs + i for i, pdf_class in enumerate(classes)}}
        num_pdfs += len(classes)
        table |= dict.fromkeys(group, node)
    return ContextTree(1, 0, {"key": 0, "table": table}, num_pdfs)


def reachable_states(tree: ContextTree, topologies: dict[int, Topology]) -> np.ndarray:
    """[S, 3] every (phone, HMM state, pdf) that some context leads to: the transition-states of the tree's model."""
    states = []
    for phone, topology in topologies.items():
        for state, hmm_state in enumerate(topology):
            known = {tree.central_position: phone, PDF_CLASS: hmm_state.pdf_class}
            states += [(phone, state, pdf) for pdf in sorted(_reachable(tree.root, known))]
    return np.array(sorted(states), dtype=np.int32)


def _reachable(node: Node, known: dict[int, int]) -> set[int]:
    if isinstance(node, int):
        return {node}
    if isinstance(node, dict):
        table = node["table"]
        if node["key"] in known:
            return _reachable(table[known[node["key"]]], known)
        return set().union(*(_reachable(child, known) for child in table.values()))
    key, values, yes, no = node
    if key in known:
        return _reachable(yes if known[key] in values else no, known)
    return _reachable(yes, known) | _reachable(no, known)


def _best_question(
    stats: TreeStats, questions: Sequence[frozenset[int]], membership: np.ndarray
) -> tuple[float, tuple[int, frozenset[int]] | None]:
    """(gain, (key, values)) of the split that gains most; (0, None) where nothing can be split."""
    best: tuple[float, tuple[int, frozenset[int]] | None] = (0.0, None)
    if len(stats.keys) < 2:
        return best
    n, x, xx = stats.counts.sum(), stats.first.sum(0), stats.second.sum(0)
    whole = float(loglik(n, x, xx))
    packed = np.concatenate([stats.counts[:, None], stats.first, stats.second], axis=1)  # [E, 1 + 2 D]
    dim = stats.first.shape[1]
    for key in (PDF_CLASS, LEFT, CENTRE, RIGHT):
        values, index = np.unique(stats.keys[:, key if key >= 0 else 3], return_inverse=True)
        if len(values) < 2:
            continue
        by_value = np.zeros((len(values), packed.shape[1]))
        np.add.at(by_value, index.reshape(-1), packed)
        if key == PDF_CLASS:
            candidates = [frozenset(range(int(value) + 1)) for value in values[:-1]]
            asked = np.tri(len(values) - 1, len(values))
        else:
            candidates, asked = list(questions), membership[:, values]
        yes = asked @ by_value
        no = by_value.sum(0) - yes
        gains = (
            loglik(yes[:, 0], yes[:, 1 : dim + 1], yes[:, dim + 1 :])
            + loglik(no[:, 0], no[:, 1 : dim + 1], no[:, dim + 1 :])
            - whole
        )
        gains[(asked.sum(1) == 0) | (asked.sum(1) == len(values))] = 0.0
        top = int(np.argmax(gains))
        if gains[top] > best[0]:
            best = (float(gains[top]), (key, candidates[top]))
    return best


def _leaves(leaf: _Leaf) -> list[_Leaf]:
    return [leaf] if leaf.children is None else _leaves(leaf.children[0]) + _leaves(leaf.children[1])


def _joined(leaves: list[_Leaf], stats: TreeStats, threshold: float) -> list[list[_Leaf]]:
    """Leaves of one root, those that differ little put together; in the order of their first."""
    result: list[list[_Leaf]] = []
    for root in sorted({leaf.root for leaf in leaves}):
        clusters = [[leaf] for leaf in leaves if leaf.root == root]
        sums = [
            (stats.counts[leaf.rows].sum(), stats.first[leaf.rows].sum(0), stats.second[leaf.rows].sum(0))
            for (leaf,) in clusters
        ]
        while len(clusters) > 1:
            n, x, xx = (np.array(column) for column in zip(*sums, strict=True))
            own = loglik(n, x, xx)
            merged = loglik(n[:, None] + n, x[:, None] + x, xx[:, None] + xx)
            loss = own[:, None] + own - merged
            loss[np.tril_indices(len(n))] = np.inf
            i, j = np.unravel_index(int(np.argmin(loss)), loss.shape)
            if loss[i, j] >= threshold:
                break
            clusters[i] += clusters.pop(j)
            a, b = sums[i], sums.pop(j)
            sums[i] = (a[0] + b[0], a[1] + b[1], a[2] + b[2])
        result += clusters
    return result


def _node(leaf: _Leaf) -> Node:
    if leaf.children is None:
        return leaf.pdf
    assert leaf.question is not None
    yes, no = leaf.children
    return [*leaf.question, _node(yes), _node(no)]
