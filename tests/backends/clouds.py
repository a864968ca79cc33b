"""Embeddings of made-up languages for the tests of back ends, and Kaldi's numbers (tests/data/README_backend.md)."""

from pathlib import Path

import numpy as np

DATA = Path(__file__).parent.parent / "data"
KALDI = np.load(DATA / "kaldi_backend.npz")
MODELS = np.load(DATA / "kaldi_backend_models.npz")
NAMES = sorted(set(KALDI["test_languages"].tolist()))
TRAIN, ENROL, TEST = (
    (KALDI[name].astype(float), KALDI[f"{name}_languages"].tolist()) for name in ("train", "enroll", "test")
)


def clouds(num_languages=4, per_language=50, num_dims=6, seed=0):
    """([U, E] around a mean of 5, [U] names), normal with one covariance, languages two apart."""
    rng = np.random.default_rng(seed)
    means = 2 * rng.normal(size=(num_languages, num_dims))
    mixing = rng.normal(size=(num_dims, num_dims))
    languages = [f"l{i}" for i in range(num_languages) for _ in range(per_language)]
    x = np.repeat(means, per_language, axis=0) + rng.normal(size=(len(languages), num_dims)) @ mixing
    return x + 5.0, languages


def scatter(x, languages):
    """(total, within) covariance, utterance by utterance."""
    mean = sum(x) / len(x)
    total = sum(np.outer(v - mean, v - mean) for v in x) / len(x)
    means = {
        own: np.mean([v for v, other in zip(x, languages, strict=True) if other == own], axis=0) for own in languages
    }
    within = sum(np.outer(v - means[own], v - means[own]) for v, own in zip(x, languages, strict=True)) / len(x)
    return total, within


def accuracy(backend, x, languages):
    return (np.array(backend.languages)[backend.loglik(x).argmax(axis=1)] == languages).mean()


def kaldi_eer_percent(scores):
    """Kaldi's compute-eer of [150, 10] scores of the test set, as its loop has it."""
    is_target = np.array([[own == name for name in NAMES] for own in TEST[1]])
    targets, others = sorted(scores[is_target]), sorted(scores[~is_target], reverse=True)
    position = next(k for k in range(len(targets)) if others[int(len(others) * k / len(targets))] < targets[k])
    return 100 * position / len(targets)
