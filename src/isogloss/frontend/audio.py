"""Audio in: what libsndfile reads (WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, NIST …), or ffmpeg where it is installed.

Everything leaves as mono float32 [S], nominally in [−1, 1]: channels are averaged, the rate is changed by soxr (HQ).
Values are never clipped, so decoded MP3 and resampled square waves may overshoot 1 a little.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from isogloss.types import IsoglossError

AudioSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of an audio file, or a binary file object (read from where it stands)."""

SAMPLE_RATE = 16000  # Hz
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1000, 768_000  # Hz; beyond these a header is damaged or kHz was meant
MAX_CHANNELS = 8  # the longest array axis that is taken for channels
MAX_PEAK = 16.0  # decoders overshoot 1 a little; float samples beyond this were never scaled
BLOCK_SAMPLES = 1 << 14  # decoded at a time: all that is held at the source's rate; a cut-off FLAC loses its last one
MISSING_SECONDS = 0.1  # an MP3 without a length header may be announced this much too long

# What ffmpeg may be asked to open: no playlists or concat scripts, which could make it read other files.
FFMPEG_DEMUXERS = "3gp,aac,amr,asf,caf,flac,m4a,matroska,mov,mp3,mp4,ogg,wav,webm"

_SIGNATURES = (  # offset, bytes, what they mean
    (4, b"ftyp", "an MP4/M4A container (AAC or ALAC)"),
    (0, b"\x1a\x45\xdf\xa3", "a WebM/Matroska container"),
    (0, b"\xff\xf1", "an AAC stream"),
    (0, b"\xff\xf9", "an AAC stream"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"\x30\x26\xb2\x75", "a WMA file"),
    (0, b"version https://git-lfs", "a Git LFS pointer and not the recording itself (`git lfs pull` fetches it)"),
)

log = logging.getLogger(__name__)


class AudioInfo(NamedTuple):
    """What the header says; a truncated file holds fewer samples than it announces."""

    sample_rate: int  # Hz
    num_channels: int
    num_samples: int  # per channel


def read_audio(source: AudioSource, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Decode, mix down and resample: float32 [S] at `sample_rate` Hz. Memory: the result plus one block.

    A truncated file gives the samples that can be decoded, and a logged warning where the header tells (not in WAV,
    whose length libsndfile mends); IsoglossError if there are none.
    IsoglossError also for a missing file, a directory, an empty file, a header without samples, anything that is not
    audio, NaN or infinite samples, and float samples far outside [−1, 1].
    """
    _check_rate(sample_rate)
    with _opened(source) as (name, sound):
        blocks = _mono_blocks(name, sound)
        if sound.samplerate != sample_rate:
            blocks = _resampled(blocks, sound.samplerate, sample_rate)
        return _joined(blocks)


def _resampled(blocks: Iterator[np.ndarray], rate_in: int, rate_out: int) -> Iterator[np.ndarray]:
    """The same signal at another rate, block by block; bit for bit what resampling it whole gives."""
    resampler = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    """One array, grown in place: joining a list at the end would hold hours of samples twice."""
    joined, length = np.empty(1 << 16, np.float32), 0
    for block in blocks:
        if length + len(block) > len(joined):
            joined.resize(max(length + len(block), len(joined) * 5 // 4), refcheck=False)
        joined[length : length + len(block)] = block
        length += len(block)
    joined.resize(length, refcheck=False)
    return joined


def audio_info(source: AudioSource) -> AudioInfo:
    """Rate, channels and length from the header; only a file that needs ffmpeg is decoded. Errors as read_audio."""
    with _opened(source) as (_, sound):
        return AudioInfo(sound.samplerate, sound.channels, sound.frames)


def to_mono(samples: np.ndarray, sample_rate: int, target_sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Samples in memory to float32 [S'] at `target_sample_rate` Hz.

    `samples` is [S], [S, channels] or [channels, S]; int16 and int32 are scaled by their full range, floats
    are taken as they are. Of two axes exactly one may be ≤ 8: that one is channels. IsoglossError for anything else.
    """
    _check_rate(sample_rate)
    _check_rate(target_sample_rate)
    samples = np.asarray(samples)
    if samples.dtype == np.int16 or samples.dtype == np.int32:
        full_range = np.float32(-float(np.iinfo(samples.dtype).min))
        samples = samples.astype(np.float32) / full_range
    elif samples.dtype.kind != "f":
        raise IsoglossError(
            f"samples of type {samples.dtype}; expected int16, int32, or floats in [−1, 1]: convert them first"
        )
    if samples.ndim == 2:
        short_axes = [axis for axis in (0, 1) if samples.shape[axis] <= MAX_CHANNELS]
        if len(short_axes) != 1:
            raise IsoglossError(
                f"samples of shape {samples.shape}: which axis is time? Expected [samples] or [samples, channels] "
                f"with at most {MAX_CHANNELS} channels; pass one channel"
            )
        samples = samples.mean(axis=short_axes[0])
    if samples.ndim != 1 or samples.size == 0:
        raise IsoglossError(f"samples of shape {samples.shape}; expected [samples] or [samples, channels], not empty")
    mono = samples.astype(np.float32)
    _check_values(mono, "samples", 0.0, sample_rate)
    return mono if sample_rate == target_sample_rate else soxr.resample(mono, sample_rate, target_sample_rate)


@contextmanager
def _opened(source: AudioSource) -> Iterator[tuple[str, soundfile.SoundFile]]:
    """A name for messages and the open sound, through ffmpeg if libsndfile cannot read it."""
    name, readable, head = _examine(source)
    start = 0 if isinstance(readable, str) else readable.tell()
    with ExitStack() as stack:
        try:
            sound = soundfile.SoundFile(readable)
        except (RuntimeError, TypeError) as error:  # TypeError: soundfile wants to be told the rate of a name in .raw
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="isogloss-"))
            converted = _convert_with_ffmpeg(readable, start, Path(folder))
            if converted is None:
                raise _not_audio(name, head, error) from None
            sound = soundfile.SoundFile(converted)
        stack.enter_context(sound)
        if sound.frames == 0:
            raise IsoglossError(f"{name}: an audio header but no samples; was the recording stopped at once?")
        if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
            raise IsoglossError(f"{name}: the header says {sound.samplerate} Hz, which no recording has; damaged?")
        yield name, sound


