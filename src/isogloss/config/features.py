"""Options of the front end, of augmented copies and of `isogloss features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from isogloss.config.stage import StageConfig


class FrontEndConfig(StageConfig):
    """Audio to frames; travels inside the model file, so that training and runtime cannot differ. SYSTEM: paper §4.3."""

    sample_rate: int = Field(16000, description="Hz; anything else is resampled to it")
    num_ceps: int = Field(20, ge=1, description="MFCC coefficients, C0 (log energy) included")
    num_mel_bins: int = Field(23, ge=3)
    low_freq: float = Field(40.0, description="Hz")
    high_freq: float = Field(-200.0, description="Hz; negative counts down from the Nyquist frequency")
    pitch: bool = Field(True, description="append POV feature, normalised log pitch and delta log pitch")
    cmn_window: int = Field(300, ge=1, description="frames of the centred sliding mean normalisation")
    vad_energy_threshold: float = Field(5.0, description="log energy, 16-bit sample scale")
    vad_energy_mean_scale: float = Field(0.5)
    vad_frames_context: int = Field(0, ge=0)
    vad_proportion_threshold: float = Field(0.6, gt=0, lt=1)

    @property
    def dim(self) -> int:
        """D, columns of a frame."""
        return self.num_ceps + (3 if self.pitch else 0)


Codec = Literal[
    "opus-6k", "vorbis-26k", "vorbis-18k-narrow", "mp3-23k", "mp3-14k-narrow", "adpcm-narrow", "ulaw", "gsm"
]
Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]


class AugmentConfig(StageConfig):
    """Ranges that augmented copies of a waveform are drawn from, and how often each change is made to one.

    The telephone codecs, ulaw and gsm, are not among the default codecs: the cross-channel test condition is made of them.
    """

    speed: Range = Field((0.8, 1.25), description="1: no change; drawn evenly on a logarithmic scale")
    room_probability: Probability = 0.5
    rt60_seconds: Range = (0.1, 0.6)
    direct_to_reverberant_db: Range = (-3.0, 12.0)
    noise_probability: Probability = 0.7
    noise_exponent: Range = Field((0.0, 2.0), description="0 white, 1 pink, 2 brown noise")
    snr_db: Range = (0.0, 30.0)
    babble_probability: Probability = 0.2
    babble_voices: tuple[int, int] = (1, 6)
    babble_snr_db: Range = (5.0, 25.0)
    recording_probability: Probability = Field(0.5, description="where there are recordings of noise")
    band_probability: Probability = 0.5
    low_hz: Range = (20.0, 300.0)
    high_hz: Range = (3000.0, 8000.0)
    tilt_db_per_octave: Range = (-4.0, 4.0)
    codec_probability: Probability = 0.2
    codecs: tuple[Codec, ...] = (
        "opus-6k",
        "vorbis-26k",
        "vorbis-18k-narrow",
        "mp3-23k",
        "mp3-14k-narrow",
        "adpcm-narrow",
    )
    gain_db: Range = (-15.0, 5.0)

    @model_validator(mode="after")
    def _ranges(self) -> AugmentConfig:
        for name, value in self:
            if isinstance(value, tuple) and name != "codecs" and not value[0] <= value[1]:
                raise ValueError(f"{name} {value}: expected (lowest, highest)")
        if self.speed[0] <= 0 or self.rt60_seconds[0] <= 0:
            raise ValueError(f"speed {self.speed}, rt60_seconds {self.rt60_seconds}: expected numbers above 0")
        return self


class FeaturesConfig(StageConfig):
    """Which versions of every cut go into the frame store."""

    front_end: FrontEndConfig = FrontEndConfig()
    speeds: tuple[float, ...] = Field((0.9, 1.0, 1.1), min_length=1, description="training copies, sox speed factors")
    volume: tuple[float, float] | None = Field(
        (0.125, 2.0), description="range of the volume factor of training copies"
    )
    augmented: int = Field(0, ge=0, description="further copies of each training clip, drawn as `augment` says")
    augment: AugmentConfig = AugmentConfig(speed=(0.9, 1.1))
    noise_recordings: Path | None = Field(
        None, description="folder of audio to mix into augmented copies, such as MUSAN; null: synthetic noise alone"
    )
    channel: bool = Field(True, description="also a telephone version (8 kHz, G.711 µ-law, GSM 06.10) of test cuts")
    dtype: Literal["float16", "float32"] = "float16"
    seed: int = Field(1024, description="seed of the volume factors and the augmented copies")

    @model_validator(mode="after")
    def _what_augmented_copies_need(self) -> FeaturesConfig:
        if self.noise_recordings is not None and not self.augmented:
            raise ValueError("features.noise_recordings is for augmented copies; set features.augmented=1 or more")
        if self.augmented and self.front_end.sample_rate != 16000:
            raise ValueError(
                f"augmented copies are made at 16000 Hz, the front end works at {self.front_end.sample_rate} Hz; "
                "set features.augmented=0"
            )
        return self
