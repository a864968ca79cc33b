"""Two small phone models and all paths through them by enumeration, without graphs: what the decoder is held against."""

import math

import numpy as np

from isogloss.phones.hmm.ngram import END, START, PhoneLM
from isogloss.phones.hmm.topology import TransitionModel, left_to_right, silence_topology
from isogloss.phones.hmm.tree import ContextTree

SILENCE, LONG, SHORT = 1, 2, 3
TOPOLOGIES = {SILENCE: silence_topology(3), LONG: left_to_right(2), SHORT: left_to_right(1)}

MONOPHONE = ContextTree(
    1,
    0,
    {"key": 0, "table": {1: {"key": -1, "table": {0: 0, 1: 1, 2: 2}}, 2: {"key": -1, "table": {0: 3, 1: 4}}, 3: 5}},
    6,
)
# the long phone's first state asks about the left, then the right; its second about the right (also about the very end);
# the short one about the left; silence's last state about the right
TRIPHONE = ContextTree(
    3,
    1,
    {
        "key": 1,
        "table": {
            1: {"key": -1, "table": {0: 0, 1: 1, 2: [2, frozenset({2}), 2, 9]}},
            2: {
                "key": -1,
                "table": {
                    0: [0, frozenset({1, 3}), 3, [2, frozenset({3}), 6, 10]],
                    1: [2, frozenset({0, 1}), 4, [0, frozenset({2}), 7, 11]],
                },
            },
            3: [0, frozenset({0, 2}), 5, 8],
        },
    },
    12,
)
TREES = {"monophone": MONOPHONE, "triphone": TRIPHONE}
TEXT = [[2, 3], [3, 3], [2], [3, 2, 3], [2, 3], [3, 3, 2]]


def model(tree, seed=0):
    """With random transition probabilities."""
    windows = [(p,) for p in (0, 1, 2, 3)] if tree.context_width == 1 else np.ndindex(4, 4, 4)
    states = {
        (window[tree.central_position], state, tree.pdf(tuple(map(int, window)), of.pdf_class))
        for window in windows
        if window[tree.central_position]
        for state, of in enumerate(TOPOLOGIES[window[tree.central_position]])
    }
    initial = TransitionModel.initial(TOPOLOGIES, np.array(sorted(states), dtype=np.int32))
    return initial.reestimated(np.random.default_rng(seed).uniform(5, 50, initial.num_transition_ids + 1))


def phone_sequences(lm: PhoneLM, max_frames, silence_probability):
    """All (phones with silence, log probability) that fit into max_frames; one for each way of backing off."""
    shortest = {SILENCE: 3, LONG: 2, SHORT: 1}
    pause, none = math.log(silence_probability), math.log(1 - silence_probability)

    def words(history):
        """(word, log p, history after it) of every arc, backing off or not."""
        for word, logp in lm.log_probs[history].items():
            yield word, logp, () if word == END else lm.state((*history, word))
        if history:
            for word, logp, after in words(history[1:]):
                yield word, lm.log_backoffs[history] + logp, after

    def go(said, logp, history, frames):
        for gap, cost in (((), none), ((SILENCE,), pause)):
            for word, word_logp, after in words(history):
                phones = (*said, *gap)
                total = logp + cost + word_logp
                used = frames + 3 * len(gap)
                if used > max_frames:
                    continue
                if word == END:
                    yield phones, total
                elif used + shortest[word] <= max_frames:
                    yield from go((*phones, word), total, after, used + shortest[word])

    yield from go((), 0.0, lm.state((START,)), 0)


def state_paths(phones, tree, model, num_frames, self_loop_scale):
    """All (pdfs [T], log probability) of a phone sequence."""

    def scaled(state, index):
        probabilities = np.exp(model.log_probs[model.first_id[state] : model.first_id[state + 1]].astype(float))
        transitions = TOPOLOGIES[int(model.states[state, 0])][int(model.states[state, 1])].transitions
        loops = [to == model.states[state, 1] for to, _ in transitions]
        leave = 1 - sum(p for p, loop in zip(probabilities, loops, strict=True) if loop)
        if loops[index]:
            return self_loop_scale * math.log(probabilities[index])
        return math.log(probabilities[index] / leave) + self_loop_scale * math.log(leave)

    def go(place, hmm_state, pdfs, logp):
        if place == len(phones):
            if len(pdfs) == num_frames:
                yield pdfs, logp
            return
        if len(pdfs) == num_frames:
            return
        phone = phones[place]
        left = phones[place - 1] if place else 0
        right = phones[place + 1] if place + 1 < len(phones) else 0
        window = (phone,) if tree.context_width == 1 else (left, phone, right)
        of = TOPOLOGIES[phone][hmm_state]
        pdf = tree.pdf(window, of.pdf_class)
        state = model.transition_state(phone, hmm_state, pdf)
        for index, (to, _) in enumerate(of.transitions):
            ends = to == len(TOPOLOGIES[phone])
            yield from go(place + ends, 0 if ends else to, (*pdfs, pdf), logp + scaled(state, index))

    yield from go(0, 0, (), 0.0)


def all_paths(lm, tree, model, num_frames, silence_probability=0.5, self_loop_scale=0.1):
    """[(phones without silence, pdfs [T], log probability without acoustics)]."""
    known = {}
    paths = []
    for phones, logp in phone_sequences(lm, num_frames, silence_probability):
        if phones not in known:
            known[phones] = list(state_paths(phones, tree, model, num_frames, self_loop_scale))
        spoken = tuple(phone for phone in phones if phone != SILENCE)
        paths += [(spoken, pdfs, logp + path_logp) for pdfs, path_logp in known[phones]]
    return paths
