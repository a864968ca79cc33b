"""Augmentation of the waveform: rooms, noises, channels, codecs, speeds.

    y = gain · codec(band(h * x(speed·t) + n)),    h(τ) = δ(τ) + a·g(τ)·10^(−3τ/RT60),  g white Gaussian noise

Whatever is done to the waveform, frame t of the result belongs to frame t of the labels (`labels_at_speed` for a speed other
than 1): the direct path of a room lies at τ = 0, filters have no phase, codecs are decoded without their delay.
Noise n has a power spectrum f^−exponent (0 white, 1 pink, 2 brown), its level wandering; or it is babble (the sum of other
utterances), or a recording. Nothing is downloaded.

`randomize` draws the parameters (`config.AugmentConfig`) and `apply` is a pure function of them.

Sources: Ko et al., "A study on data augmentation of reverberant speech for robust speech recognition", ICASSP 2017; Snyder et
al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018 (babble); Polack's statistical room model, 1988.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import soundfile
import soxr

from isogloss.config import AugmentConfig
from isogloss.frontend.checks import to_float32
from isogloss.frontend.perturb import perturb_speed
from isogloss.types import IsoglossError

SAMPLE_RATE = 16000  # Hz
FRAME_SHIFT, FRAME_LENGTH = 160, 400  # samples

# config.Codec → rate in Hz, libsndfile's format, subtype and compression level (0 best … 1 worst)
CODECS: dict[str, tuple[int, str, str, float | None]] = {
    "opus-6k": (16000, "OGG", "OPUS", 1.0),
    "vorbis-26k": (16000, "OGG", "VORBIS", 1.0),
    "vorbis-18k-narrow": (8000, "OGG", "VORBIS", 0.9),
    "mp3-23k": (16000, "MP3", "MPEG_LAYER_III", 0.8),
    "mp3-14k-narrow": (8000, "MP3", "MPEG_LAYER_III", 0.9),
    "adpcm-narrow": (8000, "WAV", "IMA_ADPCM", None),
    "ulaw": (8000, "WAV", "ULAW", None),
    "gsm": (8000, "WAV", "GSM610", None),
}


@dataclass(frozen=True)
class Augmentation:
    """What is done to one utterance. None: that part is left out."""

    speed: float = 1.0
    rt60_seconds: float | None = None
    direct_to_reverberant_db: float = 0.0
    noise_exponent: float = 0.0
    snr_db: float | None = None
    babble: tuple[int, ...] = ()  # indices of the voices
    babble_snr_db: float = 0.0
    recording: int | None = None
    recording_snr_db: float = 0.0
    band_hz: tuple[float, float] | None = None
    tilt_db_per_octave: float = 0.0
    codec: str | None = None
    gain_db: float = 0.0
    seed: int = 0  # of the room's tail, the noise and where in a voice or recording to begin


def randomize(
    rng: np.random.Generator,
    config: AugmentConfig | None = None,
    num_voices: int = 0,
    num_recordings: int = 0,
) -> Augmentation:
    """Draw parameters; `num_voices` and `num_recordings` are the lengths of what `apply` will be given."""
    config = config or AugmentConfig()

    def happens(probability: float) -> bool:
        return bool(rng.random() < probability)

    def between(limits: tuple[float, float]) -> float:
        return float(rng.uniform(*limits))

    room, noise, band = (
        happens(p) for p in (config.room_probability, config.noise_probability, config.band_probability)
    )
    voices = rng.integers(num_voices, size=rng.integers(config.babble_voices[0], config.babble_voices[1] + 1)) if (
        num_voices and happens(config.babble_probability)
    ) else ()  # fmt: skip
    recording = num_recordings and happens(config.recording_probability)
    return Augmentation(
        speed=float(np.exp(between((np.log(config.speed[0]), np.log(config.speed[1]))))),
        rt60_seconds=between(config.rt60_seconds) if room else None,
        direct_to_reverberant_db=between(config.direct_to_reverberant_db),
        noise_exponent=between(config.noise_exponent),
        snr_db=between(config.snr_db) if noise else None,
        babble=tuple(int(voice) for voice in voices),
        babble_snr_db=between(config.babble_snr_db),
        recording=int(rng.integers(num_recordings)) if recording else None,
        recording_snr_db=between(config.snr_db),
        band_hz=(between(config.low_hz), between(config.high_hz)) if band else None,
        tilt_db_per_octave=between(config.tilt_db_per_octave) if band else 0.0,
        codec=str(rng.choice(config.codecs)) if config.codecs and happens(config.codec_probability) else None,
        gain_db=between(config.gain_db),
        seed=int(rng.integers(2**32)),
    )


def apply(
    samples: np.ndarray,
    augmentation: Augmentation,
    voices: Sequence[np.ndarray] = (),
    recordings: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """`samples` [S] at 16 kHz, int16 or float in [−1, 1] → float32 [round(S / speed)]. IsoglossError for bad samples.

    `voices`: utterances for babble; `recordings`: of noise. Both waveforms at 16 kHz.
    """
    samples = perturb_speed(samples, augmentation.speed)
    if not np.any(samples):
        return samples
    rng = np.random.default_rng(augmentation.seed)
    level = active_power(samples)
    if augmentation.rt60_seconds is not None:
        samples = _in_room(samples, augmentation.rt60_seconds, augmentation.direct_to_reverberant_db, rng)
    if augmentation.snr_db is not None:
        samples = samples + _at_snr(_noise(len(samples), augmentation.noise_exponent, rng), level, augmentation.snr_db)
    if augmentation.babble:
        babble = sum(_stretch(to_float32(voices[voice]), len(samples), rng) for voice in augmentation.babble)
        samples = samples + _at_snr(np.asarray(babble, np.float32), level, augmentation.babble_snr_db)
    if augmentation.recording is not None:
        noise = _stretch(to_float32(recordings[augmentation.recording]), len(samples), rng)
        samples = samples + _at_snr(noise, level, augmentation.recording_snr_db)
    if augmentation.band_hz is not None or augmentation.tilt_db_per_octave:
        samples = _equalised(samples, augmentation.band_hz, augmentation.tilt_db_per_octave)
    if (peak := float(np.abs(samples).max())) > 1:
        samples = samples / np.float32(peak)
    if augmentation.codec is not None:
        samples = _coded(samples, augmentation.codec)
    return np.clip(samples * np.float32(10 ** (augmentation.gain_db / 20)), -1, 1).astype(np.float32)


def labels_at_speed(labels: np.ndarray, num_frames: int, speed: float) -> np.ndarray:
    """Labels [T] of a recording → [num_frames] of it played `speed` times as fast: each frame's centre decides."""
    centre = (np.arange(num_frames) * FRAME_SHIFT + FRAME_LENGTH / 2) * speed
    nearest = np.rint((centre - FRAME_LENGTH / 2) / FRAME_SHIFT).astype(np.int64)
    return labels[np.clip(nearest, 0, len(labels) - 1)]


