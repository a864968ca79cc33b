"""Isolated words, with a label for every frame, joined to utterances of running speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isogloss.frontend.augment import FRAME_LENGTH, FRAME_SHIFT, active_power
from isogloss.frontend.checks import to_float32
from isogloss.types import IGNORE_PDF

LEVEL = 0.05  # RMS that words are brought to before they are joined


def concatenate(
    words: Sequence[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    silences: Sequence[int],
    pause_probability: float = 0.3,
) -> tuple[np.ndarray, np.ndarray]:
    """(samples [S], labels [T]) of isolated words → those of one utterance of running speech, [S'] float32 and [T'].

    The silence (labels `silences`) at a word's two ends is cut off, inaudible frames of its first and last phone too; with
    `pause_probability` a random share of it is kept. Words are brought to one level, faded over 5 ms and joined on the frames'
    grid.
    """
    pieces, of_pieces = [], []
    for samples, labels in words:
        samples = to_float32(samples)
        labels = without_inaudible_edges(samples, labels, silences)
        speech = np.flatnonzero(~np.isin(labels, silences))
        first, stop = (int(speech[0]), int(speech[-1]) + 1) if len(speech) else (0, 0)
        if rng.random() < pause_probability:
            first, stop = int(rng.integers(first + 1)), int(rng.integers(stop, len(labels) + 1))
        if first == stop:
            continue
        piece = samples[first * FRAME_SHIFT : stop * FRAME_SHIFT].copy()
        piece *= np.float32(LEVEL / np.sqrt(active_power(piece) + 1e-10))
        ramp = np.linspace(0, 1, FRAME_SHIFT // 2, dtype=np.float32)
        piece[: len(ramp)] *= ramp
        piece[len(piece) - len(ramp) :] *= ramp[::-1]
        pieces.append(piece)
        of_pieces.append(labels[first:stop])
    if not pieces:
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    joined, labels = np.concatenate(pieces), np.concatenate(of_pieces)
    return np.clip(joined, -1, 1), labels[: max(0, (len(joined) - FRAME_LENGTH) // FRAME_SHIFT + 1)]


def without_inaudible_edges(samples: np.ndarray, labels: np.ndarray, silences: Sequence[int]) -> np.ndarray:
    """Labels [T] whose frames before the first and after the last audible one are silence (IGNORE_PDF where none is there).

    An aligner cannot tell a stop's closure after a pause from the pause. Under noise neither can be heard, and a classifier that
    must still say "b" learns to call every noise so. Audible: 6 dB above the recording's quiet tenth and within 40 dB of
    its loud tenth; whatever is within 25 dB of that.
    """
    if not len(labels):
        return labels
    power = np.square(np.lib.stride_tricks.sliding_window_view(samples, FRAME_LENGTH)[::FRAME_SHIFT]).mean(axis=1)
    level_db = 10 * np.log10(power[: len(labels)] + 1e-10)
    loud = np.sort(level_db)[-max(1, len(level_db) // 10) :].mean()
    threshold_db = min(max(np.quantile(level_db, 0.1) + 6, loud - 40), loud - 25)
    audible = np.flatnonzero(level_db >= threshold_db)
    labels = labels.copy()
    for edge, outermost in ((slice(0, audible[0]), labels[0]), (slice(audible[-1] + 1, None), labels[-1])):
        spoken = ~np.isin(labels[edge], silences)
        labels[edge][spoken] = outermost if outermost in silences else IGNORE_PDF
    return labels
