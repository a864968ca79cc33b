"""Near duplicates among clips of one voice, and what two uses of a split are said to share."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from isogloss.corpora.leaks import duplicates, shared
from isogloss.corpora.near_duplicates import near_duplicates
from isogloss.corpora.splits import Split
from isogloss.frontend.audio import read_audio
from isogloss.frontend.audio_fingerprint import audio_fingerprint
from isogloss.frontend.codec import telephone

RATE = 16000


def voice(seconds, seed):
    """One speaker's buzz through moving resonances: every clip another melody and other vowels, always the same throat."""
    generator = np.random.default_rng(seed)
    length = int(seconds * RATE)
    time = np.arange(length) / RATE
    knots = np.linspace(0, seconds, int(6 * seconds))
    pitch = np.interp(time, knots, generator.uniform(90, 160, len(knots)))
    buzz = np.zeros(length)
    formants = [np.interp(time, knots, generator.uniform(*span, len(knots))) for span in ((300, 800), (900, 2200))]
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    for harmonic in range(1, 25):
        shape = sum(np.exp(-(((harmonic * pitch - formant) / 120) ** 2)) for formant in formants)
        buzz += (shape + 0.02) * np.sin(harmonic * phase)
    loudness = np.interp(time, knots, generator.uniform(0.05, 1, len(knots)))
    return (0.1 * buzz * loudness + 1e-3 * generator.normal(size=length)).astype(np.float32)


def encoded(samples, form, subtype):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=form, subtype=subtype)
    return read_audio(buffer.getvalue(), RATE)


COPIES = {
    "opus": lambda x: encoded(0.3 * x, "OGG", "OPUS"),
    "mp3": lambda x: encoded(2 * x, "MP3", "MPEG_LAYER_III"),
    "telephone": lambda x: telephone(0.2 * x, RATE),
    "quiet": lambda x: 0.01 * x,
    "padded": lambda x: np.pad(x, (12345, 0)),
}


def prints(**clips):
    return {name: audio_fingerprint(samples, RATE) for name, samples in clips.items()}


@pytest.fixture(scope="module")
def clips():
    """Twelve clips of one speaker."""
    return {f"clip{seed}": voice(3 + seed % 4, seed) for seed in range(12)}


@pytest.fixture(scope="module")
def printed(clips):
    return prints(**clips)


def test_clips_of_one_speaker_are_no_duplicates(printed):
    assert near_duplicates(printed) == []


@pytest.mark.parametrize("kind", COPIES)
def test_a_changed_copy_is_found_and_nothing_else(clips, printed, kind):
    whole, part = COPIES[kind](clips["clip3"]), COPIES[kind](clips["clip7"][9001 : 9001 + 3 * RATE])
    found = near_duplicates(printed | prints(whole=whole, part=part))
    assert [(pair.first, pair.second) for pair in found] == [("clip3", "whole"), ("clip7", "part")]


def test_an_excerpt_is_found_where_it_stands(clips, printed):
    start = 2.345
    excerpt = telephone(0.5 * clips["clip7"], RATE)[int(start * RATE) :][: 3 * RATE]
    (found,) = near_duplicates(prints(excerpt=excerpt) | printed)
    assert (found.first, found.second) == ("excerpt", "clip7")
    assert found.second_seconds - found.first_seconds == pytest.approx(start, abs=0.02)
    assert 2 < found.length_seconds < 3 and 0 < found.differing < 0.25
    assert str(found).startswith("same audio: 2.6 s at 0.0 s and 2.3 s")


def test_an_excerpt_between_other_audio_is_found(clips, printed):
    mixed = np.concatenate([voice(2, 50), clips["clip2"][RATE : 4 * RATE], voice(2, 51)])
    (found,) = near_duplicates(printed | prints(mixed=mixed))
    assert found.second_seconds - found.first_seconds == pytest.approx(1, abs=0.02)


def test_the_index_in_parts_finds_the_same(clips, printed):
    more = printed | prints(louder=2 * clips["clip1"], part=clips["clip5"][20000:70000])
    assert len(near_duplicates(more)) == 2
    assert near_duplicates(more, index_entries=3000) == near_duplicates(more)


