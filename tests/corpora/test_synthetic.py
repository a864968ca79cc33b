"""The generated corpus as a whole: layout, disjoint speakers, the same bytes twice, phone times, resuming, messages."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from isogloss.corpora import synthetic
from isogloss.corpora.synthetic import Size, plan, prepare
from isogloss.types import IsoglossError

for package in ("babel", "espeakng_loader"):
    pytest.importorskip(package)

TINY = Size(("ru",), ("ms",), ("el",), voices=(2, 1, 2), minutes=(0.2, 0.1, 0.2), unknown_minutes=0.1)
PARTS = ["el-test", "ms-test", "ms-train", "ru-dev", "ru-test", "ru-train"]


def read(manifest):
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A finished corpus; tests that change it work on a folder of their own."""
    return prepare(tmp_path_factory.mktemp("corpus"), TINY, num_jobs=2).parent


@pytest.fixture
def rows(corpus):
    return read(corpus / "manifest.jsonl")


def test_manifest_names_every_file_and_nothing_is_left_half_written(corpus, rows):
    assert {row["path"] for row in rows} == {str(p.relative_to(corpus)) for p in corpus.glob("audio/*/*/*.flac")}
    assert sorted(p.stem for p in (corpus / "parts").iterdir()) == PARTS
    assert not list(corpus.rglob("*.tmp"))
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert row["path"] == f"audio/{row['language']}/{row['split']}/{row['id']}.flac"
        assert row["use"] == ("out_of_set" if row["language"] == "el" else "target")
    assert {(row["language"], row["split"]) for row in rows} == {tuple(part.split("-")) for part in PARTS}


def test_audio_is_as_said(corpus, rows):
    for row in rows:
        info = soundfile.info(corpus / row["path"])
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert info.frames / 16000 == row["duration"] and 2 <= row["duration"] <= 8


def test_every_voice_speaks_its_share(rows):
    seconds = {}
    for row in rows:
        seconds[row["speaker"]] = seconds.get(row["speaker"], 0) + row["duration"]
    assert len(seconds) == 5 + 4 + 2  # ru: 2 + 1 + 2, ms: 2 + 2, el: 2
    assert all(3 <= total <= 6 + 8 for total in seconds.values())


def test_speakers_and_recordings_are_disjoint_between_splits(rows):
    for noun in ("speaker", "recording"):
        splits = {}
        for row in rows:
            splits.setdefault(row[noun], set()).add((row["language"], row["split"]))
        assert all(len(where) == 1 for where in splits.values())


def test_phones_cover_each_utterance_in_order(rows):
    for row in rows:
        symbols, starts, ends = zip(*row["phones"], strict=True)
        assert starts[0] == 0 and ends[-1] == row["duration"] and starts[1:] == ends[:-1]
        assert all(start < end for start, end in zip(starts, ends, strict=True))
        assert len(set(symbols)) > 5


def test_phone_times_hold_in_the_files(corpus, rows):
    """After joining, resampling and adding a room: a pause is quiet to within one frame of its ends."""
    frame = 160
    pauses = 0
    for row in rows:
        wave, _ = soundfile.read(corpus / row["path"])
        sound = np.concatenate([wave[round(16000 * s) : round(16000 * e)] for p, s, e in row["phones"] if p != "SIL"])
        for symbol, start, end in row["phones"]:
            inside = wave[round(16000 * start) + frame : round(16000 * end) - frame]
            if symbol == "SIL" and len(inside) >= frame:
                pauses += 1
                assert inside.std() < 10 ** (-20 / 20) * sound.std()
    assert pauses > 20


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(corpus, tmp_path):
    size = replace(TINY, dialects=(), unknown=())
    again = prepare(tmp_path / "again", size, num_jobs=1).parent
    other = prepare(tmp_path / "other", replace(size, voices=(1, 1, 1), minutes=(0.05, 0.05, 0.05)), seed=7).parent
    first = {path: data for path, data in contents(corpus).items() if "ru" in path.parts}
    assert first == {path: data for path, data in contents(again).items() if "ru" in path.parts}
    assert len(first) >= 6 and not set(first.values()) & set(contents(other).values())


def test_a_stopped_run_makes_only_the_part_that_is_missing(tmp_path):
    size = Size((), ("ms",), ("el",), voices=(1, 1, 1), minutes=(0.05, 0.05, 0.05), unknown_minutes=0.05)
    manifest = prepare(tmp_path, size)
    before = contents(tmp_path)
    manifest.unlink()
    (tmp_path / "parts" / "ms-test.jsonl").unlink()
    (tmp_path / "parts" / "ms-test.tmp").write_text("cut off")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    seen = []
    prepare(tmp_path, size, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 3)]
    assert contents(tmp_path) == before
    remade = {path for path, time in written.items() if path.stat().st_mtime_ns != time}
    assert remade and {path.parent for path in remade} == {tmp_path / "audio" / "ms" / "test"}


def test_a_finished_corpus_is_not_made_again(corpus, monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("a child was started")

    monkeypatch.setattr(subprocess, "run", forbidden)
    assert prepare(corpus, TINY) == corpus / "manifest.jsonl"


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": "small"}])
def test_another_corpus_in_the_folder_is_an_error(corpus, change):
    with pytest.raises(IsoglossError, match="name another folder"):
        prepare(corpus, **({"size": TINY} | change))


def test_files_of_another_origin_are_not_touched(tmp_path):
    (tmp_path / "manifest.jsonl").write_text("mine\n")
    with pytest.raises(IsoglossError, match="another origin"):
        prepare(tmp_path, TINY)
    assert (tmp_path / "manifest.jsonl").read_text() == "mine\n" and len(list(tmp_path.iterdir())) == 1


def test_an_unknown_size_names_the_nearest(tmp_path):
    with pytest.raises(IsoglossError, match="did you mean 'small'"):
        prepare(tmp_path, "smal")
    assert not list(tmp_path.iterdir())


def test_no_jobs_at_once_is_an_error(tmp_path):
    with pytest.raises(IsoglossError, match="expected 1 or more"):
        prepare(tmp_path, TINY, num_jobs=0)


def test_missing_packages_name_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(IsoglossError, match=r"babel and espeakng_loader: pip install isogloss\[synthetic\]"):
        prepare(tmp_path, TINY)


def test_a_child_that_fails_says_why_in_one_line(tmp_path):
    with pytest.raises(IsoglossError, match=r"^espeak-ng failed on en-nope \(test\): .*'en-nope\+test-00'[^\n]*$"):
        prepare(tmp_path, replace(TINY, languages=(), dialects=(), unknown=("en-nope",)))
    assert not (tmp_path / "manifest.jsonl").exists()


def test_a_child_that_hangs_is_stopped(tmp_path):
    job = plan.Job("ru", "test", "target", num_voices=1, minutes=1.0, seed=1)
    part = tmp_path / "part.jsonl"
    with pytest.raises(IsoglossError, match=r"ru \(test\) after 0 s and was stopped"):
        synthetic._speak(job, tmp_path, part, Path(tmp_path), timeout_seconds=0.01)
    assert not part.exists()


def test_sizes_are_as_promised():
    full = plan.jobs(plan.SIZES["full"], seed=1)
    assert {job.language for job in full} == {*plan.LANGUAGES, *plan.DIALECTS, *plan.UNKNOWN}
    assert sum(job.split == "dev" for job in full) == 10 and len(full) == 3 * 10 + 2 * 3 + 3
    assert all(job.split == "test" for job in full if job.use == "out_of_set")
    assert {(job.split, job.num_voices) for job in full} == {("train", 24), ("dev", 4), ("test", 12)}
