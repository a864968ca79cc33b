"""Phone-sequence language accuracy against loops and scikit-learn."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from isogloss.phones.phonotactics import (
    damped_counts,
    fit_naive_bayes,
    language_accuracy,
    phone_runs,
    predicted_languages,
)
from isogloss.types import IGNORE_PDF, IsoglossError

Corpus = tuple[dict[str, list[str]], dict[str, str], dict[str, int], dict[str, str]]


def _corpus(strength: float, num_languages: int = 4) -> Corpus:
    """Phone chains; with `strength` the next phone follows the language's own order instead of chance."""
    rng = np.random.default_rng(7)
    phones = np.array(list("ptkaiusmn"))
    order = [rng.permutation(len(phones)) for _ in range(num_languages)]
    runs, languages, folds, groups = {}, {}, {}, {}
    for u in range(40 * num_languages):
        language, recording = u % num_languages, u // 2
        now, said = int(rng.integers(len(phones))), []
        for _ in range(int(rng.integers(10, 40))):
            now = int(order[language][now]) if rng.random() < strength else int(rng.integers(len(phones)))
            said.append(str(phones[now]))
        name = f"u{u}"
        runs[name], languages[name] = said, f"lang{language}"
        folds[name], groups[name] = recording % 5, f"rec{recording}"
    return runs, languages, folds, groups


def test_runs_are_formed_before_tones_are_dropped() -> None:
    ids = np.array([0, 0, 1, 2, 2, 3, 3, 0], dtype=np.uint8)
    assert phone_runs(ids) == [0, 1, 2, 3, 0]
    assert phone_runs(ids, np.array([0, 1, 1, 2])) == [0, 1, 1, 2, 0]
    assert phone_runs(np.array([IGNORE_PDF, 4, 4, IGNORE_PDF, 4])) == [4, 4]
    assert phone_runs(np.zeros(0, dtype=int)) == []


def test_predictions_are_those_of_a_loop() -> None:
    runs, languages, folds, _ = _corpus(0.4)
    found = predicted_languages(runs, languages, folds)
    terms = {u: Counter([*r, *pairwise(r)]) for u, r in runs.items()}
    vocabulary = {term for counted in terms.values() for term in counted}
    for fold in set(folds.values()):
        weight = {language: dict.fromkeys(vocabulary, 0.5) for language in set(languages.values())}
        for u in runs:
            if folds[u] != fold:
                for term, n in terms[u].items():
                    weight[languages[u]][term] += math.log(1 + n)
        total = {language: sum(weights.values()) for language, weights in weight.items()}
        for u in runs:
            if folds[u] == fold:
                scores = {
                    language: sum(
                        math.log(1 + n) * math.log(weights[term] / total[language]) for term, n in terms[u].items()
                    )
                    for language, weights in weight.items()
                }
                assert found[u] == max(scores, key=lambda language: scores[language])


def test_naive_bayes_equals_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.naive_bayes")
    runs, languages, _, _ = _corpus(0.3)
    counts = damped_counts(list(runs.values()))
    classes = np.array([languages[u] for u in runs])
    known, log_p = fit_naive_bayes(counts[:100], classes[:100])
    oracle = sklearn.MultinomialNB(alpha=0.5, fit_prior=False).fit(counts[:100], classes[:100])
    assert known.tolist() == oracle.classes_.tolist()
    np.testing.assert_allclose(log_p, oracle.feature_log_prob_, atol=1e-12)
    assert known[np.argmax(counts[100:] @ log_p.T, axis=1)].tolist() == oracle.predict(counts[100:]).tolist()


def test_accuracy_rises_with_the_phonotactics() -> None:
    found = [language_accuracy(*_corpus(strength)) for strength in (0.0, 0.2, 0.6)]
    assert [f["n"] for f in found] == [160] * 3
    assert found[0]["chance"] == 0.25
    assert found[0]["low"] < 0.25 < found[0]["high"]
    assert found[0]["accuracy"] < found[1]["accuracy"] < found[2]["accuracy"]
    assert found[2]["accuracy"] > 0.9
    assert all(f["low"] <= f["accuracy"] <= f["high"] for f in found)
    runs = _corpus(0.6)[0]
    assert found[2]["segments_per_clip"] == sum(map(len, runs.values())) / 160


def test_the_interval_is_that_of_recordings() -> None:
    runs, languages, folds, groups = _corpus(0.2)
    many = language_accuracy(runs, languages, folds, groups)
    # whole folds as recordings: utterances that fail together, a wider interval than independent ones
    fold_means = language_accuracy(runs, languages, folds, {u: f"{f}" for u, f in folds.items()})
    assert many == language_accuracy(runs, languages, folds, groups)
    assert many["accuracy"] == fold_means["accuracy"]
    spread = math.sqrt(many["accuracy"] * (1 - many["accuracy"]) / 160)
    assert many["high"] - many["low"] == pytest.approx(2 * 1.96 * spread, rel=0.25)


def test_an_utterance_without_phones_is_wrong() -> None:
    runs, languages, folds, groups = _corpus(0.6)
    before = language_accuracy(runs, languages, folds, groups)["accuracy"]
    silent = runs | {u: [] for u in list(runs)[:80]}
    assert all(predicted_languages(silent, languages, folds)[u] is None for u in list(runs)[:80])
    assert language_accuracy(silent, languages, folds, groups)["accuracy"] <= 0.5 < before


def test_bad_input_is_named() -> None:
    runs, languages, folds, groups = _corpus(0.2)
    short = {u: language for u, language in languages.items() if u != "u3"}
    with pytest.raises(IsoglossError, match="1 of 160 utterances have no language, first 'u3'"):
        language_accuracy(runs, short, folds, groups)
    with pytest.raises(IsoglossError, match="160 of 160 utterances have no recording"):
        language_accuracy(runs, languages, folds, {})
    with pytest.raises(IsoglossError, match="160 utterances in 1 fold"):
        language_accuracy(runs, languages, dict.fromkeys(folds, 0), groups)
    with pytest.raises(IsoglossError, match="recordings are in several folds"):
        language_accuracy(runs, languages, folds, dict.fromkeys(groups, "one"))
    with pytest.raises(IsoglossError, match="0 of 0 utterances"):
        language_accuracy({}, languages, folds, groups)
