"""Self-training: a neural acoustic model learns from its own labels of untranscribed speech, where it is sure of them.

Each round decodes the untranscribed speech with the present model, keeps the frames whose phone has a posterior of at least
`min_confidence`, and trains a new model on them and on the transcribed speech, all of it augmented anew: what is heard clean
teaches what to answer under noise. In the joint corpus the new languages are heard, their speakers and channels too.

Sources: Yarowsky, "Unsupervised word sense disambiguation rivaling supervised methods", ACL 1995; Park et al., "Improved noisy
student training for automatic speech recognition", Interspeech 2020.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isogloss.phones.neural import AlignedSpeech, NeuralPhones, log_mel, train
from isogloss.types import IGNORE_PDF, IsoglossError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SelfTrainingOptions:
    rounds: int = 2
    min_confidence: float = 0.5  # posterior of a frame's phone, all pdfs of the phone together
    min_frames: int = 30  # confident ones of an utterance; one with fewer is left out
    copies: int = 3  # of the joint corpus, as in NeuralOptions
    epochs: int = 9

    def __post_init__(self) -> None:
        if self.rounds < 1 or not 0 <= self.min_confidence <= 1:
            raise IsoglossError(
                f"rounds {self.rounds}, min_confidence {self.min_confidence}: expected at least 1, and 0 … 1"
            )


def self_train(
    model: NeuralPhones,
    transcribed: Sequence[AlignedSpeech],
    untranscribed: Sequence[tuple[str, np.ndarray]],
    decode: Callable[[np.ndarray], np.ndarray],
    phone_of_pdf: np.ndarray,
    silence_pdfs: Sequence[int],
    options: SelfTrainingOptions | None = None,
) -> NeuralPhones:
    """The model of the last round; its `about["self_training"]` has the share of frames that every round kept.

    untranscribed: (speaker or recording, samples [S] at 16 kHz). decode: log-likelihoods [T, num_pdfs] → pdf-ids [T] of the best
    path. phone_of_pdf: [num_pdfs] any number per phone. Every round has a seed of its own, and otherwise the model's options.
    Raises IsoglossError.
    """
    options = options or SelfTrainingOptions()
    training = replace(model.options, copies=options.copies, epochs=options.epochs)
    if not untranscribed:
        raise IsoglossError("no untranscribed speech to learn from; expected at least one utterance")
    shares = []
    for number in range(1, options.rounds + 1):
        learnt, kept, frames = [], 0, 0
        for speaker, samples in untranscribed:
            mel = log_mel(samples)
            if not len(mel):
                continue
            pdf_ids = confident_labels(model, mel, decode, phone_of_pdf, options.min_confidence)
            sure = int(np.count_nonzero(pdf_ids != IGNORE_PDF))
            frames += len(mel)
            if sure >= options.min_frames:
                kept += sure
                learnt.append(AlignedSpeech(samples, pdf_ids, speaker))
        shares.append(round(kept / max(frames, 1), 4))
        logger.info(
            "self-training, round %d: %d utterances, %.0f %% of their frames", number, len(learnt), 100 * shares[-1]
        )
        settings = replace(training, seed=training.seed + number)
        model = train([*transcribed, *learnt], model.num_pdfs, silence_pdfs, settings)
        model.about["self_training"] = list(shares)
    return model


def confident_labels(
    model: NeuralPhones,
    frames: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    phone_of_pdf: np.ndarray,
    min_confidence: float,
) -> np.ndarray:
    """pdf-ids [T] of the best path through `frames` [T, 40]; IGNORE_PDF where the phone's posterior is below `min_confidence`."""
    if len(phone_of_pdf) != model.num_pdfs:
        raise IsoglossError(
            f"the phones of {len(phone_of_pdf)} pdfs for a model of {model.num_pdfs}; do they belong together?"
        )
    posterior = np.exp(model.log_posterior(frames))
    loglik = model.loglik(frames)
    pdf_ids = decode(loglik)
    if pdf_ids.shape != (len(frames),):
        raise IsoglossError(
            f"decoding {len(frames)} frames gave pdf-ids of shape {pdf_ids.shape}; expected one per frame"
        )
    _, phone = np.unique(phone_of_pdf, return_inverse=True)
    of_phone = posterior @ np.eye(phone.max() + 1, dtype=np.float32)[phone]  # [T, phones]
    return np.where(of_phone[np.arange(len(frames)), phone[pdf_ids]] >= min_confidence, pdf_ids, IGNORE_PDF)
