"""Kaldi data directories: who is spoken of, where the audio is, and what is said of files that do not fit."""

import numpy as np
import pytest

from isogloss.config import PrepareConfig
from isogloss.corpora import kaldi_dir
from isogloss.corpora.check import check
from isogloss.corpora.kaldi_dir import Utterance, items, utterances, wavs
from isogloss.corpora.pipe import contents
from isogloss.frontend.audio import read_audio
from isogloss.types import IsoglossError


@pytest.fixture
def data(tmp_path):
    """`data(wav_scp="…", segments="…")` writes the files of a data directory."""

    def write(**files):
        for name, text in files.items():
            (tmp_path / name.replace("_scp", ".scp")).write_text(text)
        return tmp_path

    return write


def test_paths_are_kaldis_and_else_from_the_directory(data, tone, tmp_path, monkeypatch):
    tone(tmp_path / "audio" / "a.wav")
    folder = data(wav_scp="a audio/a.wav\nb /abs/b c.wav\nc   cat x.wav |\nd nowhere.wav\n")
    expected = {"a": str(folder / "audio/a.wav"), "b": "/abs/b c.wav", "c": "cat x.wav |", "d": "nowhere.wav"}
    assert wavs(folder) == wavs(folder / "wav.scp") == expected
    monkeypatch.chdir(folder)
    assert wavs(folder)["a"] == "audio/a.wav"


def test_segments_name_parts_and_what_has_no_recording_is_left_out(data):
    folder = data(wav_scp="r1 /r1.wav\n", segments="u1 r1 0.5 1.5\nu2 r9 0 1\nu3 r1 2 -1\nu1 r1 3 4\n")
    found, left_out = utterances(folder)
    assert found == [Utterance("u1", "r1", "/r1.wav", 0.5, 1.5), Utterance("u3", "r1", "/r1.wav", 2.0, None)]
    assert left_out == [("u1", "duplicate: twice in segments"), ("u2", "no recording: r9 is not in wav.scp")]


@pytest.mark.parametrize(("end", "seconds"), [(1.0, 0.5), (2.4, 1.5), (2.6, None), (None, 1.5)])
def test_a_segment_may_end_half_a_second_past_the_end(end, seconds):
    utterance, samples = Utterance("u", "r", "r.wav", 0.5, end), np.arange(2000)
    if seconds is None:
        with pytest.raises(IsoglossError, match=r"past the end: 0.5 to 2.6 s of 2.00 s"):
            utterance.cut(samples, 1000)
    else:
        np.testing.assert_array_equal(utterance.cut(samples, 1000), samples[500 : 500 + int(1000 * seconds)])


def test_a_segment_that_begins_past_the_end_is_none():
    with pytest.raises(IsoglossError, match="past the end"):
        Utterance("u", "r", "r.wav", 2.0, 2.1).cut(np.zeros(2000), 1000)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"wav_scp": "a\n"}, "line 1: 'a' stands alone"),
        ({"wav_scp": "a /x\na /y\n"}, "recording 'a' twice"),
        ({"wav_scp": "a /x\n", "segments": "u a 1\n"}, "expected UTTERANCE RECORDING START END"),
        ({"wav_scp": "a /x\n", "segments": "u a 3 2\n"}, "from 3.0 to 2.0 s"),
        ({"utt2lang": "a deu\n"}, "wav.scp is not there"),
    ],
)
def test_bad_files_are_named_with_the_line(data, files, message):
    with pytest.raises(IsoglossError, match=message):
        utterances(data(**files))