def _examine(source: AudioSource) -> tuple[str, str | BinaryIO, bytes]:
    """A name for messages, what soundfile can open, and the first bytes."""
    readable: BinaryIO
    if isinstance(source, str | os.PathLike):
        return _examine_path(Path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        name, readable = "audio bytes", BytesIO(source)
    else:
        name = str(getattr(source, "name", "audio stream"))
        readable = source if source.seekable() else BytesIO(source.read())
    start = readable.tell()
    head = readable.read(64)
    readable.seek(start)
    if not head:
        raise IsoglossError(f"{name}: nothing to read; expected a whole audio file (already read once? seek(0) first)")
    return name, readable, head


def _examine_path(path: Path) -> tuple[str, str, bytes]:
    if path.is_dir():
        raise IsoglossError(f"{path}: a directory; expected one audio file (name the files in it)")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise IsoglossError(f"{path}: no such file; is the path right, seen from {Path.cwd()}?") from None
    except OSError as error:
        raise IsoglossError(f"{path}: cannot be opened ({error.strerror}); may you read it?") from None
    if not head:
        raise IsoglossError(f"{path}: 0 bytes; was a download or copy cut short? Fetch it again or leave it out")
    return str(path), str(path), head


def _mono_blocks(name: str, sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Blocks [≤ BLOCK_SAMPLES] at the source's rate, up to the end or to where decoding fails."""
    decoded, problem = 0, "the data end"
    while True:
        try:
            block = sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
        except RuntimeError as error:
            block, problem = np.empty((0, 1), np.float32), _reason(error)
        if not len(block):
            break
        mono = block.mean(axis=1)
        _check_values(mono, name, decoded / sound.samplerate, sound.samplerate)
        yield mono
        decoded += len(block)
    if decoded == 0:
        raise IsoglossError(f"{name}: none of its {sound.frames} samples can be decoded ({problem}); truncated?")
    if sound.frames - decoded > MISSING_SECONDS * sound.samplerate:
        log.warning(
            "%s: truncated: %.2f s of the announced %.2f s could be decoded (%s); going on with those",
            *(name, decoded / sound.samplerate, sound.frames / sound.samplerate, problem),
        )


def _check_rate(sample_rate: int) -> None:
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise IsoglossError(f"sample rate {sample_rate}; expected Hz, for example 16000 (was kHz meant?)")


def _check_values(mono: np.ndarray, name: str, start_seconds: float, sample_rate: float) -> None:
    peak = np.abs(mono).max()
    if not np.isfinite(peak):
        at_seconds = start_seconds + int(np.argmin(np.isfinite(mono))) / sample_rate
        raise IsoglossError(f"{name}: NaN or infinite samples, the first at {at_seconds:.2f} s; export the audio again")
    if peak > MAX_PEAK:
        raise IsoglossError(
            f"{name}: float samples reach {peak:.0f}; expected [−1, 1]. 16-bit values stored as floats? Divide by 32768"
        )


def _convert_with_ffmpeg(readable: str | BinaryIO, start: int, folder: Path) -> str | None:
    """Path of a WAV in `folder`, or None without ffmpeg or if ffmpeg finds no audio either."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return None
    wav = folder / "decoded.wav"
    if isinstance(readable, str):
        encoded = Path(readable).absolute()
    else:  # a file rather than a pipe: the index of an M4A usually stands at its end
        encoded = folder / "encoded"
        readable.seek(start)
        encoded.write_bytes(readable.read())
    limits = ["-protocol_whitelist", "file", "-format_whitelist", FFMPEG_DEMUXERS]
    output = ["-vn", "-c:a", "pcm_f32le", "-rf64", "auto", str(wav)]
    subprocess.run(
        [ffmpeg, "-nostdin", "-v", "error", *limits, "-i", f"file:{encoded}", *output], capture_output=True, check=False
    )
    # The exit status is no guide: it is not 0 for a truncated file that was decoded up to its end.
    return str(wav) if wav.exists() and wav.stat().st_size > 0 else None


def _not_audio(name: str, head: bytes, error: Exception) -> IsoglossError:
    expected = "expected WAV, FLAC, MP3, Ogg Vorbis or Opus"
    for offset, signature, meaning in _SIGNATURES:
        if head[offset:].startswith(signature):
            if shutil.which("ffmpeg"):
                advice = "ffmpeg finds no audio in it either: damaged or truncated?"
            else:
                advice = "`ffmpeg -i INPUT out.wav` converts it; where ffmpeg is installed that happens by itself"
            return IsoglossError(f"{name}: {meaning}; {expected}; {advice}")
    if not any(head):
        return IsoglossError(f"{name}: begins with zero bytes only; {expected}; did a copy fail?")
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return IsoglossError(f"{name}: text ({head[:24]!r}…), whatever its name; {expected}; is this the right file?")
    return IsoglossError(f"{name}: not readable as audio ({_reason(error)}); {expected}; damaged or truncated?")


def _reason(error: Exception) -> str:
    """libsndfile's own words, without the file name it puts before them."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