def active_power(samples: np.ndarray) -> float:
    """Mean power of the louder half of a waveform's frames: its speech, whatever pauses surround it."""
    whole = samples[: len(samples) // FRAME_SHIFT * FRAME_SHIFT].reshape(-1, FRAME_SHIFT)
    power = np.sort(np.square(whole).mean(axis=1)) if len(whole) else np.square(samples)
    return float(power[len(power) // 2 :].mean()) if len(power) else 0.0


def _at_snr(noise: np.ndarray, speech_power: float, snr_db: float) -> np.ndarray:
    power = float(np.square(noise).mean())
    return noise * np.float32(np.sqrt(speech_power * 10 ** (-snr_db / 10) / max(power, 1e-20)) if power else 0.0)


def _in_room(samples: np.ndarray, rt60_seconds: float, direct_db: float, rng: np.random.Generator) -> np.ndarray:
    """Convolved with an exponentially decaying tail that begins 2 ms after the direct path; the length is kept."""
    delay = np.arange(int(rt60_seconds * SAMPLE_RATE)) / SAMPLE_RATE
    response = rng.standard_normal(len(delay)) * 10 ** (-3 * delay / rt60_seconds)
    response[delay < 0.002] = 0
    response *= 10 ** (-direct_db / 20) / np.sqrt(np.square(response).sum())
    response[0] = 1
    size = scipy.fft.next_fast_len(len(samples) + len(response), real=True)
    spectrum = scipy.fft.rfft(samples, size) * scipy.fft.rfft(response.astype(np.float32), size)
    return scipy.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def _noise(length: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of spectrum f^−exponent above 50 Hz, its level wandering some 5 dB from one half second to the next."""
    size = scipy.fft.next_fast_len(length, real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    hertz = scipy.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum *= (np.maximum(hertz, 50.0) / 1000) ** (-exponent / 2)
    knots = np.arange(0, length + SAMPLE_RATE, SAMPLE_RATE // 2)
    level_db = np.interp(np.arange(length), knots, 5 * rng.standard_normal(len(knots)))
    return (scipy.fft.irfft(spectrum, size)[:length] * 10 ** (level_db / 20)).astype(np.float32)


def _stretch(recording: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """`length` samples of a recording from a random place on, beginning anew at its end."""
    if not len(recording):
        return np.zeros(length, np.float32)
    return np.take(recording, np.arange(length) + int(rng.integers(len(recording))), mode="wrap")


def _equalised(samples: np.ndarray, band_hz: tuple[float, float] | None, tilt: float) -> np.ndarray:
    """Band-limited by 4th-order Butterworth magnitudes and tilted about 1 kHz, without phase: no frame is moved."""
    pad = FRAME_LENGTH  # a response without phase reaches both ways; without room it would wrap around
    size = scipy.fft.next_fast_len(len(samples) + 2 * pad, real=True)
    hertz = np.maximum(scipy.fft.rfftfreq(size, 1 / SAMPLE_RATE), 1.0)
    response = 10 ** (tilt * np.log2(np.clip(hertz, 100.0, 8000.0) / 1000) / 20)
    if band_hz is not None:
        response /= np.sqrt((1 + (band_hz[0] / hertz) ** 8) * (1 + (hertz / band_hz[1]) ** 8))
    filtered = scipy.fft.irfft(scipy.fft.rfft(np.pad(samples, pad), size) * response.astype(np.float32), size)
    return filtered[pad : pad + len(samples)].astype(np.float32)


def _coded(samples: np.ndarray, codec: str) -> np.ndarray:
    """Through a codec in memory, at its own rate; as long as before."""
    if codec not in CODECS:
        raise IsoglossError(f"codec {codec!r} is unknown; expected one of {', '.join(CODECS)}")
    rate, form, subtype, compression = CODECS[codec]
    there = soxr.resample(samples, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else samples
    buffer = io.BytesIO()
    level = {} if compression is None else {"compression_level": compression}
    soundfile.write(buffer, np.clip(there, -1, 1), rate, format=form, subtype=subtype, **level)
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    back = soxr.resample(decoded, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else decoded
    return np.pad(back[: len(samples)], (0, max(0, len(samples) - len(back))))
