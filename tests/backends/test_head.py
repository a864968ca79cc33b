import numpy as np
import pytest

from isogloss.backends.head import Head
from isogloss.types import IsoglossError

RNG = np.random.default_rng(0)
WEIGHT, BIAS, X = RNG.normal(size=(3, 4)), RNG.normal(size=3), RNG.normal(size=(5, 4))
LANGUAGES = ["zh", "ja", "ko"]  # the network's order, not sorted


def log_posterior(logits):
    return [z - np.log(sum(np.exp(logits))) for z in logits]


def test_softmax_head():
    expected = [log_posterior([sum(w * v) + b for w, b in zip(WEIGHT, BIAS, strict=True)]) for v in X]
    head = Head(LANGUAGES, WEIGHT, BIAS)
    assert head.loglik(X) == pytest.approx(np.array(expected), abs=1e-12)
    assert head.languages == LANGUAGES


def test_margin_head_is_the_scaled_cosine():
    def cosine(a, b):
        return sum(a * b) / np.sqrt(sum(a * a) * sum(b * b))

    expected = [log_posterior([30 * cosine(w, v) for w in WEIGHT]) for v in X]
    head = Head(LANGUAGES, WEIGHT.astype(np.float32), scale=30, cosine=True)
    assert head.loglik(X.astype(np.float32)) == pytest.approx(np.array(expected), abs=1e-4)
    assert head.loglik(100 * X) == pytest.approx(head.loglik(X), abs=1e-9)  # length says nothing


def test_bad_input():
    with pytest.raises(IsoglossError, match="for 2 languages; expected 2 rows"):
        Head(["zh", "ja"], WEIGHT)
    with pytest.raises(IsoglossError, match=r"bias \(2,\)"):
        Head(LANGUAGES, WEIGHT, BIAS[:2])
    with pytest.raises(IsoglossError, match="not finite"):
        Head(LANGUAGES, WEIGHT).loglik(np.full((1, 4), np.nan))
    with pytest.raises(IsoglossError, match=r"expected .utterances, 4."):
        Head(LANGUAGES, WEIGHT).loglik(np.zeros((1, 5)))
