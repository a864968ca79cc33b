"""A phone recogniser at work on made-up words: phones found where they are, errors counted, bad input named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from phone_words import RATE, files_in_place, say, write_words

from isogloss.config import DecodeConfig
from isogloss.corpora.transcribed import table
from isogloss.frontend.store import Store
from isogloss.phones.ctm import read_ctm
from isogloss.phones.hmm import recognise
from isogloss.phones.hmm.error_rate import edit_counts
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.lexicon import Lexicon, read_lexicon
from isogloss.stages import phone_decoding
from isogloss.stages.phone_decoding import decode_phones
from isogloss.stages.phone_recognition import align_phones, score_phones
from isogloss.types import IsoglossError

pytestmark = pytest.mark.usefixtures("in_place")
FRAME_SECONDS = 0.01


@pytest.fixture
def items(words):
    return table(words.table)


@pytest.fixture
def lexicon(words):
    return read_lexicon(words.lexicon)


@pytest.fixture(autouse=True)
def decoded_in_place(monkeypatch):
    monkeypatch.setattr(phone_decoding, "in_workers", files_in_place)


def left_out(folder):
    return dict(line.split("\t") for line in (folder / "left_out.tsv").read_text().splitlines()[1:])


def contents(folder):
    store = Store(folder / "pdf_ids")
    return (folder / "phones.ctm").read_text(), {name: store[name].tolist() for name in store}


@pytest.mark.parametrize("stage", ["mono", "tri1", "tri4b"])
def test_alignment_finds_the_phones_where_they_are(phone_model, words, items, lexicon, tmp_path, stage):
    out = align_phones(items, lexicon, phone_model / stage, tmp_path / "out", DecodeConfig())
    found = read_ctm(out / "phones.ctm")
    assert found.keys() == words.times.keys()
    off = []
    for name, expected in words.times.items():
        assert [phone for phone, *_ in found[name]] == [phone for phone, *_ in expected], name
        off += [
            abs(a - b) for f, e in zip(found[name], expected, strict=True) for a, b in zip(f[1:], e[1:], strict=True)
        ]
    assert np.median(off) <= 2 * FRAME_SECONDS and np.quantile(off, 0.95) <= 5 * FRAME_SECONDS
    about = json.loads((out / "about.json").read_text())
    assert about["utterances"] == len(items) and about["left_out"] == 0


def test_pdf_ids_are_those_of_the_phones(phone_model, items, lexicon, tmp_path):
    out = align_phones(items[:5], lexicon, phone_model / "mono", tmp_path / "out", DecodeConfig())
    store, model = Store(out / "pdf_ids"), PhoneModel.load(phone_model / "mono")
    assert store.meta["num_pdfs"] == model.num_pdfs and store.meta["pdf_names"] == model.pdf_names()
    everything = read_ctm(out / "phones.ctm", silences=())
    assert sorted(store) == [item.id for item in items[:5]]
    for item in items[:5]:
        ids, segments = store[item.id], everything[item.id]
        assert len(ids) == (soundfile.info(item.path).frames - 400) // 160 + 1
        assert segments[0][1] == 0 and round(segments[-1][2] * 100) == len(ids)
        for phone, start, end in segments:
            of_segment = ids[round(start * 100) : round(end * 100)]
            assert {store.meta["pdf_names"][pdf].split(":")[0] for pdf in of_segment} == {phone}


def test_the_pronunciation_that_fits_is_chosen(phone_model, items, lexicon, tmp_path):
    """`sam` is said s a m; a lexicon that says so second, and the phones of which are not all of the model's."""
    said = next(item for item in items if item.words[0] == "sam")
    other = Lexicon({"sam": (("s", "o", "m"), ("s", "a", "m"))})
    out = align_phones(
        [replace(said, words=("sam",), end_seconds=0.45)], other, phone_model / "mono", tmp_path, DecodeConfig()
    )
    assert "a" in [phone for phone, *_ in read_ctm(out / "phones.ctm")[said.id]]


