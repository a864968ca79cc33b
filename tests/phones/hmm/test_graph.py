import itertools
import math

import numpy as np
import pytest
from exhaustive import SILENCE, TEXT, TOPOLOGIES, TREES, TRIPHONE, model, phone_sequences

from isogloss.phones.hmm.fst_arrays import FstArrays
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.phones.hmm.phone_nets import phone_contexts
from isogloss.phones.hmm.tree import ContextTree
from isogloss.types import IsoglossError


def graph_of(tree, order=2, **options):
    return build_graph(model(tree), tree, PhoneLM.train(TEXT, order), silence_phone=SILENCE, **options)


def random_walk(graph, rng):
    """(transition-ids, phones) of a random path to an end."""
    state, inputs, outputs = graph.start, [], []
    while True:
        arcs = graph.arcs[graph.first[state] : graph.first[state + 1]]
        if np.isfinite(graph.final[state]) and (rng.random() < 0.5 or not len(arcs)):
            return inputs, outputs
        arc = arcs[rng.integers(len(arcs))]
        inputs += [int(arc["ilabel"])] * int(arc["ilabel"] > 0)
        outputs += [int(arc["olabel"])] * int(arc["olabel"] > 0)
        state = int(arc["to"])


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("order", [1, 3])
def test_every_path_is_an_alignment_in_its_own_context(name, order):
    tree = TREES[name]
    hmm, graph = model(tree), graph_of(tree, order)
    rng = np.random.default_rng(0)
    for _ in range(200):
        inputs, outputs = random_walk(graph, rng)
        segments = hmm.phone_segments(np.array(inputs, dtype=int))
        phones = [phone for phone, _, _ in segments]
        assert [phone for phone in phones if phone != SILENCE] == outputs
        assert not any(a == b == SILENCE for a, b in itertools.pairwise(phones))
        around = [0, *phones, 0]
        for place, (phone, start, stop) in enumerate(segments):
            window = (phone,) if tree.context_width == 1 else tuple(around[place : place + 3])
            for transition_id in inputs[start:stop]:
                pdf_class = TOPOLOGIES[phone][hmm.hmm_state_of[transition_id]].pdf_class
                assert hmm.pdf_of[transition_id] == tree.pdf(window, pdf_class)


@pytest.mark.parametrize("name", TREES)
def test_weights_are_a_distribution_over_phone_sequences(name):
    """Without self-loops every leaving arc's share sums to one, so a forward sum over the graph is that over sequences."""
    tree, num_frames = TREES[name], 6
    lm = PhoneLM.train(TEXT, 3)
    graph = build_graph(model(tree), tree, lm, silence_phone=SILENCE, silence_probability=0.3, self_loop_scale=0.0)
    # with ε-free counting of paths of the shortest phones only: total over all sequences of at most num_frames phones
    sequences = [(p, logp) for p, logp in phone_sequences(lm, num_frames, 0.3)]
    state_mass = {(graph.start, ()): 1.0}
    finished: dict[tuple[int, ...], float] = {}
    source = graph.source
    loop = source == graph.arcs["to"]
    while state_mass:
        after: dict[tuple[int, tuple[int, ...]], float] = {}
        for (state, said), mass in state_mass.items():
            if np.isfinite(graph.final[state]):
                finished[said] = finished.get(said, 0.0) + mass * math.exp(-graph.final[state])
            for a in range(graph.first[state], graph.first[state + 1]):
                arc = graph.arcs[a]
                then = (*said, int(arc["olabel"])) if arc["olabel"] else said
                if not loop[a] and len(then) <= 2:
                    key = int(arc["to"]), then
                    after[key] = after.get(key, 0.0) + mass * math.exp(-arc["weight"])
        state_mass = {key: mass for key, mass in after.items() if mass > 1e-9}
    for said in [(), (2,), (3,), (3, 3)]:
        # each pause is taken or not, with probabilities that sum to one; those left out did not fit into the frames
        expected = sum(math.exp(lp) for p, lp in sequences if SILENCE not in p and p == said) / 0.7 ** (len(said) + 1)
        assert math.isclose(finished[said], expected, rel_tol=1e-4), said


@pytest.mark.parametrize("name", TREES)
def test_tables_of_contexts_are_the_trees(name):
    tree, hmm, neighbours = TREES[name], model(TREES[name]), [0, 1, 2, 3]
    for phone in (1, 2, 3):
        contexts = phone_contexts(phone, neighbours, tree, hmm)
        for left in neighbours:
            net = contexts.nets[contexts.left_class[left]]
            for right in neighbours:
                window = (phone,) if tree.context_width == 1 else (left, phone, right)
                wanted = {tree.pdf(window, of.pdf_class) for of in TOPOLOGIES[phone]}
                exits = [node for node, rights in net.exits if rights >> right & 1]
                # walk back from the exits that this neighbour leaves by
                pdfs, seen = set(), set(exits)
                todo = list(exits)
                while todo:
                    node = todo.pop()
                    for source, transition_id, to in net.arcs:
                        if to == node:
                            pdfs.add(int(hmm.pdf_of[transition_id]))
                            todo += [source] if source not in seen else []
                            seen.add(source)
                    pdfs |= {int(hmm.pdf_of[tid]) for tid, to in net.entries if to == node}
                assert pdfs == wanted


def test_file_round_trip_and_openfst_reads_it(tmp_path):
    graph = graph_of(TRIPHONE, 3)
    path = tmp_path / "graph.fst"
    graph.write(path)
    again = FstArrays.read(path)
    assert again.start == graph.start
    for name in ("final", "first", "arcs"):
        np.testing.assert_array_equal(getattr(again, name), getattr(graph, name))
    kaldifst = pytest.importorskip("kaldifst")
    fst = kaldifst.StdVectorFst(kaldifst.StdConstFst.read(str(path)))
    assert fst.num_states == graph.num_states
    kaldifst.connect(fst)
    assert fst.num_states == graph.num_states  # no state is a dead end
    assert fst.num_input_epsilons(0) == int((graph.arcs["ilabel"][: graph.first[1]] == 0).sum())
    lines = fst.to_str().splitlines()
    arcs = sorted(tuple(line.split()[:4]) for line in lines if len(line.split()) > 2)
    mine = zip(graph.source, graph.arcs["to"], graph.arcs["ilabel"], graph.arcs["olabel"], strict=True)
    assert arcs == sorted(tuple(map(str, row)) for row in mine)


@pytest.mark.parametrize(("keep", "message"), [(20, "no transducer"), (-4, "cut short"), (None, "not an OpenFst")])
def test_broken_graph_files_are_told(tmp_path, keep, message):
    path = tmp_path / "graph.fst"
    graph_of(TRIPHONE).write(path)
    path.write_bytes(path.read_bytes()[:keep] if keep else b"x" * 200)
    with pytest.raises(IsoglossError, match=message):
        FstArrays.read(path)


def test_bad_input_is_told():
    lm = PhoneLM.train(TEXT, 2)
    hmm = model(TRIPHONE)
    with pytest.raises(IsoglossError, match="silence probability"):
        build_graph(hmm, TRIPHONE, lm, silence_phone=SILENCE, silence_probability=1.0)
    with pytest.raises(IsoglossError, match="without silence"):
        build_graph(hmm, TRIPHONE, lm, silence_phone=2)
    with pytest.raises(IsoglossError, match="phone 4"):
        build_graph(hmm, TRIPHONE, PhoneLM.train([[2, 4]]), silence_phone=SILENCE)
    with pytest.raises(IsoglossError, match="context width 5"):
        build_graph(hmm, ContextTree(5, 2, 0, 1), lm, silence_phone=SILENCE)
