"""Kaldi's final.mdl and tree: transition model, diagonal Gaussians and decision tree, binary or text, gzipped or not.

Source: Kaldi's hmm/hmm-topology, hmm/transition-model, gmm/am-diag-gmm, gmm/diag-gmm, tree/context-dep and tree/event-map
(`Read`). In binary the topology has a packed form of its own: phones, phone → entry, then every entry's states.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isogloss.phones.hmm.topology import HmmState, Topology, TransitionModel
from isogloss.phones.hmm.tree import ContextTree, Node
from isogloss.phones.kaldi_io import KaldiInput, TextInput, open_object
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from isogloss.phones.hmm.gmm import PackedGmm

NO_PDF = -1  # pdf class of a state that does not emit
PDF_CLASS = -1  # key of the decision tree


def read_transition_model(path: str | Path) -> TransitionModel:
    """The transition model at the head of any Kaldi acoustic model. Raises IsoglossError."""
    return _transition_model(open_object(Path(path)))


def read_gmm(path: str | Path) -> PackedGmm:
    """The Gaussians of a GMM final.mdl. Raises IsoglossError, also for a neural network's final.mdl."""
    from isogloss.phones.hmm.gmm import PackedGmm  # brings numba, which an import of alignments does without

    source = open_object(Path(path))
    model = _transition_model(source)
    word = source.token()
    if word != "<DIMENSION>":
        raise IsoglossError(f"{path} is not a GMM: after its transition model comes {word!r}; expected <DIMENSION>")
    dim = source.integer()
    source.expect("<NUMPDFS>")
    num_pdfs = source.integer()
    if dim < 1:
        raise source.wrong(dim, "a number of dimensions")
    if num_pdfs != model.num_pdfs:
        raise IsoglossError(
            f"{path} has {num_pdfs} pdfs, but its transition model {model.num_pdfs}; was it put together from two models?"
        )
    mixtures = [_mixture(source, dim) for _ in range(num_pdfs)]
    sizes = [len(weights) for weights, _, _ in mixtures]
    weights, means, inv_vars = (np.concatenate(parts).astype(np.float32) for parts in zip(*mixtures, strict=True))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return PackedGmm(offsets, np.log(weights), means, inv_vars)


def read_tree(path: str | Path) -> ContextTree:
    """The file `tree` beside a final.mdl. Raises IsoglossError."""
    source = open_object(Path(path))
    source.expect("ContextDependency")
    width, central = source.integer(), source.integer()
    if source.expect("ToPdf", "ToLength") == "ToLength":  # old trees: the number of pdf classes of a phone comes first
        _node(source)
        source.expect("ToPdf")
    root = _node(source)
    source.expect("EndContextDependency")
    leaves = list(_leaves(root))
    if not leaves or not 0 <= central < width:
        raise IsoglossError(f"{path}: a tree of {len(leaves)} leaves, context {width} and centre {central} is no tree")
    return ContextTree(width, central, root, max(leaves) + 1)


def check_tree(tree: ContextTree, model: TransitionModel, tree_path: str | Path, model_path: str | Path) -> None:
    """IsoglossError unless every (phone, HMM state, pdf) of the model is an answer of the tree."""
    together = "are they from the same folder?"
    if tree.num_pdfs != model.num_pdfs:
        raise IsoglossError(f"{tree_path} has {tree.num_pdfs} pdfs, {model_path} has {model.num_pdfs}; {together}")
    answers: dict[tuple[int, int], set[int]] = {}
    for phone, state, pdf in model.states.tolist():
        pdf_class = model.topologies[phone][state].pdf_class
        key = (phone, pdf_class)
        if key not in answers:
            answers[key] = set(_answers(tree.root, tree.central_position, phone, pdf_class))
        if pdf not in answers[key]:
            raise IsoglossError(
                f"{tree_path} has no context in which phone {phone}, HMM state {state} is pdf {pdf}, "
                f"as {model_path} has it; {together}"
            )


def _transition_model(source: KaldiInput) -> TransitionModel:
    source.expect("<TransitionModel>")
    topologies = _topologies_as_text(source) if isinstance(source, TextInput) else _topologies_as_binary(source)
    kind = source.expect("<Triples>", "<Tuples>")
    states = []
    for _ in range(source.integer()):
        phone, state, pdf = source.integer(), source.integer(), source.integer()
        if kind == "<Tuples>" and source.integer() != pdf:
            raise IsoglossError(
                f"{source.path}: phone {phone} has one pdf for its self-loop and another for going on (a chain model), "
                "which is not read here; make pdf-ids with Kaldi's ali-to-pdf and import those"
            )
        if phone not in topologies or not 0 <= state < len(topologies[phone]) or pdf < 0:
            raise source.wrong((phone, state, pdf), "a phone, an HMM state of its topology and a pdf")
        states.append((phone, state, pdf))
    source.expect(kind.replace("<", "</"))
    source.expect("<LogProbs>")
    log_probs = source.vector()
    source.expect("</LogProbs>")
    source.expect("</TransitionModel>")
    if not states:
        raise source.wrong("no states", "a trained model")
    try:
        return TransitionModel(topologies, np.array(states, dtype=np.int32), log_probs.astype(np.float32))
    except IsoglossError as error:
        raise IsoglossError(f"{source.path}: {error}") from None


_Entry = list[tuple[int, list[tuple[int, float]]]]  # (pdf class, transitions) of each state, the last one not emitting


