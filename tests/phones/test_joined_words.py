import numpy as np
import pytest

from isogloss.frontend.augment import FRAME_LENGTH, FRAME_SHIFT
from isogloss.phones.joined_words import concatenate, without_inaudible_edges
from isogloss.types import IGNORE_PDF


def word(first_silent, spoken, last_silent, label, seed):
    rng = np.random.default_rng(seed)
    num_frames = first_silent + spoken + last_silent
    labels = np.repeat([0, label, 0], [first_silent, spoken, last_silent])
    samples = 1e-4 * rng.standard_normal(num_frames * FRAME_SHIFT + FRAME_LENGTH - FRAME_SHIFT)
    samples[first_silent * FRAME_SHIFT + 120 : (first_silent + spoken) * FRAME_SHIFT + 120] += (
        np.sin(label * np.arange(spoken * FRAME_SHIFT)) * 0.1
    )
    return samples.astype(np.float32), labels


def test_words_are_joined_without_their_silence_and_labels_stay_on_their_sound():
    words = [word(20, 30, 25, 1, 0), word(15, 40, 30, 2, 1), word(30, 20, 10, 3, 2)]
    samples, labels = concatenate(words, np.random.default_rng(0), [0], pause_probability=0.0)
    assert len(labels) == (len(samples) - FRAME_LENGTH) // FRAME_SHIFT + 1
    runs = labels[np.append(0, 1 + np.flatnonzero(np.diff(labels)))]
    assert runs.tolist() == [1, 2, 3]
    assert np.abs(np.bincount(labels)[1:] - [30, 40, 18]).max() <= 2
    for frame, label in enumerate(labels):  # each word is a tone of its own frequency, `label` radians per sample
        around = labels[max(0, frame - 1) : frame + 2]
        if (around == label).all() and 0 < frame < len(labels) - 1:
            spectrum = np.abs(np.fft.rfft(samples[frame * FRAME_SHIFT :][:FRAME_LENGTH] * np.hanning(FRAME_LENGTH)))
            assert np.argmax(spectrum) * 2 * np.pi / FRAME_LENGTH == pytest.approx(label, abs=0.03)


def test_pauses_keep_a_share_of_the_silence():
    words = [word(20, 30, 25, 1, 0)] * 20
    _, labels = concatenate(words, np.random.default_rng(0), [0], pause_probability=1.0)
    assert 0.1 < (labels == 0).mean() < 0.5
    silent = (np.zeros(4000, np.float32), np.zeros(23, int))
    assert [len(part) for part in concatenate([silent], np.random.default_rng(0), [0], 0.0)] == [0, 0]


def test_inaudible_edges_become_silence():
    samples, labels = word(20, 30, 20, 1, 0)
    wide = labels.copy()
    wide[10:20] = 1  # the aligner took ten frames of the pause for the word's first phone
    wide[50:] = 1
    mended = without_inaudible_edges(samples, wide, [0])
    assert np.abs(np.flatnonzero(mended == 0)[-1] - 19) <= 1
    assert (mended[53:] == IGNORE_PDF).all()  # no silence was there to name
    assert (mended[21:49] == 1).all()
