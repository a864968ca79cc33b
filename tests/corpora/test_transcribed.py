"""Transcribed speech: what tables, Kaldi directories and audio-cmn yield, and what is said of rows that cannot be used."""

import json
import logging

import pytest

from isogloss.corpora.transcribed import audio_cmn, erhua, kaldi_dir, table
from isogloss.types import IsoglossError


@pytest.fixture
def audio(tmp_path):
    """Empty files in the place of recordings: nobody decodes here."""

    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return write


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_the_three_kinds_of_table_say_the_same(audio, suffix):
    rows = [
        {"path": "a.wav", "sentence": "wie  geht's", "speaker": "s1", "split": "train", "start": "0.5", "end": "2"},
        {"path": "b.wav", "sentence": "gut", "speaker": "s2", "split": "dev", "start": "", "end": ""},
    ]
    path = audio("a.wav", "b.wav") / f"clips{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "," if suffix == ".csv" else "\t"
        path.write_text("\n".join(mark.join(line) for line in [list(rows[0]), *(list(row.values()) for row in rows)]))
    first, second = table(path, {"text": "sentence"})
    assert (first.id, first.speaker, first.words, first.use) == ("a-0.500-2.000", "s1", ("wie", "geht's"), "train")
    assert (first.start_seconds, first.end_seconds, first.path) == (0.5, 2.0, path.parent / "a.wav")
    assert (second.id, second.words, second.use, second.end_seconds) == ("b", ("gut",), "test", None)


def test_rows_that_cannot_be_used_are_left_out_and_counted(audio, caplog):
    path = audio("a.wav", "b.wav", "c.wav") / "clips.tsv"
    path.write_text(
        "path\ttext\tid\na.wav\tein wort\t1\nb.wav\t \t2\nnowhere.wav\tja\t3\nc.wav\tnein\t1\nc.wav\tdoch\t4\n"
    )
    with caplog.at_level(logging.WARNING):
        found = table(path)
    assert [(item.id, item.speaker, item.use) for item in found] == [("1", "1", "train"), ("4", "4", "train")]
    assert (
        "left out: 1 no words, 1 no audio, 1 duplicate id; the first: 2 (no words: the transcript is empty)"
        in caplog.text
    )
    assert "2 utterances name no speaker (the first: 1); each counts as a speaker of its own" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\ttxt\na.wav\tja\n", "line 2: no 'text'; is it called 'txt'"),
        ("path\ttext\n\tja\n", "line 2: no 'path'"),
        ("path\ttext\tsplit\na.wav\tja\ttraining\n", "'training'; expected the split or use to be one of train, test"),
        ("path\ttext\tstart\tend\na.wav\tja\t2\t1\n", "span 2.0 to 1.0"),
        ('path\ttext\na.wav\t"ja\na.wav\tnein\n', "quotation mark .* unpaired"),
        ("path\ttext\n", "it names none"),
        ("path\ttext\nnowhere.wav\tja\n", "no utterance has both audio and words; the first: nowhere"),
    ],
)
def test_a_bad_table_names_the_line_and_the_cause(audio, text, message):
    path = audio("a.wav") / "clips.tsv"
    path.write_text(text)
    with pytest.raises(IsoglossError, match=message):
        table(path)


def test_a_line_of_jsonl_that_is_no_object_is_named(audio):
    path = audio("a.wav") / "clips.jsonl"
    path.write_text('{"path": "a.wav", "text": "ja"}\n["a.wav", "ja"]\n')
    with pytest.raises(IsoglossError, match="line 2: .* expected an object"):
        table(path)


def test_a_kaldi_directory(audio, caplog):
    folder = audio("a.wav")
    (folder / "wav.scp").write_text(f"r1 {folder}/a.wav\nr2 sox x.sph -t wav - |\nr3 {folder}/nowhere.wav\n")
    (folder / "segments").write_text("u1 r1 0.5 1.5\nu2 r1 2 -1\nu3 r2 0 1\nu4 r1 3 4\nu5 r3 0 1\n")
    (folder / "text").write_text("u1 绿 是\nu2 zwei\nu3 drei vier\nu5 fünf\n")
    (folder / "utt2spk").write_text("u1 s1\nu3 s2\n")
    with caplog.at_level(logging.WARNING):
        found = kaldi_dir(folder, "test")
    assert [(item.id, item.speaker, item.words, item.start_seconds, item.end_seconds) for item in found] == [
        ("u1", "s1", ("绿", "是"), 0.5, 1.5),
        ("u2", "u2", ("zwei",), 2.0, None),
        ("u3", "s2", ("drei", "vier"), 0.0, 1.0),
    ]
    assert found[0].source == str(folder / "a.wav") and found[2].source == "sox x.sph -t wav - |"
    assert {item.use for item in found} == {"test"}
    assert "left out: 1 no words, 1 no audio; the first: u4 (no words: not in text)" in caplog.text
    assert "1 utterances name no speaker (the first: u2)" in caplog.text


def test_a_kaldi_directory_that_is_none(tmp_path, audio):
    with pytest.raises(IsoglossError, match="is not a folder"):
        kaldi_dir(tmp_path / "nowhere")
    (audio("a.wav") / "wav.scp").write_text("u1 a.wav\n")
    with pytest.raises(IsoglossError, match="text is not there"):
        kaldi_dir(tmp_path)
    (tmp_path / "text").write_text("u1 ja\nu1 nein\n")
    with pytest.raises(IsoglossError, match="'u1' twice; which transcript"):
        kaldi_dir(tmp_path)


def test_erhua_is_a_syllable_of_its_own_kind():
    assert erhua(("xiao3", "hai2", "er2"), "小孩儿") == ("xiao3", "hai2", "r5")
    assert erhua(("lao3", "tou5", "er5"), "老頭兒 ") == ("lao3", "tou5", "r5")
    assert erhua(("er2",), "儿") == ("er2",)
    assert erhua(("you4", "er2", "yuan2"), "幼儿园") == ("you4", "er2", "yuan2")


def test_audio_cmn_holds_out_every_tenth_row_of_each_speaker(audio, caplog):
    names = [f"audio/{who}_{number:02d}.opus" for number in range(25) for who in ("ann", "bo")]  # one after the other
    folder = audio(*names[:14], *names[16:])  # two files are missing, and still count
    rows = [f"{name}\t{name[6:].split('_')[0]}\t1.0\t玩儿\twan2 er2\n" for name in names]
    (folder / "clips.tsv").write_text("path\tspeaker\tseconds\ttext\tpinyin\n" + "".join(rows), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        found = audio_cmn(folder)
    assert len(found) == 48 and "left out: 2 no audio" in caplog.text
    assert [item.id for item in found if item.use == "test"] == [
        "audio/ann_09",
        "audio/bo_09",
        "audio/ann_19",
        "audio/bo_19",
    ]
    assert {item.words for item in found} == {("wan2", "r5")} and {item.speaker for item in found} == {"ann", "bo"}


def test_audio_cmn_needs_the_chinese_words(audio):
    (audio("a.opus") / "clips.tsv").write_text("path\tspeaker\tpinyin\na.opus\tann\twan2 er2\n")
    with pytest.raises(IsoglossError, match="without the column 'text'"):
        audio_cmn(audio())