def _topologies_as_text(source: KaldiInput) -> dict[int, Topology]:
    source.expect("<Topology>")
    topologies: dict[int, Topology] = {}
    while source.expect("<TopologyEntry>", "</Topology>") == "<TopologyEntry>":
        source.expect("<ForPhones>")
        phones = []
        while (word := source.token()) != "</ForPhones>":
            if not word.isdecimal():
                raise source.wrong(word, "a phone's number")
            phones.append(int(word))
        entry: _Entry = []
        while source.expect("<State>", "</TopologyEntry>") == "<State>":
            if (number := source.integer()) != len(entry):
                raise source.wrong(number, f"state {len(entry)}")
            entry.append(_state_as_text(source))
        topologies |= dict.fromkeys(phones, _topology(entry, source))
    return topologies


def _state_as_text(source: KaldiInput) -> tuple[int, list[tuple[int, float]]]:
    pdf_class, transitions = NO_PDF, []
    while (word := source.token()) != "</State>":
        if word in ("<PdfClass>", "<ForwardPdfClass>"):
            pdf_class = source.integer()
        elif word == "<SelfLoopPdfClass>":
            source.integer()  # the pdfs themselves tell whether it differs
        elif word == "<Transition>":
            transitions.append((source.integer(), source.real()))
        else:
            raise source.wrong(word, "<PdfClass>, <Transition> or </State>")
    return pdf_class, transitions


def _topologies_as_binary(source: KaldiInput) -> dict[int, Topology]:
    source.expect("<Topology>")
    phones, entry_of = source.integers(), source.integers()
    num_entries = source.integer()
    has_loop_class = num_entries == -1  # a chain model's states have a second pdf class, for the self-loop
    if has_loop_class:
        num_entries = source.integer()
    entries = []
    for _ in range(num_entries):
        entry: _Entry = []
        for _ in range(source.integer()):
            pdf_class = source.integer()
            if has_loop_class:
                source.integer()
            entry.append((pdf_class, [(source.integer(), source.real()) for _ in range(source.integer())]))
        entries.append(_topology(entry, source))
    source.expect("</Topology>")
    if not all(0 < phone < len(entry_of) and 0 <= entry_of[phone] < num_entries for phone in phones):
        raise source.wrong("phones without a topology", "one for each")
    return {phone: entries[entry_of[phone]] for phone in phones}


def _topology(entry: _Entry, source: KaldiInput) -> Topology:
    if len(entry) < 2 or entry[-1][0] != NO_PDF or entry[-1][1]:
        raise source.wrong(f"a topology of {len(entry)} states", "emitting states and a last one that does not emit")
    for pdf_class, transitions in entry[:-1]:
        if pdf_class < 0 or not transitions or not all(0 <= to < len(entry) for to, _ in transitions):
            raise source.wrong(f"a state of pdf class {pdf_class} to {transitions}", "an emitting one that leads on")
    return tuple(HmmState(pdf_class, tuple(transitions)) for pdf_class, transitions in entry[:-1])


def _mixture(source: KaldiInput, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [G], means [G, D], inv_vars [G, D]); <GCONSTS> follow from these and are left out."""
    source.expect("<DiagGMM>", "<DiagGMMBegin>")
    if source.expect("<GCONSTS>", "<WEIGHTS>") == "<GCONSTS>":
        source.vector()
        source.expect("<WEIGHTS>")
    weights = source.vector()
    source.expect("<MEANS_INVVARS>")
    means_inv_vars = source.matrix(dim)
    source.expect("<INV_VARS>")
    inv_vars = source.matrix(dim)
    source.expect("</DiagGMM>", "<DiagGMMEnd>")
    if (
        not len(weights) == len(means_inv_vars) == len(inv_vars) > 0
        or not (weights > 0).all()
        or not (inv_vars > 0).all()
    ):
        raise source.wrong(
            f"{len(weights)} weights, {len(means_inv_vars)} means, {len(inv_vars)} variances",
            "as many of each, weights and variances above 0",
        )
    return weights, means_inv_vars / inv_vars, inv_vars


def _node(source: KaldiInput) -> Node:
    """None where a table has no entry."""
    kind = source.expect("CE", "SE", "TE", "NULL")
    if kind == "NULL":
        return None
    if kind == "CE":
        return source.integer()
    key = source.integer()
    if kind == "TE":
        size = source.integer()
        source.expect("(")
        table = {value: node for value in range(size) if (node := _node(source)) is not None}
        source.expect(")")
        return {"key": key, "table": table}
    values = frozenset(source.integers())
    source.expect("{")
    yes, no = _node(source), _node(source)
    source.expect("}")
    if yes is None or no is None:
        raise source.wrong("a question without two answers", "a node for yes and one for no")
    return [key, values, yes, no]


def _leaves(node: Node) -> list[int]:
    if isinstance(node, int):
        return [node]
    children = node["table"].values() if isinstance(node, dict) else node[2:] if node else []
    return [leaf for child in children for leaf in _leaves(child)]


def _answers(node: Node, centre: int, phone: int, pdf_class: int) -> list[int]:
    """All pdfs of a phone's pdf class, whatever its neighbours."""
    if isinstance(node, int):
        return [node]
    known = {PDF_CLASS: pdf_class, centre: phone}
    if isinstance(node, dict):
        key, table = node["key"], node["table"]
        children = (
            [table[known[key]]] if key in known and known[key] in table else [] if key in known else table.values()
        )
    else:
        key, values, yes, no = node
        children = [yes if known[key] in values else no] if key in known else [yes, no]
    return [pdf for child in children for pdf in _answers(child, centre, phone, pdf_class)]
