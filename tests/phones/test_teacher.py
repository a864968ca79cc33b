import itertools

import numpy as np
import pytest

from isogloss.phones import allphone, teacher
from isogloss.types import IGNORE_PDF, IsoglossError


def speech(seed, num_frames=600):
    """Frames whose label is which of the first three columns is largest, held for ten frames at a time."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(generator.integers(0, 3, num_frames // 10), 10)
    frames = generator.normal(size=(num_frames, 5)).astype(np.float16)
    frames[np.arange(num_frames), labels] += 2
    return frames, labels.astype(np.int16)


def test_it_learns_the_frames_of_unseen_speech():
    model, accuracy = teacher.train([speech(seed) for seed in range(20)], num_pdfs=3, epochs=12, seed=0)
    frames, labels = speech(99)
    (guessed,) = teacher.label(model, [frames])
    assert accuracy > 0.8
    assert (guessed == labels).mean() > 0.8
    assert guessed.dtype == np.int16


def test_the_seed_decides_everything():
    first, _ = teacher.train([speech(0)], 3, 2, seed=7)
    again, _ = teacher.train([speech(0)], 3, 2, seed=7)
    assert all((a == b).all() for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_unlabelled_frames_teach_nothing_and_silence_has_no_label():
    frames, labels = speech(0)
    model, accuracy = teacher.train([(frames, np.full_like(labels, IGNORE_PDF))], 3, 1, seed=0)
    assert accuracy == 0.0
    assert next(teacher.label(model, [np.empty((0, 5), np.float16)])).shape == (0,)


def test_no_speech_to_learn_from_is_an_error():
    with pytest.raises(IsoglossError, match="teacher_language"):
        teacher.train([], 3, 1, 0)


def test_allphone_gives_ordered_english_phones_whatever_came_before():
    generator = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    vowel = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20)) * 0.05
    noise = generator.normal(size=16000) * 0.02
    samples = np.concatenate([vowel, noise, vowel]).astype(np.float32)
    first = allphone.decode(samples)
    allphone.decode(noise.astype(np.float32))
    assert allphone.decode(samples) == first
    assert first and all(symbol in allphone.PHONES for symbol, _, _ in first)
    assert all(0 <= start < end <= 3.05 for _, start, end in first)
    assert all(a[2] <= b[1] + 1e-9 for a, b in itertools.pairwise(first))
    assert allphone.decode(samples[:100]) == []
