"""Transcribed speech ready for training: normalised cepstra of all utterances in one array, transcripts as phones."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from isogloss.frontend.cmvn import cmvn as normalise
from isogloss.frontend.cmvn import cmvn_stats
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.pitch import pitch
from isogloss.frontend.process_pitch import process_pitch
from isogloss.phones.hmm.utterance_graph import Words
from isogloss.types import IsoglossError

NUM_CEPS = 13  # Kaldi's plain MFCC: 23 mel bins, 20 Hz to the Nyquist frequency, C0 not replaced by the energy


def cepstra(samples: np.ndarray, sample_rate: float, with_pitch: bool = False) -> np.ndarray:
    """samples [S] → float32 [T, 13], or [T, 16] with POV feature, normalised log pitch and its delta appended."""
    frames = mfcc(samples, sample_rate, num_ceps=NUM_CEPS, low_freq=20.0, high_freq=0.0, use_energy=False)
    if not with_pitch:
        return frames
    track = process_pitch(pitch(samples, sample_rate))
    length = min(len(frames), len(track))
    return np.concatenate([frames[:length], track[:length]], axis=1)


def normalised_by_speaker(
    utterances: Sequence[np.ndarray], speakers: Sequence[str], normalise_variance: bool = False
) -> list[np.ndarray]:
    """Mean (and variance) of each speaker's utterances removed: [T, D] each (Kaldi's compute-cmvn-stats by spk2utt)."""
    stats: dict[str, np.ndarray] = {}
    for frames, speaker in zip(utterances, speakers, strict=True):
        made = cmvn_stats(frames)
        stats[speaker] = stats[speaker] + made if speaker in stats else made
    return [
        normalise(frames, stats[speaker], normalise_variance)
        for frames, speaker in zip(utterances, speakers, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class TrainingSpeech:
    """U utterances, N frames in all."""

    utterances: list[str]
    speakers: list[str]
    words: list[Words]
    frames: np.ndarray  # [N, D] float32, normalised
    frame_start: np.ndarray  # [U + 1]

    @classmethod
    def of(
        cls, utterances: Sequence[str], speakers: Sequence[str], words: Sequence[Words], frames: Sequence[np.ndarray]
    ) -> TrainingSpeech:
        """From lists in the same order; `frames` already normalised."""
        if not utterances:
            raise IsoglossError("no utterance to train on; were all left out for unknown words or unreadable audio?")
        starts = np.cumsum([0, *(len(of) for of in frames)])
        packed = np.ascontiguousarray(np.concatenate(frames), dtype=np.float32)
        return cls(list(utterances), list(speakers), list(words), packed, starts)

    def without(self, utterances: Container[str]) -> TrainingSpeech:
        """All utterances but these."""
        kept = [i for i, name in enumerate(self.utterances) if name not in utterances]
        return TrainingSpeech.of(
            [self.utterances[i] for i in kept],
            [self.speakers[i] for i in kept],
            [self.words[i] for i in kept],
            [self.frames[self.frame_start[i] : self.frame_start[i + 1]] for i in kept],
        )

    @property
    def speaker_of_frame(self) -> np.ndarray:
        """[N] index into the sorted speakers."""
        _, index = np.unique(np.array(self.speakers), return_inverse=True)
        return np.repeat(index, np.diff(self.frame_start))

    def map_utterances(self, frames: np.ndarray, work) -> np.ndarray:  # type: ignore[no-untyped-def]
        """`work([T, D]) → [T, D']` for each utterance's part of `frames` [N, D]."""
        parts = [work(frames[a:b]) for a, b in zip(self.frame_start[:-1], self.frame_start[1:], strict=True)]
        return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)
