import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from exhaustive import LONG, SHORT, SILENCE
from test_gmm import random_gmm
from transcripts import MODELS, WORDS, all_paths, model_of

from isogloss.phones.hmm.align import PackedGraphs, align
from isogloss.phones.hmm.topology import scaled_log_probs
from isogloss.phones.hmm.utterance_graph import build

SCALE = 0.3


def setting(name, transcripts, lengths, seed=0):
    """(mixtures, frames [N, D], frame_start, model, graphs of the transcripts)."""
    rng = np.random.default_rng(seed)
    tree, model = model_of(name, seed)
    gmm = random_gmm(rng, 4, tuple(rng.integers(1, 5, size=tree.num_pdfs)))
    starts = np.cumsum([0, *lengths])
    frames = (2 * rng.normal(size=(starts[-1], 4))).astype(np.float32)
    return gmm, frames, starts, model, [build(words, model, tree, SILENCE) for words in transcripts]


def score_of(tids, logp, acoustic, model):
    return logp + SCALE * acoustic[np.arange(len(tids)), model.pdf_of[list(tids)]].astype(float).sum()


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("name", MODELS)
def test_the_best_path_is_that_of_all_paths(name, words):
    lengths = (1, 2, 4, 7, 8)
    gmm, frames, starts, model, graphs = setting(name, [WORDS[words]] * 5, lengths)
    tree = MODELS[name][0]
    made = align(gmm, frames, starts, PackedGraphs.of(graphs), model, acoustic_scale=SCALE, beam=1e4)
    acoustic = gmm.loglik(frames)
    for u, length in enumerate(lengths):
        span = slice(starts[u], starts[u + 1])
        paths = all_paths(WORDS[words], tree, model, length)
        mine = made.transition_ids[span]
        if not paths:
            assert made.scores[u] == -np.inf and not mine.any() and u in made.failed
            continue
        scores = [score_of(tids, logp, acoustic[span], model) for tids, logp in paths]
        assert np.isclose(made.scores[u], max(scores), atol=1e-4)
        assert mine.tolist() in [list(tids) for tids, _ in paths]
        assert tuple(mine.tolist()) == paths[int(np.argmax(scores))][0]


def viterbi(graph, model, acoustic):
    """Score of the best path, float64, state by state."""
    logp = scaled_log_probs(model)
    score = np.where(np.isfinite(graph.entry_link), graph.entry_link, -np.inf).astype(float)
    for t in range(len(acoustic)):
        if t:
            arrived = np.full(len(score), -np.inf)
            for state in range(len(score)):
                for arc in range(graph.arc_start[state], graph.arc_start[state + 1]):
                    via = score[graph.arc_from[arc]] + graph.arc_link[arc] + logp[graph.arc_tid[arc]]
                    arrived[state] = max(arrived[state], via)
            score = arrived
        score = score + SCALE * acoustic[t, graph.pdfs].astype(float)
    return (score + graph.final_link + logp[graph.final_tid]).max()


LONGER = [[(SHORT,)], [(LONG, SHORT), (SHORT, LONG)], [(LONG,)], [(SHORT, SHORT), (SHORT,)], [(LONG, LONG)]]


@pytest.mark.parametrize("name", MODELS)
def test_longer_utterances_score_as_a_plain_viterbi_search(name):
    """Of more frames than one block of the compiled search, of several lengths side by side."""
    lengths = (150, 64, 65, 20)
    gmm, frames, starts, model, graphs = setting(name, [LONGER, LONGER[1:], LONGER[::-1], LONGER[2:]], lengths)
    made = align(gmm, frames, starts, PackedGraphs.of(graphs), model, acoustic_scale=SCALE, beam=1e4)
    assert not len(made.failed) and made.retried == 0
    acoustic = gmm.loglik(frames)
    for u, graph in enumerate(graphs):
        span = slice(starts[u], starts[u + 1])
        assert np.isclose(made.scores[u], viterbi(graph, model, acoustic[span]), rtol=1e-6, atol=1e-3)
        check_path(made.transition_ids[span], model)
    again = align(gmm, frames, starts, PackedGraphs.of(graphs), model, acoustic_scale=SCALE, beam=1e4)
    np.testing.assert_array_equal(made.transition_ids, again.transition_ids)
    np.testing.assert_array_equal(made.scores, again.scores)


