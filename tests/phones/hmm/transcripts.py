"""All paths through the HMM of a transcript by enumeration: what utterance graphs and alignments are held against."""

import itertools
import math

import numpy as np
from exhaustive import LONG, SHORT, SILENCE, TREES

from isogloss.phones.hmm.topology import TransitionModel, left_to_right, silence_topology
from isogloss.phones.hmm.tree import ContextTree
from isogloss.phones.hmm.tree_building import reachable_states

WORDS = {
    "one word": [[(LONG,)]],
    "pronunciations": [[(LONG, SHORT), (SHORT,), (SHORT, SHORT)], [(SHORT,)]],
    "two words": [[(SHORT,)], [(LONG,), (SHORT,)]],
    "homophones": [[(SHORT,), (SHORT,)]],
}
# silence of four states with an ergodic middle, each with a pdf of its own
ERGODIC = {SILENCE: silence_topology(4), LONG: left_to_right(2), SHORT: left_to_right(1)}
ERGODIC_TREE = ContextTree(
    1,
    0,
    {
        "key": 0,
        "table": {1: {"key": -1, "table": {0: 0, 1: 1, 2: 2, 3: 6}}, 2: {"key": -1, "table": {0: 3, 1: 4}}, 3: 5},
    },
    7,
)
STRAIGHT = {SILENCE: silence_topology(3), LONG: left_to_right(2), SHORT: left_to_right(1)}
MODELS = {"ergodic": (ERGODIC_TREE, ERGODIC)} | {name: (tree, STRAIGHT) for name, tree in TREES.items()}


def model_of(name, seed=0):
    """(tree, model with random transition probabilities)."""
    tree, topologies = MODELS[name]
    initial = TransitionModel.initial(topologies, reachable_states(tree, topologies))
    return tree, initial.reestimated(np.random.default_rng(seed).uniform(5, 50, initial.num_transition_ids + 1))


def phone_sequences(words, optional_silence):
    """(phones, log probability) of every choice of pronunciations and pauses."""
    for choice in itertools.product(*words):
        chosen = -sum(math.log(len(word)) for word in words)
        gaps = itertools.product((False, True), repeat=len(words) + 1) if optional_silence else [()]
        for pauses in gaps:
            phones = [SILENCE] if pauses and pauses[0] else []
            for place, said in enumerate(choice):
                phones += [*said, *([SILENCE] if pauses and pauses[place + 1] else [])]
            yield tuple(phones), chosen + len(pauses) * math.log(0.5)


def scaled(model, state, index, self_loop_scale):
    """Log-probability of transition `index` of a transition-state, as a graph has it."""
    ids = range(model.first_id[state], model.first_id[state + 1])
    probabilities = [math.exp(model.log_probs[tid]) for tid in ids]
    leave = 1 - sum(p for p, tid in zip(probabilities, ids, strict=True) if model.is_self_loop[tid])
    if model.is_self_loop[ids[index]]:
        return self_loop_scale * math.log(probabilities[index])
    return math.log(probabilities[index] / leave) + self_loop_scale * math.log(leave)


def all_paths(words, tree, model, num_frames, *, optional_silence=True, self_loop_scale=0.1):
    """[(transition-ids [T], log probability without acoustics)] of every path of `num_frames` frames."""

    def go(phones, place, hmm_state, tids, logp):
        if place == len(phones):
            if len(tids) == num_frames:
                yield tids, logp
            return
        if len(tids) == num_frames:
            return
        phone, around = phones[place], (0, *phones, 0)
        window = (phone,) if tree.context_width == 1 else around[place : place + 3]
        topology = model.topologies[phone]
        pdf = tree.pdf(window, topology[hmm_state].pdf_class)
        state = model.transition_state(phone, hmm_state, pdf)
        for index, (to, _) in enumerate(topology[hmm_state].transitions):
            ends, cost = to == len(topology), scaled(model, state, index, self_loop_scale)
            tid = int(model.first_id[state]) + index
            yield from go(phones, place + ends, 0 if ends else to, (*tids, tid), logp + cost)

    paths = []
    for phones, logp in phone_sequences(words, optional_silence):
        paths += go(phones, 0, 0, (), logp)
    return paths