def test_scores_are_of_the_test_items_and_their_counts_add_up(phone_model, items, lexicon, tmp_path):
    figures = score_phones(items, lexicon, phone_model / "tri4b", tmp_path / "work", DecodeConfig())
    json.dumps(figures)
    testing = [item for item in items if item.use == "test"]
    expected = sum(len(lexicon.pronunciations[word][0]) for item in testing for word in item.words)
    assert (figures["utterances"], figures["num_reference"]) == (len(testing), expected)
    errors = figures["substitutions"] + figures["insertions"] + figures["deletions"]
    assert figures["per"] == round(100 * errors / expected, 2) < 10
    assert set(figures["passes"]) == {"independent", "adapted"}
    assert list(figures["per_by_lm_weight"]) == list(range(7, 18)) and figures["lm_weight"] in range(7, 18)
    assert figures["insertion_penalty"] in (0.0, 0.5, 1.0)
    assert figures["left_out"] == {} and figures["problems"] == []
    plain = score_phones(items, lexicon, phone_model / "tri4b", tmp_path / "work", DecodeConfig(adapt=False))
    assert set(plain["passes"]) == {"independent"}
    assert plain["passes"]["independent"] == figures["passes"]["independent"]
    assert list(score_phones(items, lexicon, phone_model / "mono", tmp_path, DecodeConfig())["passes"]) == [
        "independent"
    ]


def test_wrong_transcripts_are_errors(phone_model, items, lexicon, tmp_path):
    """What is heard stays; what is expected is said backwards."""
    wrong = [replace(item, words=item.words[::-1]) for item in items]
    figures = score_phones(wrong, lexicon, phone_model / "mono", tmp_path, DecodeConfig())
    pairs = [
        [[phone for word in said for phone in lexicon.pronunciations[word][0]] for said in (of.words[::-1], of.words)]
        for of in items
        if of.use == "test"
    ]
    errors = sum(sum(edit_counts([ord(p) for p in a], [ord(p) for p in b])) for a, b in pairs)
    assert figures["per"] == pytest.approx(100 * errors / figures["num_reference"], abs=5)


def test_a_speaker_who_cannot_be_adapted_to_is_recognised_without(phone_model, items, lexicon, tmp_path, monkeypatch):
    monkeypatch.setattr(recognise, "adapt_speaker", lambda *_: recognise.Adapted(None, "too little speech"))
    figures = score_phones(items, lexicon, phone_model / "tri4b", tmp_path, DecodeConfig())
    assert figures["problems"] == ["too little speech"] * 2
    assert figures["passes"]["adapted"] == figures["passes"]["independent"]


def test_decoding_any_audio(phone_model, words, tmp_path, caplog):
    """Files in folders: a good one twice over, and all that can be wrong with a file."""
    rng, audio = np.random.default_rng(3), tmp_path / "audio"
    (audio / "below").mkdir(parents=True)
    samples, times = say(["mis", "osa", "moa"], rng)
    soundfile.write(audio / "below" / "two words.wav", samples, RATE)
    soundfile.write(audio / "stereo.flac", np.stack([samples, samples], 1), RATE)
    soundfile.write(audio / "short.wav", samples[:300], RATE)
    soundfile.write(audio / "header.wav", samples[:0], RATE)
    soundfile.write(audio / "silent.wav", 0 * samples, RATE)
    (audio / "text.wav").write_text("I am not audio")
    (audio / "notes.txt").write_text("not looked at")
    out = decode_phones(audio, phone_model / "mono", tmp_path / "out", DecodeConfig())
    found = read_ctm(out / "phones.ctm")
    assert set(found) == {"below/two_words", "stereo"}
    for segments in found.values():
        assert [phone for phone, *_ in segments] == [phone for phone, *_ in times]
        assert (
            max(abs(a - b) for f, e in zip(segments, times, strict=True) for a, b in zip(f[1:], e[1:], strict=True))
            < 0.06
        )
    store = Store(out / "pdf_ids")
    assert store["stereo"].tolist() == store["below/two_words"].tolist() and len(store) == 2
    reasons = left_out(out)
    assert set(reasons) == {"short", "header", "text", "silent"} and reasons["silent"].startswith("silent:")
    assert "too short" in reasons["short"] and "header.wav" in reasons["header"] and "text.wav" in reasons["text"]
    again = decode_phones(audio, phone_model / "mono", tmp_path / "again", DecodeConfig())
    assert contents(again) == contents(out) and left_out(again) == reasons
    listed = decode_phones(
        [audio / "stereo.flac", words.table.parent / "ann" / "00.wav"], phone_model / "tri4b", out, DecodeConfig()
    )
    assert listed == out and set(contents(out)[1]) == {"stereo", "00"}  # nothing of the run before


