"""Audio in: every format gives the same tone, every bad file its own message."""

import io
import itertools
import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isogloss.frontend import audio
from isogloss.frontend.audio import audio_info, read_audio, to_mono
from isogloss.types import IsoglossError

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}


@pytest.fixture(autouse=True)
def no_ffmpeg(monkeypatch):
    """The same messages on every machine; tests of ffmpeg put it back."""
    monkeypatch.setattr(shutil, "which", lambda name: None)


def tone(frequency_hz=440.0, seconds=1.0, sample_rate=16000, amplitude=0.5):
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def encoded(samples, sample_rate=16000, kind="wav", subtype=None):
    container, default = FORMATS[kind]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format=container, subtype=subtype or default)
    return buffer.getvalue()


def amplitude_at(samples, frequency_hz, sample_rate=16000):
    """Amplitude of one frequency, by correlation over the middle of the signal (codecs fade at the ends)."""
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4].astype(np.float64)
    t = np.arange(len(middle)) / sample_rate
    return 2 * abs(np.mean(middle * np.exp(-2j * np.pi * frequency_hz * t)))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_tone_that_went_in(tmp_path, kind):
    path = tmp_path / f"tone.{kind}"
    path.write_bytes(encoded(tone(), kind=kind))
    samples = read_audio(path)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(len(samples) - 16000) <= 1
    assert amplitude_at(samples, 440) == pytest.approx(0.5, rel=0.02)
    assert amplitude_at(samples, 880) < 0.005


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_keeps_duration_and_pitch(sample_rate):
    samples = read_audio(encoded(tone(sample_rate=sample_rate, seconds=3), sample_rate))
    assert len(samples) == 48000
    assert amplitude_at(samples, 440) == pytest.approx(0.5, rel=0.001)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    alias_hz = 16000 - 11000
    samples = read_audio(encoded(tone(11000, sample_rate=48000), 48000))
    assert amplitude_at(samples, alias_hz) < 1e-4


def test_reading_in_blocks_equals_resampling_at_once():
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * audio.BLOCK_SAMPLES + 17).astype(np.float32)
    samples = read_audio(encoded(noise, 44100, subtype="FLOAT"))
    np.testing.assert_array_equal(samples, soxr.resample(noise, 44100, 16000))


def test_path_bytes_file_object_pipe_and_array_agree(tmp_path):
    data = encoded(tone(sample_rate=8000), 8000)
    path = tmp_path / "tone.wav"
    path.write_bytes(data)
    expected = read_audio(path)

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    with path.open("rb") as file:
        for source in (str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), Pipe(data), file):
            np.testing.assert_array_equal(read_audio(source), expected)
    int16, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(to_mono(int16, 8000), expected)


def test_channels_are_averaged():
    left, right = tone(300, amplitude=0.4), tone(700, amplitude=0.2)
    stereo = np.stack([left, right], axis=1)
    samples = read_audio(encoded(stereo, subtype="FLOAT"))
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-7)
    for shape in (stereo, stereo.T):
        np.testing.assert_allclose(to_mono(shape, 16000), samples, atol=1e-7)


@pytest.mark.parametrize(("dtype", "lowest"), [(np.int16, -(2**15)), (np.int32, -(2**31))])
def test_integers_are_scaled_by_their_full_range(dtype, lowest):
    samples = np.array([lowest, lowest // 2, 0], dtype)
    np.testing.assert_array_equal(to_mono(samples, 16000), np.float32([-1, -0.5, 0]))


def test_float64_is_taken_as_it_is():
    np.testing.assert_array_equal(to_mono(np.array([0.25, -1.25]), 16000), np.float32([0.25, -1.25]))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((3, 4), np.float32), "which axis is time"),
        (np.zeros((100, 100), np.float32), "which axis is time"),
        (np.zeros((1, 2, 100), np.float32), "expected \\[samples\\]"),
        (np.zeros(0, np.float32), "not empty"),
        (np.zeros(100, np.int64), "samples of type int64"),
        (np.zeros(100, np.uint8), "samples of type uint8"),
        (np.full(100, 12000.0), "Divide by 32768"),
        (np.array([0.0] * 1600 + [np.nan]), "NaN or infinite samples, the first at 0.10 s"),
    ],
)
def test_an_array_that_is_not_clearly_audio_is_refused(samples, message):
    with pytest.raises(IsoglossError, match=message):
        to_mono(samples, 16000)


def test_a_rate_in_khz_is_refused():
    with pytest.raises(IsoglossError, match="was kHz meant"):
        to_mono(tone(), 16)
    with pytest.raises(IsoglossError, match="was kHz meant"):
        read_audio(encoded(tone()), 16)