def test_silence_is_no_common_audio():
    gap = np.zeros(4 * RATE, np.float32)
    clips = {f"clip{n}": np.concatenate([voice(1, n), gap, voice(1, n + 10)]) for n in range(3)}
    assert near_duplicates(prints(**clips)) == []


def test_of_many_copies_each_is_found_with_some_other(printed):
    copies = {f"copy{n:02d}": printed["clip0"] for n in range(25)}
    found = near_duplicates(copies)
    assert {name for pair in found for name in (pair.first, pair.second)} == set(copies)
    assert len(found) < 25 * 24 / 2


def test_nothing_to_compare():
    assert near_duplicates({}) == []
    assert near_duplicates(prints(blink=np.ones(100, np.float32), wink=np.ones(100, np.float32))) == []


def cut(name, *, file=None, recording=None, speaker=None, start=0.0, duration=2.0):
    """As much of a lhotse cut as is looked at."""
    supervision = SimpleNamespace(speaker=speaker, custom={"recording": recording or name})
    source = SimpleNamespace(source=file or f"{name}.wav")
    return SimpleNamespace(
        id=name,
        start=start,
        duration=duration,
        supervisions=[supervision],
        recording=SimpleNamespace(sources=[source]),
    )


def split(**uses):
    return Split(**{"train": [], "valid": [], "enrol": [], "test": [], "out_of_set": []} | uses)


def test_what_train_and_test_share_is_counted_and_shown():
    cuts = [
        cut("a1", recording="A"), cut("a2", recording="A"), cut("b", speaker="ann"), cut("c", speaker="ann"),
        cut("d1", file="long.wav", start=1, recording="D1"), cut("d2", file="long.wav", start=2.5, recording="D2"),
        cut("e1", file="long.wav", start=10, recording="E1"), cut("f"), cut("g"), cut("h"),
    ]  # fmt: skip
    same = duplicates(cuts, {"f": "x", "g": "x", "h": "y"}, {})
    assert same == {("d1", "d2"): "same 0.50 s of one file", ("f", "g"): "same samples"}
    made = {"given": split(train=["a1", "b", "d1", "f", "h"], test=["a2", "c", "d2", "e1", "g", "h"])}
    found = shared(cuts, made, same)["train-test"].to_dict()
    examples = found.pop("examples")
    assert found == {"recordings": 3, "speakers": 1, "duplicates": 3}  # A, h and what long.wav holds
    assert examples == [
        ["d1", "d2", "same 0.50 s of one file"],
        ["f", "g", "same samples"],
        ["h", "h", "same utterance"],
        ["a1", "a2", "recording A"],
        ["h", "h", "recording h"],
        ["d1", "d2", "file long.wav"],
        ["b", "c", "speaker ann"],
    ]


def test_folds_count_a_pair_once_and_enrolment_on_training_clips_is_no_leak():
    cuts = [cut(name) for name in "abc"]
    folds = {
        "fold0": split(train=["a", "c"], enrol=["a", "c"], test=["b"]),
        "fold1": split(train=["b", "c"], enrol=["b", "c"], test=["a"], out_of_set=["c"]),
    }
    found = shared(cuts, folds, {("a", "b"): "same samples"})
    assert len(found["train-test"].duplicates) == 1
    assert found["train-test"].examples == [("a", "b", "same samples")]
    assert {name for name, sharing in found.items() if sharing} == {
        "train-test", "enrol-test", "train-out_of_set", "enrol-out_of_set",
    }  # fmt: skip
    assert found["train-out_of_set"].examples[0] == ("c", "c", "same utterance")


def test_at_most_ten_examples_duplicates_first():
    names = [f"{side}{n}" for side in ("train", "test") for n in range(20)]
    cuts = [cut(name, speaker=f"ann{index % 20}") for index, name in enumerate(names)]
    found = shared(cuts, {"given": split(train=names[:20], test=names[20:])}, {("test7", "train7"): "same samples"})
    said = found["train-test"].to_dict()
    assert (said["speakers"], said["duplicates"], len(said["examples"])) == (20, 1, 10)
    assert said["examples"][0] == ["train7", "test7", "same samples"]