@pytest.mark.parametrize("stage", ["mono", "tri4b"])
def test_decoding_twice_is_the_same(phone_model, words, tmp_path, stage):
    one, other = (
        decode_phones(words.table.parent / "bob", phone_model / stage, tmp_path / name, DecodeConfig())
        for name in ("one", "other")
    )
    assert contents(one) == contents(other)


def test_a_killed_decoding_leaves_nothing_of_other_audio(phone_model, words, tmp_path, monkeypatch):
    add, root = phone_decoding.StoreWriter.add, words.table.parent

    def dying(self, name, rows):
        if name == "03":
            raise KeyboardInterrupt
        add(self, name, rows)

    monkeypatch.setattr(phone_decoding.StoreWriter, "add", dying)
    with pytest.raises(KeyboardInterrupt):
        decode_phones(root / "ann", phone_model / "mono", tmp_path / "out", DecodeConfig())
    assert not (tmp_path / "out" / "phones.ctm").exists()
    monkeypatch.undo()
    monkeypatch.setattr(phone_decoding, "in_workers", files_in_place)
    out = decode_phones([root / "bob" / "20.wav"], phone_model / "mono", tmp_path / "out", DecodeConfig())
    assert set(contents(out)[1]) == {"20"}


def test_bad_input_is_named(phone_model, items, lexicon, tmp_path):
    def refused(message, call, *arguments):
        with pytest.raises(IsoglossError, match=message):
            call(*arguments, tmp_path / "out", DecodeConfig())

    strange = Lexicon({**lexicon.pronunciations, "what": (("w", "o", "t"),)})
    for call in (align_phones, score_phones):
        refused(
            "2 phones that the model of 6 does not know, such as 't'; .*lexicon.txt",
            call,
            items,
            strange,
            phone_model / "mono",
        )
        refused("holds no phone model .*such as OUT/tri4b", call, items, lexicon, phone_model)
    training = [item for item in items if item.use == "train"]
    refused("none of 40 utterances is for testing", score_phones, training, lexicon, phone_model / "mono")
    (tmp_path / "empty").mkdir()
    refused("nothing to read in", decode_phones, tmp_path / "empty", phone_model / "mono")
    refused("holds no phone model", decode_phones, [items[0].path], phone_model)
    (tmp_path / "text.wav").write_text("not audio")
    refused("nothing .*decode.*text.wav", decode_phones, [tmp_path / "text.wav"], phone_model / "mono")
    refused("no-such.wav", decode_phones, [tmp_path / "no-such.wav"], phone_model / "mono")
    assert not (tmp_path / "out" / "phones.ctm").exists()
    soundfile.write(tmp_path / "short.wav", np.zeros(1000), RATE)
    cut = [replace(items[0], path=tmp_path / "short.wav")]
    refused(
        f"none of 1 utterances can be used: {items[0].id}: too short: 4 frames",
        align_phones,
        cut,
        lexicon,
        phone_model / "mono",
    )


def test_align_leaves_out_what_it_cannot_use(phone_model, lexicon, tmp_path):
    made = write_words(tmp_path / "words", each=6)
    items = table(made.table)
    items[0] = replace(items[0], words=("what",))
    soundfile.write(items[1].path, np.zeros(0), RATE)
    soundfile.write(items[2].path, np.zeros(RATE), RATE)
    soundfile.write(items[3].path, np.zeros(2000), RATE)
    out = align_phones(items, lexicon, phone_model / "tri4b", tmp_path / "out", DecodeConfig())
    assert list(left_out(out)) == [item.id for item in items[:4]]
    assert left_out(out)[items[0].id] == "unknown words: what" and "silent" in left_out(out)[items[2].id]
    assert len(Store(out / "pdf_ids")) == len(read_ctm(out / "phones.ctm")) == len(items) - 4
