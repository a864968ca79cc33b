import itertools
import json
import math

import numpy as np
import pytest

from isogloss.phones.hmm.topology import TransitionModel, left_to_right, silence_topology
from isogloss.phones.hmm.tree import ContextTree
from isogloss.phones.hmm.tree_building import (
    VARIANCE_FLOOR,
    TreeStats,
    accumulate_tree_stats,
    build_tree,
    find_questions,
    loglik,
    monophone_tree,
    reachable_states,
)

SILENCE, PHONES = 1, (2, 3, 4, 5, 6)
TOPOLOGIES = {SILENCE: silence_topology(5)} | {phone: left_to_right(3) for phone in PHONES}
GROUPS = [[2], [3, 4], [5], [6]]
QUESTIONS = [frozenset({2}), frozenset({3, 4}), frozenset({1}), frozenset({2, 5}), frozenset({3, 5, 6})]
DIM = 3


def drawn(seed=0, frames=60, neighbours=2.0, tone=2.0):
    """(keys [T, 4] of left, phone, right, class; frames [T, D]): a phone depends on itself, its state and who stands right."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(7, 5, DIM)) * 3
    sound = {2: 0, 3: 1, 4: 1, 5: 2, 6: 3}  # 3 and 4 are one sound, but for a tone
    keys, values = [], []
    for left, phone, right in itertools.product((0, *TOPOLOGIES), PHONES, (0, *TOPOLOGIES)):
        for pdf_class in range(3):
            keys += [(left, phone, right, pdf_class)] * frames
            mean = (
                base[sound[phone], pdf_class] + neighbours * (right in (2, 5)) * (pdf_class == 2) + tone * (phone == 4)
            )
            values.append(mean + rng.normal(size=(frames, DIM)))
    for pdf_class in range(5):
        keys += [(0, SILENCE, 0, pdf_class)] * frames
        values.append(base[6, pdf_class] + rng.normal(size=(frames, DIM)))
    return np.array(keys, dtype=np.int32), np.concatenate(values).astype(np.float32)


def stats_of(keys, frames):
    distinct, index = np.unique(keys, axis=0, return_inverse=True)
    x = frames.astype(np.float64)
    rows = [x[index.reshape(-1) == row] for row in range(len(distinct))]
    return TreeStats(
        distinct,
        np.array([float(len(of)) for of in rows]),
        np.array([of.sum(0) for of in rows]),
        np.array([(of**2).sum(0) for of in rows]),
    )


KEYS, FRAMES = drawn(frames=8)
STATS = stats_of(KEYS, FRAMES)


def grown(max_leaves=40, threshold=30.0, stats=STATS, questions=QUESTIONS):
    return build_tree(stats, GROUPS, questions, TOPOLOGIES, [SILENCE], max_leaves=max_leaves, threshold=threshold)


def direct_loglik(frames):
    """Σ_t log N(x_t) under the frames' own mean and (floored) variances; exact where no variance is floored."""
    x = frames.astype(np.float64)
    variance = np.maximum(x.var(0), VARIANCE_FLOOR)
    return float((-0.5 * (np.log(2 * math.pi * variance) + (x - x.mean(0)) ** 2 / variance)).sum())


def test_loglik_is_that_of_the_frames_under_their_own_gaussian():
    x = FRAMES[:40]
    made = loglik(
        np.array([40.0, 0.0]), np.array([x.sum(0), 0 * x[0]]), np.array([(x.astype(float) ** 2).sum(0), 0 * x[0]])
    )
    np.testing.assert_allclose(made, [direct_loglik(x), 0.0], rtol=1e-6)


def test_statistics_are_sums_by_context_of_the_alignment():
    tree = monophone_tree([[SILENCE], *GROUPS], TOPOLOGIES)
    model = TransitionModel.initial(TOPOLOGIES, reachable_states(tree, TOPOLOGIES))
    rng = np.random.default_rng(0)

    def aligned(phones):
        tids, classes = [], []
        for phone in phones:
            for state in range(len(TOPOLOGIES[phone])):
                last = len(TOPOLOGIES[phone][state].transitions) - 1
                first = int(model.first_id[model.transition_state(phone, state, tree.pdf((phone,), state))])
                loops = [first + k for k, (to, _) in enumerate(TOPOLOGIES[phone][state].transitions) if to == state]
                tids += loops[:1] * int(rng.integers(0, 3)) + [first + last]
                classes += [(phone, state)] * (len(tids) - len(classes))
        return tids, classes

    said = [[SILENCE, 2, 3, SILENCE, 2], [5], [3, 2, 3]]
    paths = [aligned(phones) for phones in said]
    lengths = [len(tids) for tids, _ in paths]
    starts = np.cumsum(
        [0, lengths[0], 4, lengths[1], 0, lengths[2]]
    )  # one of four frames was not aligned, one is empty
    tids = np.array([*paths[0][0], 0, 0, 0, 0, *paths[1][0], *paths[2][0]])
    frames = rng.normal(size=(len(tids), DIM)).astype(np.float32)
    expected: dict[tuple[int, ...], list[np.ndarray]] = {}
    for (_, classes), phones, start in zip(paths, said, starts[[0, 2, 4]], strict=True):
        around, place = [0, *phones, 0], 0
        for t, (phone, state) in enumerate(classes):
            place += t > 0 and state < classes[t - 1][1]
            assert phone == phones[place]
            context = (0, phone, 0) if phone == SILENCE else tuple(around[place : place + 3])
            expected.setdefault((*context, state), []).append(frames[start + t].astype(np.float64))
    made = accumulate_tree_stats(frames, starts, tids, model, [SILENCE])
    assert [tuple(key) for key in made.keys.tolist()] == sorted(expected)
    for key, count, first, second in zip(made.keys.tolist(), made.counts, made.first, made.second, strict=True):
        rows = np.array(expected[tuple(key)])
        assert count == len(rows)
        np.testing.assert_allclose(first, rows.sum(0), atol=1e-9)
        np.testing.assert_allclose(second, (rows**2).sum(0), atol=1e-9)