def test_items_carry_language_speaker_and_recording(data, caplog):
    folder = data(
        wav_scp="r1 /r1.wav\nr2 cat r2.wav |\n",
        segments="r1-a r1 0 1\nr1-b r1 1 2\nr2-a r2 0 1\n",
        utt2lang="r1-a deu\nr2-a fra\n",
        utt2spk="r1-a anna\nr1-b anna\nr2-a luc\n",
    )
    first, second = items(folder)
    assert (first.id, first.language, first.recording, first.speaker) == ("r1-a", "deu", "r1", "anna")
    assert (first.source, first.start_seconds, first.end_seconds) == ("/r1.wav", 0.0, 1.0)
    assert (second.source, second.command, second.path) == ("cat r2.wav |", "cat r2.wav |", folder / "wav.scp")
    assert "1 no language" in caplog.text and "r1-b" in caplog.text


NAMES = [f"{language}{number}" for language in ("deu", "fra") for number in range(4)]
WAVS = "".join(f"{name} /{name}.wav\n" for name in NAMES)
BY_LANGUAGE = "".join(f"{name} {name[:3]}\n" for name in NAMES)
BY_SPEAKER = "".join(f"{name} {name[:3]}-speaker{int(name[3:]) // 2}\n" for name in NAMES)


def test_languages_that_look_like_speakers_are_refused(data):
    assert len(items(data(wav_scp=WAVS, utt2lang=BY_LANGUAGE, utt2spk=BY_SPEAKER))) == 8
    with pytest.raises(IsoglossError, match="swapped"):
        items(data(utt2lang=BY_SPEAKER, utt2spk=BY_LANGUAGE))
    with pytest.raises(IsoglossError, match=r"as many languages as utterances \(8\); are they speakers"):
        items(data(utt2lang="".join(f"{name} {name}\n" for name in NAMES)))


def test_a_missing_or_foreign_utt2lang_says_so(data):
    with pytest.raises(IsoglossError, match=r"no utt2lang \(utt2spk says who speaks"):
        items(data(wav_scp=WAVS, utt2spk=BY_SPEAKER))
    with pytest.raises(IsoglossError, match="no utterance has both"):
        items(data(utt2lang="x deu\ny fra\n"))


def test_a_pipe_gives_what_its_command_writes(tone, tmp_path):
    path = tone(tmp_path / "a b.wav")
    np.testing.assert_array_equal(read_audio(contents(f"cat '{path}' | cat |")), read_audio(path))
    assert contents(str(path)) == str(path)


@pytest.mark.parametrize(
    ("command", "message"),
    [("echo first >&2; echo no such codec >&2; exit 3 |", "exit code 3: no such codec"), ("true |", "wrote nothing")],
)
def test_a_failing_command_is_quoted(command, message):
    with pytest.raises(IsoglossError, match=message):
        contents(command)


def test_a_checked_corpus_keeps_its_pipes(data, tone, tmp_path):
    lines, languages = [], []
    for name in NAMES:
        lines.append(f"{name} cat {tone(tmp_path / 'audio' / f'{name}.wav')} |\n")
        languages.append(f"{name} {name[:3]}\n")
    folder = data(wav_scp="".join([*lines, "bad false |\n"]), utt2lang="".join([*languages, "bad deu\n"]))
    checked = check(kaldi_dir.items(folder), PrepareConfig())
    assert [cut.id for cut in checked.cuts] == NAMES
    assert {cut.recording.sources[0].type for cut in checked.cuts} == {"command"}
    assert checked.left_out == [
        ("false |", "undecodable: `false` ended with exit code 1 and said nothing; does it run by hand?")
    ]


def test_check_leaves_out_a_span_far_past_the_end(tone, data, tmp_path):
    lines = "".join(f"{name} {tone(tmp_path / 'audio' / f'{name}.wav')}\n" for name in NAMES)  # half a second each
    segments = "".join(f"{name} {name} 0 {1.1 if name == 'deu0' else 0.9}\n" for name in NAMES)
    checked = check(items(data(wav_scp=lines, segments=segments, utt2lang=BY_LANGUAGE)), PrepareConfig())
    assert {cut.duration for cut in checked.cuts} == {0.5}
    assert [reason.partition(":")[0] for _, reason in checked.left_out] == ["past the end"]
