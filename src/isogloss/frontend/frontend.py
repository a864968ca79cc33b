"""FrontEnd: the only path from audio to frames, in training and at run time alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.config import FrontEndConfig
from isogloss.frontend.cmvn import sliding_cmn
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.pitch import pitch
from isogloss.frontend.process_pitch import process_pitch
from isogloss.frontend.vad import vad
from isogloss.types import IsoglossError

MAX_LENGTH_DIFFERENCE = 2  # frames; MFCC and pitch round the end of a file differently


@dataclass(frozen=True)
class Frames:
    """All frames of one utterance, mean-normalised, and which of them are speech."""

    features: np.ndarray  # [T, D] float32
    voiced: np.ndarray  # [T] bool

    @property
    def selected(self) -> np.ndarray:
        """[V, D] the voiced frames, which is what the network sees."""
        return self.features[self.voiced]


class FrontEnd:
    """MFCC (+ pitch) → sliding CMN over all columns → energy VAD on C0 before CMN. Paper §4.3; Kaldi's order of operations.

    `FrontEnd(config)(samples, sample_rate)` → [T, D] float32, the voiced frames, which is what the network sees, or all
    of them with `voiced_only=False`; samples [S] mono, float in [−1, 1] or int16. Frame t of all covers
    samples 160·t … 160·t + 399 at 16 kHz.
    """

    def __init__(self, config: FrontEndConfig | None = None) -> None:
        self.config = config or FrontEndConfig()

    def __call__(self, samples: np.ndarray, sample_rate: int, voiced_only: bool = True) -> np.ndarray:
        frames = self.frames(samples, sample_rate)
        return frames.selected if voiced_only else frames.features

    def frames(self, samples: np.ndarray, sample_rate: int) -> Frames:
        """All frames, and which of them are speech. IsoglossError for another rate or samples that are no waveform."""
        config = self.config
        if sample_rate != config.sample_rate:
            raise IsoglossError(
                f"samples at {sample_rate} Hz for a front end of {config.sample_rate} Hz; "
                f"read them with isogloss.frontend.audio.read_audio(path, {config.sample_rate}), which resamples"
            )
        cepstra = cepstra_of(samples, config)
        log_energy = cepstra[:, 0].copy()
        frames = cepstra
        if config.pitch:
            frames = paste(cepstra, process_pitch(pitch(samples, sample_rate)))
            log_energy = log_energy[: len(frames)]
        return Frames(sliding_cmn(frames, window=config.cmn_window), voiced_of(log_energy, config))


def cepstra_of(samples: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """[T, num_ceps] MFCC of samples [S] at the config's rate, not normalised; column 0 is the log energy."""
    return mfcc(
        samples,
        config.sample_rate,
        num_ceps=config.num_ceps,
        num_mel_bins=config.num_mel_bins,
        low_freq=config.low_freq,
        high_freq=config.high_freq,
    )


def voiced_of(log_energy: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """[T] bool: the frames that the VAD selects by their log energy [T]."""
    return vad(
        log_energy,
        energy_threshold=config.vad_energy_threshold,
        energy_mean_scale=config.vad_energy_mean_scale,
        frames_context=config.vad_frames_context,
        proportion_threshold=config.vad_proportion_threshold,
    )


def paste(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[T, D1], [T', D2] → [min(T, T'), D1 + D2]; lengths may differ by 2 frames (Kaldi's paste-feats)."""
    if abs(len(left) - len(right)) > MAX_LENGTH_DIFFERENCE:
        raise IsoglossError(
            f"{len(left)} and {len(right)} frames cannot be pasted (at most {MAX_LENGTH_DIFFERENCE} may differ); "
            "were both made with the same frame shift?"
        )
    num_frames = min(len(left), len(right))
    return np.hstack([left[:num_frames], right[:num_frames]])
