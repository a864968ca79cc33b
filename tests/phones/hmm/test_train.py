import itertools
from dataclasses import replace

import numpy as np
import pytest
from toy_speech import OPTIONS, PHONETICS, SILENCE, TOPOLOGIES, toy_speech, trained

from isogloss.phones.hmm.speech import TrainingSpeech
from isogloss.phones.hmm.stages import train_mono
from isogloss.phones.hmm.train import EmOptions, equal_alignment, flat_gmm
from isogloss.phones.hmm.tree_building import monophone_tree
from isogloss.types import IsoglossError


def segments(stage):
    """(phone, first frame, one past the last) of every utterance's alignment."""
    starts = stage.em.speech.frame_start
    return [stage.em.model.phone_segments(stage.em.transition_ids[a:b]) for a, b in itertools.pairwise(starts)]


def steady(options):
    """Iterations after one whose M step neither split Gaussians nor was followed by another alignment or transform."""
    disturbed = {*options.realign, *options.transforms}
    return [i for i in range(options.grow_until + 2, options.iterations) if i not in disturbed]


def test_every_stage_finds_the_phones_where_they_were_said(toy, stages):
    for name, stage in stages.items():
        deviations = []
        for mine, truth in zip(segments(stage), toy.segments, strict=True):
            assert [phone for phone, *_ in mine] == [phone for phone, *_ in truth]
            deviations += [abs(a[1] - b[1]) for a, b in zip(mine, truth, strict=True)]
        assert np.mean(np.array(deviations) <= 1) > 0.95
        assert max(deviations) <= 3 or name == "mono"
        assert stage.em.num_failed == 0


def test_likelihood_rises(stages):
    for name, stage in stages.items():
        logliks = stage.em.logliks[1:] if name == "mono" else stage.em.logliks  # the flat start's comes first
        assert len(logliks) == OPTIONS[name].iterations - 1
        rounds = steady(OPTIONS[name])
        assert len(rounds) >= 3
        for iteration in rounds:
            assert logliks[iteration - 1] > logliks[iteration - 2] - 1e-4, (name, iteration)
        assert logliks[-1] > logliks[0]
    assert stages["tri1"].em.logliks[-1] > stages["mono"].em.logliks[-1]  # same features


def test_gaussians_grow_to_what_was_asked_for(stages):
    for name, stage in stages.items():
        asked = OPTIONS[name].num_gaussians
        assert 0.75 * asked <= stage.em.gmm.num_gaussians <= asked
    sizes = {name: stage.em.tree.num_pdfs for name, stage in stages.items()}
    assert sizes["mono"] == 3 * 5 and all(15 < sizes[name] <= 26 for name in sizes if name != "mono")


def test_speaker_adaptation_beats_the_features_as_they_are(toy, stages):
    """log p(x) = log p(Ax + b) + log |det A|, with as many Gaussians."""
    plain, adapted = stages["tri2b"], stages["tri3b"]
    assert set(adapted.transforms) == {"ann", "bob"}
    log_det = np.array([np.linalg.slogdet(adapted.transforms[name][:, :-1])[1] for name in ("ann", "bob")])
    gain = log_det[toy.speech.speaker_of_frame].mean()
    assert adapted.em.logliks[-1] + gain > plain.em.logliks[-1] + 0.3
    assert adapted.independent is not None and adapted.independent.num_gaussians == adapted.em.gmm.num_gaussians
    np.testing.assert_array_equal(adapted.independent.offsets, adapted.em.gmm.offsets)


def test_two_runs_are_the_same_to_the_last_bit(toy, stages):
    for name, again in trained(toy.speech).items():
        first = stages[name]
        for key in ("offsets", "log_weights", "means", "inv_vars"):
            np.testing.assert_array_equal(getattr(first.em.gmm, key), getattr(again.em.gmm, key))
        np.testing.assert_array_equal(first.em.transition_ids, again.em.transition_ids)
        np.testing.assert_array_equal(first.em.model.log_probs, again.em.model.log_probs)
        assert first.em.logliks == again.em.logliks and first.em.tree.to_json() == again.em.tree.to_json()
        for speaker, transform in first.transforms.items():
            np.testing.assert_array_equal(transform, again.transforms[speaker])


def test_one_speaker_is_enough():
    toy = toy_speech(("ann",), utterances=20)
    stages = trained(toy.speech)
    assert list(stages["tri4b"].transforms) == ["ann"]
    deviations = [
        abs(a[1] - b[1])
        for mine, truth in zip(segments(stages["tri4b"]), toy.segments, strict=True)
        for a, b in zip(mine, truth, strict=True)
    ]
    assert np.mean(np.array(deviations) <= 3) > 0.97


