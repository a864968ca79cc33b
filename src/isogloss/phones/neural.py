"""A neural acoustic model bootstrapped from a GMM-HMM: the classifier's posteriors over the same pdfs, divided by their priors.

    log p(x_t | pdf) + const = log P(pdf | x_{t−14} … x_{t+14}) − prior_scale · log P(pdf)

It hears what the GMM was aligned on through rooms, noises and codecs, at many speeds and joined to running speech, and learns to
answer as the GMM did on the clean words: labels for speech unlike that of the transcribed corpus. x: 40 log mel energies, mean
and variance normalised over the utterance.

Source: Bourlard and Morgan, "Connectionist Speech Recognition: A Hybrid Approach", Kluwer 1994, ch. 7.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isogloss.config import AugmentConfig
from isogloss.frontend.augment import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE, apply, labels_at_speed, randomize
from isogloss.frontend.checks import check_frames
from isogloss.frontend.mfcc import fbank
from isogloss.phones.frame_classifier import FrameClassifier, fit
from isogloss.phones.joined_words import concatenate
from isogloss.types import IGNORE_PDF, IsoglossError

NUM_MEL_BINS = 40
VARIANCE_FLOOR = 0.01  # of a log mel energy; digital silence must not be blown up
PRIOR_COUNT = 10.0  # frames added to every pdf's
FORMAT = 1
DESCRIPTION, WEIGHTS = "neural.json", "neural.safetensors"


@dataclass(frozen=True)
class AlignedSpeech:
    """An utterance with the pdf of every frame: samples [S] at 16 kHz, pdf_ids [T], IGNORE_PDF where nobody knows."""

    samples: np.ndarray
    pdf_ids: np.ndarray
    speaker: str

    def __post_init__(self) -> None:
        expected = num_frames(len(self.samples))
        if self.pdf_ids.shape != (expected,):
            raise IsoglossError(
                f"{self.speaker}: {len(self.samples)} samples are {expected} frames, but the alignment has shape "
                f"{self.pdf_ids.shape}; was the audio at 16 kHz and the alignment made of it?"
            )


@dataclass(frozen=True)
class NeuralOptions:
    """Size and training. The defaults were measured on 38 minutes of isolated words; see docs/log."""

    channels: int = 128
    context: tuple[tuple[int, int], ...] = ((5, 1), (3, 2), (3, 4), (3, 6))  # (taps, dilation): ±14 frames
    dropout: float = 0.0
    copies: int = 8  # of the corpus, each joined and augmented anew
    epochs: int = 48  # passes over the corpus in all: epochs / copies over each copy
    learning_rate: float = 3e-3
    joined_seconds: tuple[float, float] = (2.0, 12.0)  # length of a joined utterance
    pause_probability: float = 0.3
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    prior_scale: float = 0.8
    seed: int = 1024

    def __post_init__(self) -> None:
        if min(self.channels, self.copies, self.epochs) < 1 or not self.context:
            raise IsoglossError(
                f"channels {self.channels}, copies {self.copies}, epochs {self.epochs}, context {self.context}: "
                "expected at least one of each"
            )


class NeuralPhones:
    """`loglik(frames(samples))` takes the place of a GMM's log-likelihoods in the decoder."""

    def __init__(
        self, classifier: FrameClassifier, log_prior: np.ndarray, options: NeuralOptions, about: dict[str, Any]
    ) -> None:
        self.classifier = classifier.eval()
        self.log_prior = log_prior.astype(np.float32)  # [num_pdfs]
        self.options = options
        self.about = about

    @property
    def num_pdfs(self) -> int:
        return len(self.log_prior)

    @torch.no_grad()
    def log_posterior(self, frames: np.ndarray) -> np.ndarray:
        """log P(pdf | x): [T, 40] of `log_mel` → float32 [T, num_pdfs], natural logs. Raises IsoglossError."""
        frames = check_frames(frames)
        if frames.shape[1] != NUM_MEL_BINS:
            raise IsoglossError(f"frames of shape {frames.shape}; expected [T, {NUM_MEL_BINS}]: make them with log_mel")
        if not len(frames):
            return np.zeros((0, self.num_pdfs), np.float32)
        logits: torch.Tensor = self.classifier(torch.from_numpy(frames)[None])[0]
        return logits.log_softmax(dim=1).numpy()

    def loglik(self, frames: np.ndarray) -> np.ndarray:
        """log posterior − prior_scale · log prior: [T, 40] of `log_mel` → float32 [T, num_pdfs]. Raises IsoglossError."""
        return self.log_posterior(frames) - np.float32(self.options.prior_scale) * self.log_prior

    def save(self, folder: Path) -> Path:
        """Write neural.json and neural.safetensors into `folder`; returns it."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: np.ascontiguousarray(value.numpy()) for name, value in self.classifier.state_dict().items()}
        save_file({**state, "log_prior": self.log_prior}, folder / WEIGHTS)
        options = asdict(self.options) | {"augment": self.options.augment.model_dump(mode="json")}
        described = {"format": FORMAT, "num_pdfs": self.num_pdfs, "options": options, "about": self.about}
        (folder / DESCRIPTION).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: Path) -> NeuralPhones:
        """What `save` wrote. Raises IsoglossError."""
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / DESCRIPTION).exists() or not (folder / WEIGHTS).exists():
            raise IsoglossError(f"{folder} holds no neural phone model ({DESCRIPTION} and {WEIGHTS}); train one first")
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if described.get("format") != FORMAT:
            raise IsoglossError(f"{folder}: format {described.get('format')}, expected {FORMAT}; train it again")
        options = described["options"]
        options["augment"] = AugmentConfig(**options["augment"])
        options["context"] = tuple((taps, dilation) for taps, dilation in options["context"])
        options["joined_seconds"] = tuple(options["joined_seconds"])
        made = NeuralOptions(**options)
        weights = load_file(folder / WEIGHTS)
        log_prior = weights.pop("log_prior").numpy()
        classifier = _classifier(len(log_prior), made)
        classifier.load_state_dict(weights)
        return cls(classifier, log_prior, made, described["about"])


def num_frames(num_samples: int) -> int:
    return max(0, (num_samples - FRAME_LENGTH) // FRAME_SHIFT + 1)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """The classifier's input: [S] at 16 kHz, int16 or float in [−1, 1] → float32 [T, 40]. Raises IsoglossError."""
    bank = fbank(samples, SAMPLE_RATE, num_mel_bins=NUM_MEL_BINS, low_freq=40.0, high_freq=-200.0)
    if not len(bank):
        return bank
    centred = bank - bank.mean(axis=0)
    return centred / np.sqrt(np.square(centred).mean(axis=0) + np.float32(VARIANCE_FLOOR))


