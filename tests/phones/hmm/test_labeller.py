import numpy as np
import pytest
from exhaustive import SILENCE, TEXT, TREES, model

from isogloss.frontend.mfcc import mfcc
from isogloss.phones import neural
from isogloss.phones.hmm.decode import Decoder
from isogloss.phones.hmm.gmm import PackedGmm
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.labeller import NEURAL_ACOUSTIC_SCALE, LabelOptions, load_labeller, pdf_ids
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.types import IGNORE_PDF, IsoglossError

TREE = TREES["monophone"]


@pytest.fixture
def folder(tmp_path):
    """A monophone model with random Gaussians."""
    rng, num = np.random.default_rng(3), TREE.num_pdfs
    means = rng.normal(0, 5, (num, 39)).astype("f")
    gmm = PackedGmm(np.arange(num + 1, dtype=np.int32), np.zeros(num, "f"), means, np.full((num, 39), 0.1, "f"))
    names = ["<eps>", "sil", "long", "short"]
    return PhoneModel("mono", names, SILENCE, model(TREE), TREE, gmm, None, None, PhoneLM.train(TEXT, 2)).save(
        tmp_path / "m"
    )


def noise(seconds, seed=0):
    return 0.1 * np.random.default_rng(seed).normal(size=round(16000 * seconds)).astype(np.float32)


def test_utterances_too_short_to_decode_have_no_labels_and_change_nothing(folder):
    labeller = load_labeller(folder, LabelOptions())
    short = noise(0.025)  # one frame; the shortest phone sequence has one too, no frame at all has none
    alone, other = labeller.paths([noise(1), noise(0.5, 1)])
    nothing, *same = labeller.paths([noise(0.02), noise(1), noise(0.5, 1)])
    assert nothing.shape == (0,)
    np.testing.assert_array_equal(same[0], alone)
    np.testing.assert_array_equal(same[1], other)
    assert (
        len(alone) == len(mfcc(noise(1), 16000))
        and 0 < alone.min() <= alone.max() <= labeller.model.transition_model.num_transition_ids
    )
    assert labeller.paths([short])[0].shape == (1,)
    assert labeller.paths([]) == []


def test_a_graph_that_needs_more_frames_leaves_the_utterance_without(folder, monkeypatch):
    labeller = load_labeller(folder, LabelOptions())
    monkeypatch.setattr(labeller._recogniser.decoder, "min_frames", 60)
    long, short = labeller.paths([noise(1), noise(0.5)])
    assert set(short) == {0} and len(short) == 48 and 0 not in long
    assert set(pdf_ids(labeller.model, short)) == {IGNORE_PDF} and IGNORE_PDF not in pdf_ids(labeller.model, long)


def test_a_neural_model_in_the_folder_takes_the_place_of_the_mixtures(folder, monkeypatch):
    class Neural:
        num_pdfs = TREE.num_pdfs

        def loglik(self, frames):
            return frames[:, : self.num_pdfs]

    monkeypatch.setattr(neural.NeuralPhones, "load", lambda _: Neural())
    (folder / "neural.json").write_text("{}")
    (path,) = load_labeller(folder, LabelOptions(best_path_scale=None)).paths([noise(1)])
    of = PhoneModel.load(folder)
    graph = build_graph(of.transition_model, of.tree, of.lm, silence_phone=SILENCE)
    decoder = Decoder(graph, of.transition_model, acoustic_scale=NEURAL_ACOUSTIC_SCALE)
    expected = decoder.decode(neural.log_mel(noise(1))[:, : TREE.num_pdfs]).transition_ids
    np.testing.assert_array_equal(path, expected)
    with pytest.raises(IsoglossError, match="holds a neural model, which does not adapt"):
        load_labeller(folder, LabelOptions(adapt=True))
    Neural.num_pdfs = 5
    with pytest.raises(IsoglossError, match=r"neural.json has 5 pdfs and model.json 6"):
        load_labeller(folder, LabelOptions())
