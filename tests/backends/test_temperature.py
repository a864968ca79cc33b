import numpy as np
import pytest

from isogloss.backends import Head, fit_temperature
from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_finds_the_temperature_that_labels_were_drawn_at(temperature):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 5)) * 3
    posterior = np.exp(log_softmax(logits / temperature))
    truth = (posterior.cumsum(1) > generator.random((len(logits), 1))).argmax(1)
    assert fit_temperature(log_softmax(logits), truth) == pytest.approx(temperature, rel=0.05)


def test_a_cooled_head_divides_its_logits_and_decides_alike():
    generator = np.random.default_rng(1)
    embeddings = generator.normal(size=(50, 8))
    for cosine, bias in ((True, None), (False, generator.normal(size=3))):
        head = Head(["a", "b", "c"], generator.normal(size=(3, 8)), bias, scale=30.0 if cosine else 1.0, cosine=cosine)
        cooled = head.cooled(4.0)
        np.testing.assert_allclose(cooled.loglik(embeddings), log_softmax(head.loglik(embeddings) / 4.0), atol=1e-10)
        assert (cooled.loglik(embeddings).argmax(1) == head.loglik(embeddings).argmax(1)).all()


def test_no_utterances_give_no_temperature():
    with pytest.raises(IsoglossError, match="0 rows of scores"):
        fit_temperature(np.empty((0, 3)), np.empty(0, int))