def train(
    utterances: Sequence[AlignedSpeech],
    num_pdfs: int,
    silence_pdfs: Sequence[int],
    options: NeuralOptions | None = None,
    recordings: Sequence[np.ndarray] = (),
) -> NeuralPhones:
    """Bootstrap a classifier of `num_pdfs` pdfs from a GMM's alignments. `recordings`: of noise, waveforms at 16 kHz.

    The same seed gives the same model. Raises IsoglossError for pdf-ids beyond `num_pdfs` and too little speech.
    """
    options = options or NeuralOptions()
    highest = max((int(of.pdf_ids.max(initial=-1)) for of in utterances), default=-1)
    if not 0 <= highest < num_pdfs:
        raise IsoglossError(
            f"{len(utterances)} aligned utterances with pdf-ids up to {highest}, expected some below {num_pdfs}; "
            "do alignment and model belong together?"
        )
    prepared = list(training_frames(utterances, silence_pdfs, options, recordings))
    frames = np.concatenate([frames for frames, _ in prepared])
    labels = np.concatenate([labels for _, labels in prepared])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        classifier = _classifier(num_pdfs, options)
    made = fit(
        classifier, frames, labels, max(1, options.epochs // options.copies), options.seed,
        learning_rate=options.learning_rate,
    )  # fmt: skip
    counts = np.bincount(labels[labels != IGNORE_PDF], minlength=num_pdfs) + PRIOR_COUNT
    about = {"frames": len(frames), "accuracy": round(made.accuracy, 4), "losses": [round(x, 4) for x in made.losses]}
    return NeuralPhones(classifier, np.log(counts / counts.sum()), options, about)


def training_frames(
    utterances: Sequence[AlignedSpeech],
    silence_pdfs: Sequence[int],
    options: NeuralOptions,
    recordings: Sequence[np.ndarray] = (),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(frames [T, 40] float16, labels [T] int16 …) of the corpus's copies: a speaker's utterances joined, then augmented."""
    rng = np.random.default_rng(options.seed)
    speakers = sorted({of.speaker for of in utterances})
    by_speaker = [[of for of in utterances if of.speaker == speaker] for speaker in speakers]
    voices = [of.samples for of in utterances]
    for _ in range(options.copies):
        for spoken in by_speaker:
            for group in _groups(spoken, rng, options.joined_seconds):
                words = [(of.samples, of.pdf_ids) for of in group]
                samples, labels = concatenate(words, rng, silence_pdfs, options.pause_probability)
                drawn = randomize(rng, options.augment, len(voices), len(recordings))
                frames = log_mel(apply(samples, drawn, voices, recordings))
                if len(frames):
                    yield frames.astype(np.float16), labels_at_speed(labels, len(frames), drawn.speed)


def _groups(
    spoken: Sequence[AlignedSpeech], rng: np.random.Generator, seconds: tuple[float, float]
) -> Iterator[list[AlignedSpeech]]:
    """Utterances in random order, joined until they are as long as drawn."""
    group: list[AlignedSpeech] = []
    length, wanted = 0, rng.uniform(*seconds)
    for index in rng.permutation(len(spoken)):
        group.append(spoken[index])
        length += len(spoken[index].samples)
        if length >= wanted * SAMPLE_RATE:
            yield group
            group, length, wanted = [], 0, rng.uniform(*seconds)
    if group:
        yield group


def _classifier(num_pdfs: int, options: NeuralOptions) -> FrameClassifier:
    return FrameClassifier(NUM_MEL_BINS, num_pdfs, options.channels, options.context, options.dropout)