def check_path(tids, model):
    """Each transition leads to the state of the next frame; phones begin at their first state and the last one ends."""
    for tid, following in itertools.pairwise(tids):
        state = model.state_of[tid]
        topology = model.topologies[int(model.phone_of[tid])]
        to = topology[int(model.hmm_state_of[tid])].transitions[tid - model.first_id[state]][0]
        if to == len(topology):
            assert model.hmm_state_of[following] == 0
        else:
            assert (model.phone_of[following], model.hmm_state_of[following]) == (model.phone_of[tid], to)
    assert model.hmm_state_of[tids[0]] == 0 and model.is_final[tids[-1]]


def test_a_beam_that_loses_the_end_is_widened_once():
    """The cheap way leads into a pause that the last frames cannot end in time."""
    gmm, frames, starts, model, graphs = setting("triphone", [LONGER] * 3, (12, 12, 12), seed=3)
    packed = PackedGraphs.of(graphs)
    free = align(gmm, frames, starts, packed, model, acoustic_scale=SCALE, beam=1e4)
    assert not len(free.failed)
    lost = align(gmm, frames, starts, packed, model, acoustic_scale=SCALE, beam=1e-3, retry_beam=1e-3)
    assert lost.failed.tolist() == [0, 1, 2] and lost.retried == 3 and not lost.transition_ids.any()
    found = align(gmm, frames, starts, packed, model, acoustic_scale=SCALE, beam=1e-3, retry_beam=1e4)
    assert found.retried == 3 and not len(found.failed)
    np.testing.assert_array_equal(found.transition_ids, free.transition_ids)
    np.testing.assert_array_equal(found.scores, free.scores)


def test_utterances_that_cannot_be_aligned_are_left_out_and_told():
    """Shorter than its phones; no frame at all; frames that are no numbers. The others are as they are without these."""
    transcripts = [LONGER[1:2], LONGER[1:2], LONGER[1:2], [], LONGER[1:2]]
    gmm, frames, starts, model, graphs = setting("triphone", transcripts, (20, 2, 0, 5, 9))
    frames[starts[4] + 3] = np.nan
    made = align(gmm, frames, starts, PackedGraphs.of(graphs), model)
    assert made.failed.tolist() == [1, 2, 4]
    assert not made.transition_ids[20:22].any() and not made.transition_ids[27:].any()
    alone = align(gmm, frames[:20], np.array([0, 20]), PackedGraphs.of(graphs[:1]), model)
    np.testing.assert_array_equal(made.transition_ids[:20], alone.transition_ids)
    assert set(model.phone_of[made.transition_ids[22:27]].tolist()) == {SILENCE}


WORK = """
import hashlib, numpy as np
from test_align import LONGER, SCALE, PackedGraphs, align, setting
from isogloss.phones.hmm.gmm import accumulate, precision_sums
gmm, frames, starts, model, graphs = setting("triphone", [LONGER] * 40, [40] * 40)
made = align(gmm, frames, starts, PackedGraphs.of(graphs), model, acoustic_scale=SCALE)
pdf_ids = model.pdf_of[made.transition_ids]
sums, precision = accumulate(gmm, frames, pdf_ids), precision_sums(gmm, frames, pdf_ids)
values = [made.transition_ids, made.scores, sums.counts, sums.first, sums.second, np.array(sums.loglik),
          precision.precision, precision.target, precision.gaussian_first]
print(hashlib.sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in values)).hexdigest())
"""


def test_the_number_of_threads_changes_nothing():
    here = os.path.dirname(__file__)
    results = []
    for threads in ("1", "3"):
        environment = os.environ | {"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", WORK], cwd=here, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        results.append(done.stdout)
    assert results[0] == results[1]
