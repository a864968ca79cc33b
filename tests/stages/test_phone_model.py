"""Training a phone recogniser on made-up words: what it leaves behind, what a kill changes, which utterances it does without."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from phone_words import RATE, say, write_words

from isogloss.config import DecodeConfig, override
from isogloss.corpora.transcribed import table
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.lexicon import Lexicon, read_lexicon
from isogloss.stages import phone_model as stage
from isogloss.stages.phone_model import STAGES, train_phones
from isogloss.stages.phone_recognition import score_phones
from isogloss.types import IsoglossError

pytestmark = pytest.mark.usefixtures("in_place")


@pytest.fixture
def items(words):
    return table(words.table)


@pytest.fixture
def lexicon(words):
    return read_lexicon(words.lexicon)


def arrays(folder):
    """Every number of a trained model."""
    found = {}
    for path in sorted(folder.glob("*/*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            found |= {f"{path.parent.name}/{path.stem}/{name}": stored[name] for name in stored.files}
    return found


def left_out(folder):
    return dict(line.split("\t") for line in (folder / "left_out.tsv").read_text().splitlines()[1:])


def copied(items, tmp_path):
    """The items of one speaker, their files free to be spoilt."""
    own = [item for item in items if item.speaker == "ann"]
    shutil.copytree(own[0].path.parent, tmp_path / "ann")
    return [replace(item, path=tmp_path / "ann" / item.path.name) for item in own]


def test_every_stage_is_a_model_and_says_how_it_went(phone_model, words, lexicon):
    figures = json.loads((phone_model / "stage.json").read_text())["stages"]
    assert tuple(figures) == STAGES
    for name, of in figures.items():
        model = PhoneModel.load(phone_model / name)
        assert (model.stage, model.phones) == (name, ["<eps>", "sil", *sorted("amios")])
        assert (of["num_pdfs"], of["num_gaussians"]) == (model.num_pdfs, model.gmm.num_gaussians)
        assert of["loglik_per_frame"] == of["loglik_by_iteration"][-1] and of["utterances_not_aligned"] == 0
        assert of["loglik_by_iteration"][-1] > of["loglik_by_iteration"][0] and of["seconds"] > 0
        assert model.adapts == (name in ("tri3b", "tri4b")) and (model.matrix is not None) == (name[-1] == "b")
    assert figures["mono"]["num_pdfs"] == 3 + 5 * 3  # three states each
    assert 18 < figures["tri1"]["num_pdfs"] <= 30
    again = read_lexicon(phone_model / "lexicon.txt")
    assert dict(again.pronunciations) == dict(lexicon.pronunciations)
    assert left_out(phone_model) == {}


def test_every_stage_recognises_words_that_it_has_not_heard(phone_model, items, lexicon, tmp_path):
    for name in STAGES:
        assert score_phones(items, lexicon, phone_model / name, tmp_path, DecodeConfig())["per"] < 10, name


@pytest.mark.parametrize("first_lost", ["mono", "tri2b", "tri3b", "tri4b"])
def test_a_killed_training_goes_on_as_if_nothing_had_been(
    phone_model, items, lexicon, tiny_phones, tmp_path, first_lost, monkeypatch
):
    out = shutil.copytree(phone_model, tmp_path / "model")
    (out / "stage.json").unlink()
    lost = STAGES[STAGES.index(first_lost) :]
    for name in lost:
        shutil.rmtree(out / name)
    trained = []
    for name, train in stage._TRAINERS.items():
        monkeypatch.setitem(stage._TRAINERS, name, lambda *a, name=name, train=train: trained.append(name) or train(*a))
    train_phones(items, lexicon, out, tiny_phones)
    assert tuple(trained) == lost
    expected, made = arrays(phone_model), arrays(out)
    assert expected.keys() == made.keys()
    for name in expected:
        np.testing.assert_array_equal(made[name], expected[name], err_msg=name)
    before, after = (json.loads((folder / "stage.json").read_text()) for folder in (phone_model, out))
    for of in (*before["stages"].values(), *after["stages"].values()):
        of.pop("seconds")
    assert before == after
    train_phones(items, lexicon, out, tiny_phones)
    assert tuple(trained) == lost  # all done: nothing more


def test_what_changes_is_trained_again_and_no_more(phone_model, items, lexicon, tiny_phones, tmp_path, monkeypatch):
    out = shutil.copytree(phone_model, tmp_path / "model")
    trained = []
    for name in STAGES:
        monkeypatch.setitem(stage._TRAINERS, name, lambda before, *_, name=name: trained.append(name) or before)
    monkeypatch.setattr(stage, "_reopened", lambda *_: "reopened")
    monkeypatch.setattr(stage, "_implausible", lambda *_: {})
    figures = dict.fromkeys(("num_pdfs", "num_gaussians", "loglik_per_frame", "seconds"), 1.0)
    monkeypatch.setattr(stage, "_figures", lambda *_: figures)
    monkeypatch.setattr(stage, "_save", lambda of, folder, *_: None)

    def again(config=tiny_phones, items=items, lexicon=lexicon):
        trained.clear()
        train_phones(items, lexicon, out, config)
        return trained

    assert again() == []
    assert again(override(tiny_phones, ["tri3b.leaves=29"])) == ["tri3b", "tri4b"]  # not those before it
    assert again(override(tiny_phones, ["tri3b.leaves=29", "variance_smoothing=0"])) == list(STAGES)
    assert again(items=items[:-3]) == list(STAGES)
    assert again(lexicon=Lexicon({**lexicon.pronunciations, "is": (("i", "s"),)})) == list(STAGES)


def test_options_reach_the_stages(items, lexicon, tiny_phones, tmp_path):
    def trained(*options):
        config = override(tiny_phones, list(options))
        return PhoneModel.load(train_phones(items, lexicon, tmp_path / "-".join(options), config, "mono") / "mono")

    usual = trained()
    assert trained("variance_smoothing=0").gmm.inv_vars.max() > usual.gmm.inv_vars.max()
    assert trained("silence_states=5").num_pdfs == usual.num_pdfs + 2
    assert trained("lm_order=1").lm.order == 1
    with_pitch = trained("with_pitch=true", "normalise_variance=true")
    assert with_pitch.with_pitch and with_pitch.normalise_variance and with_pitch.gmm.dim == 48


def test_a_new_recording_under_an_old_name_is_heard(items, lexicon, tiny_phones, tmp_path):
    mine = copied(items, tmp_path)
    out = train_phones(mine, lexicon, tmp_path / "model", tiny_phones, "mono")
    before = arrays(out)
    samples, _ = soundfile.read(mine[0].path)
    soundfile.write(mine[0].path, 0.5 * samples[::-1], RATE)
    train_phones(mine, lexicon, out, tiny_phones, "mono")
    first = before["mono/alignment/frame_start"][1]
    assert not np.array_equal(arrays(out)["mono/arrays/gmm.means"], before["mono/arrays/gmm.means"])
    assert arrays(out)["mono/alignment/frame_start"][1] == first


def test_utterances_that_cannot_be_used_are_left_out_with_their_reasons(items, lexicon, tiny_phones, tmp_path, caplog):
    """One speaker alone, some of whose clips are spoilt."""
    mine = copied(items, tmp_path)
    train = [item for item in mine if item.use == "train"]
    unknown, other, silent, short, cut, text, empty, partly, *_ = train
    spoilt = {
        unknown: replace(unknown, words=("sam", "Mis", "what")),
        other: replace(other, words=("what",)),
        partly: replace(partly, words=("moa",)),
    }
    soundfile.write(silent.path, np.zeros(RATE), RATE)
    soundfile.write(short.path, np.full(300, 0.1), RATE)  # less than a frame
    soundfile.write(cut.path, soundfile.read(cut.path)[0][:2400], RATE)
    text.path.write_text("I am not audio")
    empty.path.write_bytes(b"")
    long, _ = say(["mis"] * 5 + ["moa"], np.random.default_rng(5))
    soundfile.write(partly.path, long, RATE)
    items = [spoilt.get(item, item) for item in mine]
    with caplog.at_level(logging.WARNING):
        out = train_phones(items, lexicon, tmp_path / "model", tiny_phones, "tri1")
    reasons = left_out(out)
    assert set(reasons) == {item.id for item in train[:8]}
    assert reasons[unknown.id] == "unknown words: Mis what" and reasons[other.id] == "unknown words: what"
    assert "silent" in reasons[silent.id]
    assert reasons[short.id].startswith("too short: 0 frames") and "takes 18" in reasons[cut.id]
    assert text.path.name in reasons[text.id]
    assert empty.path.name in reasons[empty.id]
    assert reasons[partly.id].startswith("phone ") and "is more said than the transcript has?" in reasons[partly.id]
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.startswith("transcripts:")] == [
        "transcripts: 18 utterances; 2 skipped: 2 with words missing from the lexicon: what ×2, Mis ×1 "
        "(1 of these are there in the other case)"
    ]
    assert sum("cannot be read" in line for line in lines) == 1 and sum("set aside" in line for line in lines) == 1
    assert f"8 of 20 utterances not trained on; {out / 'left_out.tsv'}" in lines
    assert json.loads((out / "stage.json").read_text())["left_out"] == 8
    # a killed run remembers what it has set aside, and why others could not be read
    shutil.rmtree(out / "tri1")
    (out / "stage.json").unlink()
    before = arrays(out)
    train_phones(items, lexicon, out, tiny_phones, "tri1")
    assert left_out(out) == reasons
    assert all(np.array_equal(arrays(out)[name], of) for name, of in before.items())


def test_what_stops_the_training_is_said_in_a_line(words, items, lexicon, tiny_phones, tmp_path):
    def refused(message, items=items, lexicon=lexicon, **more):
        with pytest.raises(IsoglossError, match=message):
            train_phones(items, lexicon, tmp_path / "model", tiny_phones, **more)
        assert not (tmp_path / "model" / "stage.json").exists()

    refused("no stage 'tri5'; they are, in order, mono, tri1", last="tri5")
    held_out = [item for item in items if item.use == "test"]
    refused("none of 20 utterances is for training; does the table's column `split` say train", items=held_out)
    refused(
        "no utterance can be said with the lexicon of 1 words: .*sam ×.*one language", lexicon=Lexicon({"x": (("k",),)})
    )
    mine = copied(items, tmp_path)[:4]
    for item in mine:
        soundfile.write(item.path, np.zeros(800), RATE)
    refused("none of 3 utterances can be used: ann/00: too short: 3 frames", items=mine)


def test_words_that_are_pauses_are_no_phones_of_the_grammar(words, lexicon, tiny_phones, tmp_path):
    with_pause = Lexicon({**lexicon.pronunciations, "[pause]": (("sil",),)})
    made = write_words(tmp_path / "words", each=12)
    items = [replace(item, words=("[pause]", *item.words)) for item in table(made.table)]
    out = train_phones(items, with_pause, tmp_path / "model", tiny_phones, "mono")
    figures = score_phones(items, with_pause, out / "mono", tmp_path, DecodeConfig())
    assert figures["num_reference"] == sum(
        len(with_pause.pronunciations[w][0]) for i in items if i.use == "test" for w in i.words[1:]
    )
    assert figures["per"] < 20
