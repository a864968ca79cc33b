"""A corpus of whistles: three "languages" (and an unknown one) that differ in how their tone moves, with phone times."""

import json

import numpy as np
import pytest
import soundfile

from isogloss.config import RecipeConfig, override

RATE = 16000
TINY = [
    "features.front_end.pitch=false", "features.speeds=[0.9, 1.0]", "phones.teacher_epochs=2", "phones.states_per_phone=1",
    "train.width=8", "train.batch_size=8", "train.cycles=[1, 1]", "train.chunk_frames=40", "train.hop_frames=40", "train.threads=1",
    "train.checkpoint_every=3", "evaluate.short_frames=40", "evaluate.num_resamples=20", "phones.teacher_language=aaa",
    "phones.source=teacher", "backend.fold_models=0",
]  # fmt: skip
LANGUAGES = {"aaa": (300, 600, 900), "bbb": (900, 600, 300), "ccc": (450, 1200, 450), "ooo": (1500, 200, 700)}


def whistle(hertz, generator):
    """2.1 s: each of three tones for 0.7 s, with harmonics and a little noise; and their times."""
    jitter = generator.uniform(0.9, 1.1)
    pieces, phones = [], []
    for index, hz in enumerate(hertz):
        time = np.arange(int(0.7 * RATE)) / RATE
        pieces.append(sum(np.sin(2 * np.pi * hz * jitter * k * time) / k for k in (1, 2, 3)))
        phones.append([f"p{hz}", round(0.7 * index, 2), round(0.7 * (index + 1), 2)])
    samples = 0.2 * np.concatenate(pieces) + 0.01 * generator.normal(size=3 * int(0.7 * RATE))
    return samples, phones


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """manifest.jsonl of 3 × 10 clips in three folds, and 4 clips of an unknown language."""
    root, generator, lines = tmp_path_factory.mktemp("whistles"), np.random.default_rng(0), []
    for language, hertz in LANGUAGES.items():
        for number in range(4 if language == "ooo" else 10):
            samples, phones = whistle(hertz, generator)
            path = root / f"{language}{number}.wav"
            soundfile.write(path, samples, RATE)
            line = {"path": path.name, "language": language, "recording": f"{language}{number // 2}", "phones": phones}
            line |= {"use": "out_of_set"} if language == "ooo" else {"fold": number // 2 % 3}
            lines.append(json.dumps(line) + "\n")
    (root / "manifest.jsonl").write_text("".join(lines))
    return root / "manifest.jsonl"


@pytest.fixture(scope="session")
def tiny_options():
    """The --set options of `tiny`, for a test that runs the command."""
    return TINY


@pytest.fixture(scope="session")
def tiny():
    """A recipe config small enough for a test."""
    return override(RecipeConfig(), TINY)
