import numpy as np
import pytest
from exhaustive import LONG, SHORT, SILENCE, TEXT, TREES, TRIPHONE, all_paths, model

from isogloss.phones.hmm.decode import Decoder
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.types import IsoglossError

EVERYTHING = {"beam": 1e6, "max_active": 10**6}
NUM_FRAMES = 6


def decoder(tree, order=2, **options):
    hmm = model(tree)
    graph = build_graph(hmm, tree, PhoneLM.train(TEXT, order), silence_phone=SILENCE)
    return Decoder(graph, hmm, **options), graph, hmm


def noise(tree, seed, num_frames=NUM_FRAMES, std=8.0):
    return (np.random.default_rng(seed).normal(size=(num_frames, tree.num_pdfs)) * std - 50).astype(np.float32)


def acoustics(paths, loglik):
    pdfs = np.array([pdfs for _, pdfs, _ in paths])
    return loglik.astype(np.float64)[np.arange(loglik.shape[0]), pdfs].sum(axis=1)


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_decoder_equals_exhaustive_search(name, order):
    tree = TREES[name]
    search, _, hmm = decoder(tree, order, acoustic_scale=0.2, **EVERYTHING)
    paths = all_paths(PhoneLM.train(TEXT, order), tree, hmm, NUM_FRAMES)
    weights = np.array([logp for _, _, logp in paths])
    answers = set()
    for seed in range(12):
        loglik = noise(tree, seed)
        scores = 0.2 * acoustics(paths, loglik) + weights
        best = int(scores.argmax())
        decoded = search.decode(loglik)
        assert decoded.reached_final
        assert decoded.score == pytest.approx(scores[best], abs=1e-4)
        assert tuple(decoded.phones) == paths[best][0]
        assert tuple(hmm.pdf_of[decoded.transition_ids].tolist()) == paths[best][1]
        answers.add(tuple(decoded.phones))
    assert len(answers) > 3


@pytest.mark.parametrize("name", TREES)
def test_best_path_at_another_scale_equals_exhaustive_search_over_the_lattice(name):
    tree, scale, other = TREES[name], 0.1, 1.0
    hmm = model(tree)
    paths = all_paths(PhoneLM.train(TEXT, 2), tree, hmm, NUM_FRAMES)
    weights = np.array([logp for _, _, logp in paths])
    moved = 0
    for seed in range(8):
        loglik = noise(tree, seed)
        acoustic = acoustics(paths, loglik)
        search_scores, other_scores = scale * acoustic + weights, other * acoustic + weights
        plain = decoder(tree, acoustic_scale=scale, **EVERYTHING)[0].decode(loglik)

        def choose(lattice_beam, loglik=loglik):
            options = {"acoustic_scale": scale, "best_path_scale": other, "lattice_beam": lattice_beam}
            found = decoder(tree, **options, **EVERYTHING)[0].decode(loglik)
            acoustic = loglik[np.arange(NUM_FRAMES), hmm.pdf_of[found.transition_ids]].sum(dtype=np.float64)
            return found, found.score + (other - scale) * acoustic

        _, value = choose(1e6)
        assert value == pytest.approx(other_scores.max(), abs=1e-3)
        narrow, _ = choose(0.0)
        np.testing.assert_array_equal(narrow.transition_ids, plain.transition_ids)
        middle, value = choose(3.0)
        near = search_scores >= search_scores.max() - 3.0
        assert other_scores[near].max() - 1e-3 <= value <= other_scores.max() + 1e-3
        moved += list(middle.transition_ids) != list(plain.transition_ids)
    assert moved


def test_transition_ids_are_a_path_of_the_model():
    search, _, hmm = decoder(TRIPHONE, 3, **EVERYTHING)
    loglik = noise(TRIPHONE, 0, num_frames=200)
    decoded = search.decode(loglik)
    assert decoded.transition_ids.shape == (200,)
    phones = [phone for phone, _, _ in hmm.phone_segments(decoded.transition_ids)]
    assert [phone for phone in phones if phone != SILENCE] == decoded.phones
    assert {LONG, SHORT} == set(decoded.phones)


