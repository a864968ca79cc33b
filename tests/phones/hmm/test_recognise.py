import itertools

import numpy as np
import pytest
from toy_speech import PHONES, SILENCE, toy_speech

from isogloss.phones.hmm.decode import Decoder
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.phones.hmm.recognise import Recogniser, align_speaker, group_by_speaker
from isogloss.types import IsoglossError

NAMES = ["sil", *"abcde"]


@pytest.fixture(scope="module")
def models(toy, stages):
    text = [[word[0][0] for word in words] for words in toy.speech.words]
    lm = PhoneLM.train(text, 1, list(PHONES))
    kind = {"with_pitch": False, "normalise_variance": False}
    return {name: PhoneModel.of(stages[name], NAMES, lm, **kind) for name in ("mono", "tri4b")}


@pytest.fixture(scope="module")
def stranger():
    """A speaker the models have not heard, of the same phones: (utterances, words, phones)."""
    toy = toy_speech(("ann", "bob", "eve"), distortion=1.0)
    mine = [i for i, speaker in enumerate(toy.speech.speakers) if speaker == "eve"]
    starts = toy.speech.frame_start
    cepstra = [toy.speech.frames[starts[i] : starts[i + 1]] for i in mine]
    said = [[word[0][0] for word in toy.speech.words[i]] for i in mine]
    return cepstra, [toy.speech.words[i] for i in mine], said, [toy.segments[i] for i in mine]


def errors(decoded, said):
    """Phones that differ, of sequences of whatever length."""
    total = 0
    for mine, truth in zip(decoded, said, strict=True):
        row = list(range(len(truth) + 1))
        for i, a in enumerate(mine.phones, 1):
            before, row[0] = row[0], i
            for j, b in enumerate(truth, 1):
                before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
        total += row[-1]
    return total


def recogniser(model):
    graph = build_graph(model.transition_model, model.tree, model.lm, silence_phone=model.silence)
    return Recogniser(model, Decoder(graph, model.transition_model, acoustic_scale=0.2))


def test_a_strange_speaker_is_understood_better_adapted(models, stranger):
    cepstra, _, said, _ = stranger
    works = recogniser(models["tri4b"])
    plain, adapted = works.speaker(cepstra, adapt=False), works.speaker(cepstra, adapt=True)
    assert errors(plain, said) >= errors(adapted, said) + 5 and errors(adapted, said) <= 4  # of 98 phones
    assert not works.problems
    assert all(len(of.transition_ids) == len(x) for of, x in zip(adapted, cepstra, strict=True))
    again = works.speaker(cepstra, adapt=True)
    assert all(np.array_equal(a.transition_ids, b.transition_ids) for a, b in zip(adapted, again, strict=True))


def test_too_little_speech_is_recognised_unadapted_and_told(models, stranger):
    cepstra, _, _, _ = stranger
    works = recogniser(models["tri4b"])
    few = works.speaker(cepstra[:2], adapt=True)
    assert len(works.problems) == 1 and "frames" in works.problems[0]
    for mine, x in zip(few, cepstra, strict=False):
        np.testing.assert_array_equal(mine.transition_ids, works.first_pass(x).transition_ids)


def test_a_model_without_adaptation_is_never_adapted(models, stranger):
    cepstra, _, _, _ = stranger
    works = recogniser(models["mono"])
    for a, b in zip(works.speaker(cepstra[:3], adapt=True), works.speaker(cepstra[:3], adapt=False), strict=True):
        np.testing.assert_array_equal(a.transition_ids, b.transition_ids)
    assert not works.problems


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("name", ["mono", "tri4b"])
def test_alignment_of_a_speaker_finds_the_phones(models, stranger, name, adapt):
    cepstra, words, _, truth = stranger
    model = models[name]
    paths = align_speaker(model, [*cepstra, cepstra[0][:6]], [*words, words[0]], adapt)
    assert paths[-1] is None  # six frames for seven phones
    deviations = []
    for path, segments in zip(paths, truth, strict=False):
        mine = model.transition_model.phone_segments(path)
        spoken = [of for of in mine if of[0] != SILENCE]
        expected = [of for of in segments if of[0] != SILENCE]
        assert [phone for phone, *_ in spoken] == [phone for phone, *_ in expected]
        deviations += [abs(a[1] - b[1]) for a, b in zip(spoken, expected, strict=True)]
    assert np.mean(np.array(deviations) <= 3) > 0.85


def test_speakers_keep_the_order_of_their_utterances():
    assert group_by_speaker(["b", "a", "b"]) == {"b": [0, 2], "a": [1]}
    with pytest.raises(IsoglossError, match="no utterances"):
        group_by_speaker([])


def test_adapted_alignment_of_training_speech_is_the_trainers(toy, stages, models):
    """The same speaker, words and mixtures: nearly the alignment the last stage ended with."""
    starts = toy.speech.frame_start
    mine = [i for i, speaker in enumerate(toy.speech.speakers) if speaker == "ann"]
    spans = list(itertools.pairwise(starts))
    paths = align_speaker(
        models["tri4b"], [toy.speech.frames[slice(*spans[i])] for i in mine], [toy.speech.words[i] for i in mine], True
    )
    trainers = np.concatenate([stages["tri4b"].em.transition_ids[slice(*spans[i])] for i in mine])
    assert (np.concatenate(paths) == trainers).mean() > 0.95