def test_silent_short_and_empty_utterances_do_no_harm(toy):
    """A digitally silent file, one shorter than its phones, one without a frame: those that cannot be aligned are counted."""
    speech = toy.speech
    parts = [speech.frames[a:b] for a, b in itertools.pairwise(speech.frame_start)]
    odd = [np.zeros((60, 13), dtype=np.float32), parts[0][:5], parts[0][:0]]
    mixed = TrainingSpeech.of(
        ["silent", "short", "empty", *speech.utterances],
        ["ann", "bob", "cid", *speech.speakers],
        [*speech.words[:3], *speech.words],
        [*odd, *parts],
    )
    stages = trained(mixed, last="tri3b")
    for stage in stages.values():
        assert stage.em.num_failed in (2, 3) and not stage.em.transition_ids[60:65].any()  # the silent one may pass
        assert np.isfinite(stage.em.logliks).all() and np.isfinite(stage.em.gmm.means).all()
        for mine, truth in zip(segments(stage)[3:], toy.segments, strict=True):
            assert [phone for phone, *_ in mine] == [phone for phone, *_ in truth]
    np.testing.assert_array_equal(stages["tri3b"].transforms["cid"], np.eye(*stages["tri3b"].transforms["ann"].shape))


def test_nothing_to_align_is_told(toy):
    starts = toy.speech.frame_start
    cut = [toy.speech.frames[a : a + 20] for a in starts[:-1]]
    short = TrainingSpeech.of(toy.speech.utterances, toy.speech.speakers, toy.speech.words, cut)
    with pytest.raises(IsoglossError, match="shorter than the states of its phones"):
        train_mono(short, PHONETICS, OPTIONS["mono"])
    with pytest.raises(IsoglossError, match="no utterance to train on"):
        TrainingSpeech.of([], [], [], [])


def test_texts_that_cannot_be_those_of_the_audio_are_told(toy):
    """Flat start goes through on long utterances; with every path lost afterwards there is nothing to train on."""
    stage = train_mono(toy.speech, PHONETICS, EmOptions(20, 2, 1, realign=()))
    starts = np.arange(len(toy.speech.utterances) + 1) * 10  # ten frames each, for seven phones
    cut = TrainingSpeech(toy.speech.utterances, toy.speech.speakers, toy.speech.words, toy.speech.frames[:280], starts)
    broken = replace(stage.em, speech=cut, frames=stage.em.frames[:280])
    with pytest.raises(IsoglossError, match="none of 28 utterances could be aligned"):
        broken.realign()


def test_the_flat_start_cuts_utterances_in_equal_parts(toy):
    tree = monophone_tree([[SILENCE], *PHONETICS.groups], TOPOLOGIES)
    model = train_mono(toy.speech, PHONETICS, EmOptions(15, 1, 1, realign=())).em.model
    pdf_ids = equal_alignment(toy.speech, model, tree, SILENCE)
    for words, (a, b) in zip(toy.speech.words, itertools.pairwise(toy.speech.frame_start), strict=True):
        phones = [SILENCE, *(word[0][0] for word in words), SILENCE]
        expected = [tree.pdf((phone,), k) for phone in phones for k in range(3)]
        changes = np.concatenate([[0], np.flatnonzero(np.diff(pdf_ids[a:b])) + 1, [b - a]])
        runs = [int(pdf_ids[a + i]) for i in changes[:-1]]
        assert runs == [pdf for pdf, _ in itertools.groupby(expected)]
        assert set(np.bincount(np.arange(b - a) * len(expected) // (b - a))) <= {(b - a) // 27, (b - a) // 27 + 1}
    flat = flat_gmm(toy.speech.frames, 2)
    np.testing.assert_allclose(flat.means[1], toy.speech.frames.mean(0), atol=1e-5)
    np.testing.assert_allclose(1 / flat.inv_vars[0], toy.speech.frames.var(0), rtol=1e-4)


def test_an_alignment_is_the_same_under_another_tree(stages):
    """Phones and HMM states stay, pdfs are those of the other tree in the phones' context: tri1's is converted from mono's."""
    from isogloss.phones.hmm.train import convert_alignment

    old, new = stages["mono"].em, stages["tri1"].em
    starts = old.speech.frame_start
    made = convert_alignment(old.transition_ids, starts, old.model, new.model, new.tree)
    for of in ("phone_of", "hmm_state_of", "is_self_loop", "is_final"):
        np.testing.assert_array_equal(getattr(new.model, of)[made], getattr(old.model, of)[old.transition_ids])
    for a, b in itertools.pairwise(starts):
        cut = old.model.phone_segments(old.transition_ids[a:b])
        around = [0, *(phone for phone, _, _ in cut), 0]
        for place, (_, begin, end) in enumerate(cut):
            for tid in made[a + begin : a + end]:
                expected = new.tree.pdf(tuple(around[place : place + 3]), int(new.model.hmm_state_of[tid]))
                assert new.model.pdf_of[tid] == expected
