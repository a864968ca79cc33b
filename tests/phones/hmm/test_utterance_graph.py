import numpy as np
import pytest
from exhaustive import LONG, SHORT, SILENCE
from transcripts import MODELS, WORDS, all_paths, model_of

from isogloss.phones.hmm.topology import scaled_log_probs
from isogloss.phones.hmm.utterance_graph import build
from isogloss.types import IsoglossError


def paths_of(graph, model, num_frames):
    """[(transition-ids, log probability)] of every path of a graph."""
    logp = scaled_log_probs(model)
    leaving = [[] for _ in graph.pdfs]
    for to in range(len(graph.pdfs)):
        for arc in range(graph.arc_start[to], graph.arc_start[to + 1]):
            leaving[graph.arc_from[arc]].append((to, int(graph.arc_tid[arc]), float(graph.arc_link[arc])))
    paths = []

    def go(state, tids, total):
        if len(tids) == num_frames - 1 and np.isfinite(graph.final_link[state]):
            tid = int(graph.final_tid[state])
            assert model.pdf_of[tid] == graph.pdfs[state]
            paths.append(((*tids, tid), total + graph.final_link[state] + logp[tid]))
        if len(tids) < num_frames - 1:
            for to, tid, link in leaving[state]:
                assert model.pdf_of[tid] == graph.pdfs[state]
                go(to, (*tids, tid), total + link + logp[tid])

    for state in np.flatnonzero(np.isfinite(graph.entry_link)):
        go(state, (), float(graph.entry_link[state]))
    return paths


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("optional_silence", [True, False])
def test_a_graph_has_the_paths_of_its_transcript_and_no_others(name, words, optional_silence):
    tree, model = model_of(name)
    graph = build(WORDS[words], model, tree, SILENCE, optional_silence=optional_silence)
    for num_frames in (1, 3, 6):
        mine = sorted(paths_of(graph, model, num_frames))
        expected = sorted(all_paths(WORDS[words], tree, model, num_frames, optional_silence=optional_silence))
        assert [tids for tids, _ in mine] == [tids for tids, _ in expected]
        np.testing.assert_allclose([logp for _, logp in mine], [logp for _, logp in expected], atol=1e-5)


def test_a_pause_alone_and_nothing_at_all():
    tree, model = model_of("ergodic")
    graph = build([], model, tree, SILENCE)
    assert set(model.phone_of[graph.arc_tid].tolist()) == {SILENCE}
    with pytest.raises(IsoglossError, match="empty transcript"):
        build([], model, tree, SILENCE, optional_silence=False)


def test_a_phone_the_model_lacks_is_told():
    tree, model = model_of("triphone")
    with pytest.raises(IsoglossError, match="phone 7 .* another lexicon"):
        build([[(LONG, 7)], [(SHORT,)]], model, tree, SILENCE)
