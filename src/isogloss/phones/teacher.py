"""A Mandarin teacher: a small frame classifier trained on one language's phone times, then run over every language.

It stands where the paper has a GMM-HMM trained on THCHS-30: every frame of every language is named by the phones of
*one* language (Figure 3 of the paper, "virtual phonemes"). Labels that share symbols across languages would leak the
language into the phoneme task; one teacher's labels cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from isogloss.phones.frame_classifier import WINDOW_FRAMES, FrameClassifier, fit
from isogloss.types import IsoglossError


def train(
    utterances: Iterable[tuple[np.ndarray, np.ndarray]], num_pdfs: int, epochs: int, seed: int
) -> tuple[FrameClassifier, float]:
    """Fit on (frames [T, D], labels [T]) pairs; returns the classifier and its frame accuracy in the last epoch."""
    pairs = list(utterances)
    if not pairs:
        raise IsoglossError(
            "no labelled speech for the teacher; is phones.teacher_language a language of the corpus with phone times?"
        )
    frames = np.concatenate([frames for frames, _ in pairs]).astype(np.float32)
    labels = np.concatenate([labels for _, labels in pairs])
    if len(frames) < WINDOW_FRAMES:
        raise IsoglossError(f"{len(frames)} labelled frames for the teacher; at least {WINDOW_FRAMES} are needed")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FrameClassifier(frames.shape[1], num_pdfs)
    return model, fit(model, frames, labels, epochs, seed).accuracy


@torch.no_grad()
def label(model: FrameClassifier, utterances: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """[T, D] frames → [T] int16, the likeliest pdf of every frame."""
    for frames in utterances:
        if not len(frames):
            yield np.empty(0, dtype=np.int16)
            continue
        yield model(torch.from_numpy(frames.astype(np.float32))[None])[0].argmax(1).numpy().astype(np.int16)
