"""A trained phone model as a labeller: audio of one speaker in, the pdf-id of every frame of the best path out.

The likelihoods are those of the Gaussian mixtures, or of a neural model of the same pdfs that lies in the same folder; the
phone graph and the search are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from isogloss.phones.hmm.decode import ACOUSTIC_SCALE, BEAM, MAX_ACTIVE, Decoded, Decoder
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.model import ARRAYS, GRAMMAR, MODEL, PhoneModel
from isogloss.phones.hmm.recognise import Recogniser
from isogloss.phones.hmm.speech import cepstra, normalised_by_speaker
from isogloss.types import IGNORE_PDF, IsoglossError

if TYPE_CHECKING:
    from isogloss.phones.neural import NeuralPhones

NEURAL_ACOUSTIC_SCALE = 1.0  # a classifier's likelihoods count a sound once; mixtures count it with every frame
SAMPLE_RATE = 16000  # Hz, of the speech that phone models are trained on
NEURAL, NEURAL_WEIGHTS = "neural.json", "neural.safetensors"  # as in phones/neural.py, which needs torch
MODEL_FILES = (MODEL, ARRAYS, GRAMMAR, NEURAL, NEURAL_WEIGHTS)
"""All that the labels of a model folder depend on."""


@dataclass(frozen=True)
class LabelOptions:
    """Search of the labels. `adapt`: fMLLR second pass; else the speaker-independent first, as the paper's labels."""

    adapt: bool = False
    acoustic_scale: float | None = None  # 1/12 for mixtures, 1 for a neural model
    best_path_scale: float | None = 1.0
    beam: float = BEAM
    max_active: int = MAX_ACTIVE


class Labeller(Protocol):
    """Labels one speaker's utterances at a time."""

    model: PhoneModel
    problems: list[str]  # what went wrong without stopping anything, since somebody last emptied it

    def paths(self, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
        """[S] samples at 16 kHz of one speaker each → [T] transition-ids each, 0 where too short to decode."""


def pdf_ids(model: PhoneModel, path: np.ndarray) -> np.ndarray:
    """[T] transition-ids → int16 pdf-ids, IGNORE_PDF for 0."""
    return np.where(path > 0, model.transition_model.pdf_of[path], IGNORE_PDF).astype(np.int16)


class GmmLabeller:
    """Cepstra normalised over the recording, decoded with the mixtures."""

    def __init__(self, recogniser: Recogniser, adapt: bool) -> None:
        self.model, self.problems = recogniser.model, recogniser.problems
        self._recogniser, self._adapt = recogniser, adapt

    def paths(self, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
        model = self.model
        frames = [cepstra(samples, SAMPLE_RATE, model.with_pitch) for samples in utterances]
        long = [i for i, of in enumerate(frames) if len(of) >= self._recogniser.decoder.min_frames]
        normalised = normalised_by_speaker([frames[i] for i in long], [""] * len(long), model.normalise_variance)
        decoded = dict(zip(long, self._recogniser.speaker(normalised, self._adapt), strict=True)) if long else {}
        return [_path(decoded.get(i), len(of)) for i, of in enumerate(frames)]


class NeuralLabeller:
    """Mel energies normalised by utterance, decoded with the classifier's likelihoods."""

    def __init__(self, model: PhoneModel, decoder: Decoder, neural: NeuralPhones) -> None:
        self.problems: list[str] = []
        self.model, self._decoder, self._neural = model, decoder, neural

    def paths(self, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
        from isogloss.phones.neural import log_mel

        paths = []
        for samples in utterances:
            frames = log_mel(samples)
            long = len(frames) >= self._decoder.min_frames
            decoded = self._decoder.decode(self._neural.loglik(frames)) if long else None
            paths.append(_path(decoded, len(frames)))
        return paths


def load_labeller(folder: Path, options: LabelOptions) -> Labeller:
    """Of a folder with one stage of a phone model; the neural one if it holds one. Raises IsoglossError."""
    model = PhoneModel.load(folder)
    neural = (Path(folder) / NEURAL).exists()
    if options.adapt and (neural or not model.adapts):
        raise IsoglossError(
            f"adapt is true, but {folder} holds {'a neural model' if neural else model.stage}, which does not adapt to "
            "speakers; use tri3b or tri4b, or adapt=false"
        )
    decoder = Decoder(
        build_graph(model.transition_model, model.tree, model.lm, silence_phone=model.silence),
        model.transition_model,
        beam=options.beam,
        max_active=options.max_active,
        acoustic_scale=options.acoustic_scale or (NEURAL_ACOUSTIC_SCALE if neural else ACOUSTIC_SCALE),
        best_path_scale=options.best_path_scale,
    )
    if not neural:
        return GmmLabeller(Recogniser(model, decoder), options.adapt)
    from isogloss.phones.neural import NeuralPhones

    classifier = NeuralPhones.load(folder)
    if classifier.num_pdfs != model.num_pdfs:
        raise IsoglossError(
            f"{folder}: {NEURAL} has {classifier.num_pdfs} pdfs and {MODEL} {model.num_pdfs}; was the neural model trained "
            "on the alignment of another stage? Train it again"
        )
    return NeuralLabeller(model, decoder, classifier)


def _path(decoded: Decoded | None, num_frames: int) -> np.ndarray:
    return np.zeros(num_frames, dtype=np.int32) if decoded is None else decoded.transition_ids
