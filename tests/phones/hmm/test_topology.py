import numpy as np
import pytest

from isogloss.phones.hmm.topology import (
    MIN_PROBABILITY,
    HmmState,
    TransitionModel,
    left_to_right,
    scaled_log_probs,
    silence_topology,
)
from isogloss.types import IsoglossError

SILENCE, LONG, SHORT = 1, 2, 3
TOPOLOGIES = {SILENCE: silence_topology(5), LONG: left_to_right(3), SHORT: left_to_right(1)}
STATES = np.array(
    [(SILENCE, s, s) for s in range(5)] + [(LONG, 0, 5), (LONG, 0, 8), (LONG, 1, 6), (LONG, 2, 7), (SHORT, 0, 9)],
    dtype=np.int32,
)
MODEL = TransitionModel.initial(TOPOLOGIES, STATES)


def test_transition_ids_count_the_arcs_of_each_state_in_order():
    number = 0
    for index, (phone, state, pdf) in enumerate(STATES.tolist()):
        assert MODEL.first_id[index] == number + 1
        for to, probability in TOPOLOGIES[phone][state].transitions:
            number += 1
            assert (MODEL.phone_of[number], MODEL.hmm_state_of[number], MODEL.pdf_of[number]) == (phone, state, pdf)
            assert MODEL.state_of[number] == index
            assert MODEL.is_self_loop[number] == (to == state)
            assert MODEL.is_final[number] == (to == len(TOPOLOGIES[phone]))
            assert np.isclose(np.exp(MODEL.log_probs[number]), probability)
    assert number == MODEL.num_transition_ids
    assert MODEL.num_pdfs == 10
    assert not MODEL.is_self_loop[0] and not MODEL.is_final[0]


def test_silence_is_ergodic_between_its_first_and_last_state():
    def destinations(states):
        return [[to for to, _ in state.transitions] for state in silence_topology(states)]

    assert destinations(5) == [[0, 1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [4, 5]]
    assert destinations(3) == [[0, 1], [1, 2], [2, 3]]
    assert destinations(1) == [[0, 1]]
    assert all(np.isclose(sum(p for _, p in state.transitions), 1) for state in silence_topology(5))


def test_a_state_is_found_by_phone_hmm_state_and_pdf():
    assert [MODEL.transition_state(*row) for row in STATES.tolist()] == list(range(len(STATES)))
    with pytest.raises(IsoglossError, match=r"no state .* = \(2, 1, 8\)"):
        MODEL.transition_state(LONG, 1, 8)


def test_probabilities_have_to_fit_the_topology():
    with pytest.raises(IsoglossError, match="3 transition probabilities for 28 transition-ids"):
        TransitionModel(TOPOLOGIES, STATES, np.zeros(4, dtype=np.float32))


def test_probabilities_follow_the_counts():
    counts = np.zeros(MODEL.num_transition_ids + 1)
    first = MODEL.first_id
    counts[first[0] : first[1]] = [10, 20, 30, 40]
    counts[first[5] : first[6]] = [1e5, 0]  # the arc never taken is floored
    counts[first[7] : first[8]] = [2, 2]  # too few to tell
    new = np.exp(MODEL.reestimated(counts).log_probs.astype(float))
    assert np.allclose(new[first[0] : first[1]], [0.1, 0.2, 0.3, 0.4])
    assert np.allclose(new[first[5] : first[6]], [1 - MIN_PROBABILITY, MIN_PROBABILITY], rtol=1e-3)
    assert np.allclose(new[first[7] : first[8]], [0.75, 0.25])
    assert np.allclose(np.add.reduceat(new[1:], first[:-1] - 1), 1)


def _arc(index, to):
    """Transition-id of the arc from transition-state `index` to HMM state `to`."""
    phone, state, _ = STATES[index].tolist()
    return int(MODEL.first_id[index]) + [end for end, _ in TOPOLOGIES[phone][state].transitions].index(to)


def _path(rng, phones, loops_first):
    """A random path through `phones`: its alignment and its segments."""
    alignment, segments = [], []
    for phone in phones:
        start, state = len(alignment), 0
        while state < len(TOPOLOGIES[phone]):
            index = int(rng.choice(np.flatnonzero((STATES[:, 0] == phone) & (STATES[:, 1] == state))))
            others = [end for end, _ in TOPOLOGIES[phone][state].transitions if end != state]
            to = int(rng.choice(others))
            loops = [_arc(index, state)] * int(rng.integers(0, 4))
            alignment += [*loops, _arc(index, to)] if loops_first else [_arc(index, to), *loops]
            state = to
        segments.append((phone, start, len(alignment)))
    return np.array(alignment), segments


@pytest.mark.parametrize("loops_first", [True, False])
@pytest.mark.parametrize("phones", [[SILENCE, LONG], [SILENCE, LONG, SHORT]])
def test_segments_of_random_paths_are_found_again(phones, loops_first):
    rng = np.random.default_rng(5)
    for _ in range(300):
        sequence = [int(phone) for phone in rng.choice(phones, size=rng.integers(1, 8))]
        # a one-state phone said twice may be ambiguous; see _loops_first
        sequence = [p for i, p in enumerate(sequence) if not (i and p == SHORT == sequence[i - 1])]
        alignment, segments = _path(rng, sequence, loops_first)
        assert MODEL.phone_segments(alignment) == segments


@pytest.mark.parametrize("loops_first", [True, False])
def test_a_path_that_stops_inside_a_phone_keeps_its_last_phone(loops_first):
    rng = np.random.default_rng(6)
    alignment, segments = _path(rng, [SILENCE, LONG, LONG], loops_first)
    cut = segments[1][2] + 1
    assert MODEL.phone_segments(alignment[:cut]) == [*segments[:2], (LONG, segments[1][2], cut)]


def test_no_frames_are_no_segments():
    assert MODEL.phone_segments(np.array([], dtype=np.int32)) == []


def test_a_phone_may_lack_self_loops():
    model = TransitionModel.initial({1: (HmmState(0, ((1, 1.0),)),)}, np.array([[1, 0, 0]], dtype=np.int32))
    assert model.phone_segments(np.array([1, 1, 1])) == [(1, 0, 1), (1, 1, 2), (1, 2, 3)]


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_scaled_log_probs(scale):
    """Leaving a state costs what the scale makes of it; the shares of the ways out among themselves stay."""
    model = MODEL.reestimated(np.random.default_rng(0).uniform(5, 50, MODEL.num_transition_ids + 1))
    scaled = scaled_log_probs(model, scale)
    for state in range(len(STATES)):
        ids = np.arange(model.first_id[state], model.first_id[state + 1])
        probabilities, loop = np.exp(model.log_probs[ids].astype(float)), model.is_self_loop[ids]
        expected = np.where(loop, probabilities**scale, probabilities / (1 - probabilities[loop].sum()))
        expected[~loop] *= (1 - probabilities[loop].sum()) ** scale
        np.testing.assert_allclose(np.exp(scaled[ids]), expected, rtol=1e-6)
    assert scaled[0] == 0
    if scale == 1:
        np.testing.assert_allclose(scaled, model.log_probs, atol=1e-6)
        half = scaled_log_probs(model, 0.0, 0.5)[1:]
        np.testing.assert_allclose(half, 0.5 * scaled_log_probs(model, 0.0)[1:], atol=1e-9)