def test_the_first_split_is_the_question_that_gains_most():
    """Every question asked of the frames themselves."""
    for group in GROUPS:
        inside = np.isin(KEYS[:, 1], group)
        keys, frames = KEYS[inside], FRAMES[inside]
        gains = {}
        for key, values in itertools.product((0, 1, 2), QUESTIONS):
            gains[key, values] = np.isin(keys[:, key], list(values))
        for last in (0, 1):
            gains[-1, frozenset(range(last + 1))] = keys[:, 3] <= last
        gains = {
            question: direct_loglik(frames[yes]) + direct_loglik(frames[~yes]) - direct_loglik(frames)
            for question, yes in gains.items()
            if 0 < yes.sum() < len(yes)
        }
        stats = stats_of(keys, frames)
        tree, rows = build_tree(stats, [group], QUESTIONS, TOPOLOGIES, [], max_leaves=2, threshold=0.0)
        best = max(gains.values())
        key, values, yes, no = tree.root["table"][group[0]]
        assert math.isclose(gains[key, values], best, rel_tol=1e-9)
        split = sum(
            float(loglik(stats.counts[of].sum(), stats.first[of].sum(0), stats.second[of].sum(0))) for of in rows
        )
        assert math.isclose(split - direct_loglik(frames), best, rel_tol=1e-6)
        assert (yes, no) == (0, 1) or (yes, no) == (1, 0)


@pytest.mark.parametrize(("max_leaves", "threshold"), [(9, 0.0), (12, 30.0), (20, 30.0), (400, 0.0), (400, 50.0)])
def test_every_context_has_a_pdf_and_every_pdf_its_rows(max_leaves, threshold):
    tree, rows = grown(max_leaves, threshold)
    assert tree.num_pdfs == len(rows) <= max_leaves
    owner = np.full(len(STATS.keys), -1)
    for pdf, of in enumerate(rows):
        assert len(of) and (owner[of] == -1).all()
        owner[of] = pdf
    assert (owner >= 0).all()
    for (left, phone, right, pdf_class), pdf in zip(STATS.keys.tolist(), owner, strict=True):
        assert tree.pdf((left, phone, right), pdf_class) == pdf
    for window in itertools.product((0, *TOPOLOGIES), TOPOLOGIES, (0, *TOPOLOGIES)):  # seen or not
        for state in TOPOLOGIES[window[1]]:
            assert 0 <= tree.pdf(window, state.pdf_class) < tree.num_pdfs


def test_silence_keeps_a_pdf_for_each_state_and_groups_share_their_root():
    tree, _ = grown()
    assert [tree.pdf((3, SILENCE, 5), pdf_class) for pdf_class in range(5)] == [0, 1, 2, 3, 4]
    assert [tree.pdf((0, SILENCE, 0), pdf_class) for pdf_class in range(5)] == [0, 1, 2, 3, 4]
    table = tree.root["table"]
    assert table[3] is table[4] and table[3] is not table[2]
    # 3 and 4 differ by a tone, which is worth a question; without it they are one
    assert tree.pdf((0, 3, 0), 0) != tree.pdf((0, 4, 0), 0)
    alike = stats_of(*drawn(frames=8, tone=0.0))
    tree, _ = grown(stats=alike)
    assert all(tree.pdf((0, 3, right), k) == tree.pdf((0, 4, right), k) for right in (0, 2, 5) for k in range(3))
    # what the frames depend on is asked about: the right neighbour of the last state, and nothing on the left
    assert tree.pdf((0, 2, 5), 2) == tree.pdf((4, 2, 2), 2) != tree.pdf((4, 2, 3), 2)


