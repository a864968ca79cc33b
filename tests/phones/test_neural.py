import dataclasses

import numpy as np
import pytest
import torch
from noise_phones import sound, speech

from isogloss.config import AugmentConfig
from isogloss.frontend.augment import FRAME_LENGTH, FRAME_SHIFT
from isogloss.phones import neural
from isogloss.phones.frame_classifier import FrameClassifier, fit
from isogloss.phones.neural import AlignedSpeech, NeuralOptions, NeuralPhones, log_mel, train
from isogloss.types import IGNORE_PDF, IsoglossError

SMALL = NeuralOptions(
    channels=24, context=((5, 1), (3, 2)), copies=2, epochs=20, joined_seconds=(1.0, 2.0), augment=AugmentConfig(speed=(0.9, 1.1))
)  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    return train([speech(seed) for seed in range(40)], 4, [0], SMALL)


def test_it_recognises_unseen_sounds_and_the_loss_falls(trained):
    losses = trained.about["losses"]
    assert losses[-1] < 0.7 * losses[0]
    spoken = speech(1000, 20)
    posterior = trained.log_posterior(log_mel(spoken.samples))
    assert (posterior.argmax(1) == spoken.pdf_ids).mean() > 0.8
    assert np.allclose(np.exp(posterior).sum(1), 1, atol=1e-5)


def test_loglik_is_the_posterior_over_the_prior(trained):
    frames = log_mel(speech(1001).samples)
    expected = trained.log_posterior(frames) - 0.8 * trained.log_prior
    assert trained.loglik(frames) == pytest.approx(expected)
    assert trained.loglik(frames).shape == (len(frames), 4) and trained.loglik(frames).dtype == np.float32
    assert np.exp(trained.log_prior).sum() == pytest.approx(1, abs=1e-5)
    assert trained.log_prior.argmin() == 3  # never seen
    assert trained.loglik(frames[:0]).shape == (0, 4)


def test_what_is_saved_is_what_is_loaded(trained, tmp_path):
    loaded = NeuralPhones.load(trained.save(tmp_path / "model"))
    frames = log_mel(speech(1002).samples)
    assert np.array_equal(loaded.loglik(frames), trained.loglik(frames))
    assert loaded.options == trained.options and loaded.about == trained.about
    with pytest.raises(IsoglossError, match="no neural phone model"):
        NeuralPhones.load(tmp_path)


def test_the_seed_decides_everything():
    options = dataclasses.replace(SMALL, epochs=2, dropout=0.1)
    spoken = [speech(seed) for seed in range(8)]
    frames = log_mel(speech(1003).samples)
    first, again = (train(spoken, 3, [0], options).loglik(frames) for _ in range(2))
    assert np.array_equal(first, again)
    other = train(spoken, 3, [0], dataclasses.replace(options, seed=1)).loglik(frames)
    assert not np.array_equal(first, other)


def test_silent_and_short_files(trained):
    silent = log_mel(np.zeros(16000, np.float32))
    assert silent.shape == (98, 40) and np.abs(silent).max() < 1e-3
    assert np.isfinite(trained.loglik(silent)).all()
    assert log_mel(np.zeros(100, np.float32)).shape == (0, 40)
    half = log_mel(np.concatenate([np.zeros(8000), sound(1, 8000, np.random.default_rng(0))]).astype(np.float32))
    assert np.isfinite(half).all()


def test_log_mel_has_no_mean_and_unit_variance():
    frames = log_mel(speech(0).samples)
    assert frames.mean(0) == pytest.approx(0, abs=1e-3)
    assert frames.std(0) == pytest.approx(1, abs=0.1)
    assert log_mel(0.1 * speech(0).samples) == pytest.approx(frames, abs=0.02)


def test_the_frames_to_train_on_have_a_label_each():
    options = dataclasses.replace(SMALL, copies=1)
    for frames, labels in neural.training_frames([speech(seed) for seed in range(10)], [0], options):
        assert frames.shape == (len(labels), 40) and len(labels) > 0
        assert set(np.unique(labels)) <= {0, 1, 2, IGNORE_PDF}


def test_dropout_and_width_are_options_and_unlabelled_frames_teach_nothing():
    model = FrameClassifier(5, 3, channels=8, context=((3, 1), (3, 4)), dropout=0.5)
    assert model(torch.zeros(2, 30, 5)).shape == (2, 30, 3)
    before = [value.clone() for name, value in model.named_parameters() if "weight" not in name]
    made = fit(model, np.random.default_rng(0).normal(size=(500, 5)).astype(np.float16), np.full(500, IGNORE_PDF), 1, 0)
    assert made.accuracy == 0 and made.losses == [0.0]
    after = [value for name, value in model.named_parameters() if "weight" not in name]
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(before, after, strict=True))
    assert not model.training


def test_bad_input_is_named(trained):
    with pytest.raises(IsoglossError, match="alignment has shape"):
        AlignedSpeech(np.zeros(FRAME_LENGTH + 10 * FRAME_SHIFT, np.float32), np.zeros(10, int), "me")
    with pytest.raises(IsoglossError, match="below 2"):
        train([speech(0)], 2, [0], SMALL)
    with pytest.raises(IsoglossError, match="0 aligned utterances"):
        train([], 2, [0], SMALL)
    with pytest.raises(IsoglossError, match="at least 100"):
        train([speech(0, 3)], 3, [0], dataclasses.replace(SMALL, copies=1))
    with pytest.raises(IsoglossError, match="log_mel"):
        trained.loglik(np.zeros((5, 20), np.float32))
    with pytest.raises(IsoglossError, match="at least one"):
        NeuralOptions(epochs=0)
