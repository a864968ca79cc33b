import numpy as np
import pytest
from noise_phones import speech

from isogloss.config import AugmentConfig
from isogloss.phones.neural import NeuralOptions, log_mel, train
from isogloss.phones.self_training import SelfTrainingOptions, confident_labels, self_train
from isogloss.types import IGNORE_PDF, IsoglossError

NO_CHANGE = AugmentConfig(
    speed=(1.0, 1.0), room_probability=0, noise_probability=0, babble_probability=0, band_probability=0, codec_probability=0
)  # fmt: skip
OPTIONS = NeuralOptions(
    channels=16, context=((5, 1),), copies=1, epochs=60, joined_seconds=(1.0, 2.0), augment=NO_CHANGE
)  # fmt: skip
PHONE_OF_PDF = np.array([7, 3, 3])  # pdfs 1 and 2 are states of one phone


def best(loglik):
    return loglik.argmax(axis=1)


@pytest.fixture(scope="module")
def model():
    return train([speech(seed) for seed in range(12)], 3, [0], OPTIONS)


def test_frames_below_the_confidence_are_ignored(model):
    frames = log_mel(speech(100).samples)
    posterior = np.exp(model.log_posterior(frames))
    path = best(model.loglik(frames))
    phone = np.stack([posterior[:, 0], posterior[:, 1] + posterior[:, 2]], axis=1)
    confidence = phone[np.arange(len(path)), np.array([0, 1, 1])[path]]
    threshold = float(np.median(confidence))
    labels = confident_labels(model, frames, best, PHONE_OF_PDF, threshold)
    clear = np.abs(confidence - threshold) > 1e-5
    assert np.array_equal(labels[clear], np.where(confidence >= threshold, path, IGNORE_PDF)[clear])
    assert np.array_equal(confident_labels(model, frames, best, PHONE_OF_PDF, 0.0), path)
    assert (confident_labels(model, frames, best, np.arange(3), 1.0) == IGNORE_PDF).mean() > 0.9


def test_rounds_train_on_both_and_say_what_they_kept(model):
    transcribed = [speech(seed) for seed in range(12)]
    untranscribed = [(f"clip{seed}", speech(seed).samples) for seed in range(200, 206)]
    untranscribed += [("short", np.zeros(100, np.float32)), ("silent", np.zeros(8000, np.float32))]
    options = SelfTrainingOptions(rounds=2, min_confidence=0.5, copies=1, epochs=30)
    made = self_train(model, transcribed, untranscribed, best, PHONE_OF_PDF, [0], options=options)
    assert len(made.about["self_training"]) == 2 and 0 < min(made.about["self_training"]) <= 1
    assert made.about["frames"] > model.about["frames"]
    frames = log_mel(speech(300).samples)
    assert not np.array_equal(made.loglik(frames), model.loglik(frames))
    again = self_train(model, transcribed, untranscribed, best, PHONE_OF_PDF, [0], options=options)
    assert np.array_equal(made.loglik(frames), again.loglik(frames))
    assert "self_training" not in model.about


def test_bad_input_is_named(model):
    frames = log_mel(speech(100).samples)
    with pytest.raises(IsoglossError, match="no untranscribed"):
        self_train(model, [], [], best, PHONE_OF_PDF, [0])
    with pytest.raises(IsoglossError, match="belong together"):
        confident_labels(model, frames, best, np.arange(4), 0.5)
    with pytest.raises(IsoglossError, match="one per frame"):
        confident_labels(model, frames, lambda loglik: best(loglik)[:-1], PHONE_OF_PDF, 0.5)
    with pytest.raises(IsoglossError, match="min_confidence 2"):
        SelfTrainingOptions(min_confidence=2)