def test_nothing_is_split_that_gains_less_than_the_threshold():
    tree, rows = grown(400, 1e9)
    assert tree.num_pdfs == 5 + len(GROUPS) and {len(np.unique(STATS.keys[of, 3])) for of in rows[5:]} == {3}
    fewer, more = grown(400, 60.0)[0].num_pdfs, grown(400, 5.0)[0].num_pdfs
    assert 9 < fewer < more


def test_leaves_of_one_root_whose_union_loses_little_are_joined():
    """Two questions about the left and the right make four leaves, of which three are the same."""
    rng = np.random.default_rng(0)
    keys, frames = [], []
    for left, right in itertools.product((2, 3), (2, 3)):
        keys += [(left, 5, right, 0)] * 200
        frames.append(rng.normal(size=(200, DIM)) + 6 * (left == 2 and right == 2))
    stats = stats_of(np.array(keys, dtype=np.int32), np.concatenate(frames))
    asked = [frozenset({2})]
    tree, rows = build_tree(stats, [[5]], asked, TOPOLOGIES, [], max_leaves=10, threshold=20.0)
    assert tree.num_pdfs == len(rows) == 2
    pdfs = {(left, right): tree.pdf((left, 5, right), 0) for left, right in itertools.product((2, 3), (2, 3))}
    assert pdfs[3, 2] == pdfs[2, 3] == pdfs[3, 3] != pdfs[2, 2]
    for pdf, of in enumerate(rows):
        assert sorted(of.tolist()) == [
            i for i, key in enumerate(stats.keys.tolist()) if tree.pdf(tuple(key[:3]), 0) == pdf
        ]


def test_questions_are_sets_that_sound_alike():
    found = find_questions(STATS, [[SILENCE], *GROUPS])
    assert {frozenset(group) for group in GROUPS} | {frozenset({SILENCE})} <= set(found)
    assert frozenset(TOPOLOGIES) not in found  # the union of all is no question
    assert found == find_questions(STATS, [[SILENCE], *GROUPS]) == sorted(set(found), key=sorted)
    middle = {
        number: FRAMES[np.isin(KEYS[:, 1], group) & (KEYS[:, 3] == 1)]
        for number, group in enumerate([[SILENCE], *GROUPS])
    }

    def loss(a, b):
        joined = np.concatenate([middle[a], middle[b]])
        return direct_loglik(middle[a]) + direct_loglik(middle[b]) - direct_loglik(joined)

    nearest = min(itertools.combinations(middle, 2), key=lambda pair: loss(*pair))
    groups = [[SILENCE], *GROUPS]
    assert frozenset(groups[nearest[0]] + groups[nearest[1]]) in found
    assert len(found) == 5 + 3  # all groups, and each join down to two


@pytest.mark.parametrize("which", ["grown", "monophone", "one leaf each"])
def test_reachable_states_are_those_of_all_windows(which):
    tree = {
        "grown": lambda: grown(60, 5.0)[0],
        "monophone": lambda: monophone_tree([[SILENCE], *GROUPS], TOPOLOGIES),
        "one leaf each": lambda: grown(9)[0],
    }[which]()
    expected = set()
    for window in itertools.product((0, *TOPOLOGIES), TOPOLOGIES, (0, *TOPOLOGIES)):
        phone = window[1]
        seen = window if tree.context_width == 3 else (phone,)
        for state, of in enumerate(TOPOLOGIES[phone]):
            expected.add((phone, state, tree.pdf(seen, of.pdf_class)))
    made = [tuple(row) for row in reachable_states(tree, TOPOLOGIES).tolist()]
    assert made == sorted(expected)
    assert {pdf for *_, pdf in made} == set(range(tree.num_pdfs))


def test_a_monophone_tree_has_a_pdf_for_each_state_of_each_group():
    tree = monophone_tree([[SILENCE], *GROUPS], TOPOLOGIES)
    assert tree.num_pdfs == 5 + 3 * len(GROUPS)
    assert [tree.pdf((3,), k) for k in range(3)] == [tree.pdf((4,), k) for k in range(3)]
    assert len({tree.pdf((phone,), k) for phone in (2, 3, 5, 6) for k in range(3)}) == 12


@pytest.mark.parametrize("made", [lambda: grown(60, 5.0)[0], lambda: monophone_tree([[SILENCE], *GROUPS], TOPOLOGIES)])
def test_json_round_trip(made):
    tree = made()
    text = json.dumps(tree.to_json())
    again = ContextTree.from_json(json.loads(text))
    for window in itertools.product((0, *TOPOLOGIES), TOPOLOGIES, (0, *TOPOLOGIES)):
        seen = window if tree.context_width == 3 else window[1:2]
        for state in TOPOLOGIES[window[1]]:
            assert again.pdf(seen, state.pdf_class) == tree.pdf(seen, state.pdf_class)
    assert again.root["table"][3] is again.root["table"][4]  # shared roots stay shared, and stand in the file once
    assert json.dumps(again.to_json()) == text
    np.testing.assert_array_equal(reachable_states(again, TOPOLOGIES), reachable_states(tree, TOPOLOGIES))
