import numpy as np
import pytest
from hypothesis import given, settings
from metric_oracle import labelled_scores

from isogloss.metrics.cllr import cllr
from isogloss.types import OUT_OF_SET, IsoglossError, Scores


@settings(max_examples=40, deadline=None)
@given(labelled_scores())
def test_cllr_is_the_mean_surprise_per_language(test_set):
    scores, key = test_set
    per_language = []
    for c, language in enumerate(scores.languages):
        rows = [row for u, row in zip(scores.utterances, scores.loglik, strict=True) if key[u] == language]
        if rows:
            per_language.append(np.mean([-np.log2(np.exp(row[c]) / np.exp(row).sum()) for row in rows]))
    assert cllr(scores, key) == pytest.approx(np.mean(per_language), abs=1e-12)


def test_no_information_costs_log2_of_the_languages_and_certainty_nothing():
    key = {f"u{i}": f"l{i % 5}" for i in range(10)} | {"x": OUT_OF_SET}
    languages = [f"l{i}" for i in range(5)]
    assert cllr(Scores(list(key), languages, np.full((11, 5), -3.0)), key) == pytest.approx(np.log2(5))
    sure = np.vstack([np.eye(5), np.eye(5), np.zeros((1, 5))]) * 1000
    assert cllr(Scores(list(key), languages, sure), key) == 0
    assert cllr(Scores(list(key), languages, -sure), key) > 1000  # sure and wrong


def test_cllr_without_known_utterances_is_an_error():
    with pytest.raises(IsoglossError, match="Cllr"):
        cllr(Scores(["a"], ["l0", "l1"], np.zeros((1, 2))), {"a": OUT_OF_SET})