def test_info_reads_the_header(tmp_path):
    path = tmp_path / "stereo.wav"
    path.write_bytes(encoded(np.zeros((800, 2), np.float32), 8000))
    assert audio_info(path) == (8000, 2, 800)


BAD_FILES = {
    "empty.wav": (b"", "0 bytes"),
    "header_only.wav": (encoded(np.zeros(0, np.float32)), "an audio header but no samples"),
    "text.wav": (b"hello world, this is not audio\n" * 20, "text \\(b'hello world.*is this the right file"),
    "text.mp3": (b"hello world, this is not audio\n" * 20, "text \\(b'hello world"),
    "text.raw": (b"hello world, this is not audio\n" * 20, "text \\(b'hello world"),
    "zeros.wav": (bytes(2000), "zero bytes only"),
    "song.m4a": (b"\0\0\0\x20ftypM4A " + bytes(500), "an MP4/M4A container.*ffmpeg -i"),
    "clip.aac": (b"\xff\xf1\x50\x80" + bytes(500), "an AAC stream.*ffmpeg -i"),
    "pointer.wav": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    "random.wav": (b"\x80\x01\x02\x03" * 50, "not readable as audio"),
    "cut.ogg": (encoded(tone(), kind="ogg")[:2000], "malformed.*damaged or truncated"),
    "cut.flac": (encoded(tone(), kind="flac")[:100], "none of its 16000 samples can be decoded.*truncated"),
    "nan.wav": (
        encoded(np.r_[np.zeros(40000), np.nan].astype(np.float32), subtype="FLOAT"),
        "NaN or infinite samples, the first at 2.50 s",
    ),
    "unscaled.wav": (encoded(tone() * 20000, subtype="FLOAT"), "float samples reach 10000.*Divide by 32768"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_clear_line(tmp_path, name):
    data, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(IsoglossError, match=message) as caught:
        read_audio(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_directory_and_spent_stream(tmp_path):
    with pytest.raises(IsoglossError, match="no such file"):
        read_audio(tmp_path / "absent.wav")
    with pytest.raises(IsoglossError, match="a directory; expected one audio file"):
        read_audio(tmp_path)
    spent = io.BytesIO(encoded(tone()))
    spent.read()
    with pytest.raises(IsoglossError, match=r"nothing to read.*seek"):
        read_audio(spent)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_a_truncated_file_gives_its_first_part(kind, caplog):
    noise = np.random.default_rng(0).normal(0, 0.1, 64000).astype(np.float32)
    data = encoded(noise, kind=kind)
    whole = read_audio(data)
    with caplog.at_level(logging.WARNING):
        part = read_audio(data[: len(data) * 3 // 4])
    assert 0.4 * len(whole) < len(part) < 0.8 * len(whole)
    np.testing.assert_allclose(part[:-2000], whole[: len(part) - 2000], atol=1e-6)
    # libsndfile corrects the length of a cut-off WAV by itself, so only the others can be told from short files.
    assert bool(caplog.records) == (kind != "wav")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(FORMATS)),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=8),
)
def test_damaged_bytes_give_finite_samples_or_an_isogloss_error(kind, cut, flips):
    data = bytearray(encoded(tone(seconds=0.2), kind=kind))
    for where, mask in flips:
        data[int(where * len(data))] ^= mask
    try:
        samples = read_audio(data[: round(cut * len(data))])
    except IsoglossError:
        return
    assert samples.dtype == np.float32 and np.isfinite(samples).all()


def test_ffmpeg_is_asked_for_local_files_of_known_formats_only(tmp_path, monkeypatch):
    commands = []

    def fake_ffmpeg(command, **_):
        commands.append(command)
        assert Path(command[command.index("-i") + 1].removeprefix("file:")).read_bytes() == data
        Path(command[-1]).write_bytes(encoded(tone()))

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/ffmpeg")
    monkeypatch.setattr(subprocess, "run", fake_ffmpeg)
    data = BAD_FILES["song.m4a"][0]
    path = tmp_path / "song.m4a"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_audio(path), read_audio(encoded(tone())))
    np.testing.assert_array_equal(read_audio(data), read_audio(path))
    from_the_middle = io.BytesIO(b"header" + data)
    from_the_middle.seek(6)
    np.testing.assert_array_equal(read_audio(from_the_middle), read_audio(path))
    for command in commands:
        options = dict(itertools.pairwise(command))
        assert options["-protocol_whitelist"] == "file"
        assert not {"hls", "concat", "tty"} & set(options["-format_whitelist"].split(","))
        assert options["-i"].startswith("file:")
    assert not Path(commands[0][-1]).exists(), "the decoded copy is removed"


def test_ffmpeg_that_finds_nothing_leaves_the_clear_message(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/ffmpeg")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: None)
    with pytest.raises(IsoglossError, match="text \\(b'hello"):
        read_audio(BAD_FILES["text.wav"][0])