@pytest.mark.parametrize("options", [{}, {"beam": 3.0, "max_active": 30}, {"max_active": 1}, {"best_path_scale": 1.0}])
def test_decoding_twice_gives_the_same(options):
    loglik = noise(TRIPHONE, 5, num_frames=100)
    search, _, _ = decoder(TRIPHONE, 3, **options)
    first, second, third = (
        search.decode(loglik),
        search.decode(loglik),
        decoder(TRIPHONE, 3, **options)[0].decode(loglik),
    )
    for again in (second, third):
        np.testing.assert_array_equal(first.transition_ids, again.transition_ids)
        assert (first.score, first.phones, first.reached_final) == (again.score, again.phones, again.reached_final)


def test_pruning_never_finds_a_better_path():
    loglik = noise(TRIPHONE, 6, num_frames=300)
    widest = decoder(TRIPHONE, 3, **EVERYTHING)[0].decode(loglik).score
    scores = [decoder(TRIPHONE, 3, beam=100.0, max_active=n)[0].decode(loglik).score for n in (1, 5, 25, 1000)]
    assert all(score <= widest + 1e-6 for score in scores)
    assert scores[0] < scores[-1] == pytest.approx(widest)


def test_same_as_kaldis_faster_decoder(tmp_path):
    kaldifst = pytest.importorskip("kaldifst")
    kaldi_decoder = pytest.importorskip("kaldi_decoder")
    search, graph, hmm = decoder(TRIPHONE, 3, beam=4.0, max_active=25, acoustic_scale=0.1)
    graph.write(tmp_path / "graph")
    fst = kaldifst.StdConstFst(kaldifst.StdConstFst.read(str(tmp_path / "graph")))
    for seed in range(5):
        loglik = noise(TRIPHONE, seed, num_frames=300)
        oracle = kaldi_decoder.FasterDecoder(fst, kaldi_decoder.FasterDecoderOptions(beam=4.0, max_active=25))
        oracle.decode(kaldi_decoder.DecodableCtc(np.ascontiguousarray(loglik[:, hmm.pdf_of[1:]] * np.float32(0.1))))
        _, path = oracle.get_best_path()
        _, transition_ids, phones, _ = kaldifst.get_linear_symbol_sequence(path)
        decoded = search.decode(loglik)
        assert decoded.phones == list(phones)
        assert decoded.transition_ids.tolist() == list(transition_ids)


def test_a_path_that_reaches_no_end_is_returned_and_marked():
    search, _, hmm = decoder(TRIPHONE, 2, max_active=1)
    # silence's first state sounds throughout, and its end is two states away
    loglik = np.full((30, TRIPHONE.num_pdfs), -500.0, dtype=np.float32)
    loglik[:, 0] = 0.0
    decoded = search.decode(loglik)
    assert not decoded.reached_final
    assert decoded.transition_ids.shape == (30,)
    assert set(hmm.phone_of[decoded.transition_ids].tolist()) == {SILENCE}


def test_bad_input_is_told():
    search, graph, hmm = decoder(TRIPHONE)
    assert search.min_frames == 1
    with pytest.raises(IsoglossError, match="0 frames"):
        search.decode(np.zeros((0, TRIPHONE.num_pdfs), dtype=np.float32))
    only_long = build_graph(hmm, TRIPHONE, PhoneLM.train([[LONG]], 1), silence_phone=SILENCE, silence_probability=0.0)
    with pytest.raises(IsoglossError, match="1 frames, but the shortest phone needs 2"):
        Decoder(only_long, hmm).decode(np.zeros((1, TRIPHONE.num_pdfs), dtype=np.float32))
    with pytest.raises(IsoglossError, match=r"\(5, 11\), expected \[frames, 12\]"):
        search.decode(np.zeros((5, 11), dtype=np.float32))
    with pytest.raises(IsoglossError, match="frame 3"):
        loglik = noise(TRIPHONE, 0)
        loglik[3, 0] = np.nan
        search.decode(loglik)
    with pytest.raises(IsoglossError, match="beam 0"):
        Decoder(graph, hmm, beam=0)
    small = model(TREES["monophone"])
    with pytest.raises(IsoglossError, match="another model"):
        Decoder(graph, small)


def test_equal_frames_as_of_a_silent_file_decode():
    search, _, _ = decoder(TRIPHONE, 3)
    decoded = search.decode(np.full((50, TRIPHONE.num_pdfs), -60.0, dtype=np.float32))
    assert decoded.reached_final and len(decoded.transition_ids) == 50
