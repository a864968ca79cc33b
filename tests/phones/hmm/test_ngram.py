import itertools
import math
import random

import pytest

from isogloss.phones.hmm.ngram import END, START, PhoneLM
from isogloss.types import IsoglossError

PHONES = ["<eps>", "sil", "a", "b", "c", "d", "e"]
VOCABULARY = [2, 3, 4, 5, 6]


def text(seed=1, num_sequences=40):
    rng = random.Random(seed)
    return [[rng.choice((2, 2, 3, 4, 5)) for _ in range(rng.randint(1, 6))] for _ in range(num_sequences)]


def all_histories(order):
    words = [START, *VOCABULARY]
    pairs = [h for h in itertools.product(words, repeat=2) if h[1] != START]
    return [(), *((w,) for w in words), *pairs][: {1: 1, 2: 1 + len(words), 3: None}[order]]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_after_every_history_sum_to_one(order):
    lm = PhoneLM.train(text(), order, VOCABULARY)
    for history in all_histories(order):
        probabilities = [math.exp(lm.log_prob(history, phone)) for phone in (*VOCABULARY, END)]
        assert min(probabilities) > 0
        assert math.isclose(sum(probabilities), 1.0, abs_tol=1e-12)


def naive(sequences, order, history, word):
    """Interpolated Kneser-Ney by going through the text for each number; history no longer than order − 1."""
    padded = [(START, *s, END) for s in sequences]

    def count(ngram):
        places = [(s, i) for s in padded for i in range(len(s)) if s[i : i + len(ngram)] == ngram]
        if len(ngram) == order or ngram[0] == START:
            return len(places)
        return len({s[i - 1] for s, i in places if i > 0})

    def discount(length):
        ngrams = {s[i : i + length] for s in padded for i in range(len(s) - length + 1)} - {(START,)}
        counts = [count(ngram) for ngram in ngrams]
        ones, twos = counts.count(1), counts.count(2)
        return max(ones / max(ones + 2 * twos, 1), 0.001)

    followers = {w: count((*history, w)) for w in (*VOCABULARY, END)}
    total = sum(followers.values())
    lower = 1 / len(followers) if not history else naive(sequences, order, history[1:], word)
    if total == 0:
        return lower
    d = discount(len(history) + 1)
    types = sum(c > 0 for c in followers.values())
    return max(followers[word] - d, 0) / total + d * types / total * lower


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_are_those_of_the_formula(order):
    sequences = text(num_sequences=15)
    lm = PhoneLM.train(sequences, order, VOCABULARY)
    for history in all_histories(order):
        for word in (*VOCABULARY, END):
            expected = naive(sequences, order, history, word)
            assert math.isclose(math.exp(lm.log_prob(history, word)), expected, rel_tol=1e-10), (history, word)


def test_higher_orders_fit_their_own_text_better_and_perplexity_is_the_mean_log_probability():
    sequences = text()
    models = [PhoneLM.train(sequences, order) for order in (1, 2, 3)]
    perplexities = [lm.perplexity(sequences) for lm in models]
    assert perplexities[0] > perplexities[1] > perplexities[2] > 1
    total = models[2].log_prob((START,), 2) + models[2].log_prob((START, 2), 3) + models[2].log_prob((2, 3), END)
    assert math.isclose(models[2].perplexity([[2, 3]]), math.exp(-total / 3))


def test_every_history_backs_off_to_one_the_model_has():
    lm = PhoneLM.train(text(), 3)
    assert () in lm.log_probs
    assert all(history[1:] in lm.log_probs for history in lm.log_backoffs)
    assert set(lm.log_backoffs) == set(lm.log_probs) - {()}


@pytest.mark.parametrize("order", [1, 3])
def test_arpa_round_trip(tmp_path, order):
    lm = PhoneLM.train(text(), order, VOCABULARY)
    path = tmp_path / "phones.arpa"
    lm.save(path, PHONES)
    again = PhoneLM.load(path, PHONES)
    assert again.order == order and again.vocabulary == VOCABULARY
    for history in all_histories(order):
        for word in (*VOCABULARY, END):
            assert math.isclose(again.log_prob(history, word), lm.log_prob(history, word), abs_tol=1e-6)
    lines = path.read_text().splitlines()
    assert lines[0] == "\\data\\" and lines[-1] == "\\end\\"
    stated = [int(line.split("=")[1]) for line in lines if line.startswith("ngram ")]
    sections = path.read_text().split("-grams:\n")[1:]
    assert stated == [sum(line[:1].isdigit() or line[:1] == "-" for line in s.splitlines()) for s in sections]


def test_phones_never_seen_are_possible_only_if_asked_for():
    assert PhoneLM.train([[2, 3]], 3).vocabulary == [2, 3]
    lm = PhoneLM.train([[2, 3]], 3, VOCABULARY)
    assert lm.vocabulary == VOCABULARY
    assert math.isfinite(lm.log_prob((2, 3), 6))


def test_bad_input_is_told(tmp_path):
    with pytest.raises(IsoglossError, match="order 4"):
        PhoneLM.train([[2]], 4)
    with pytest.raises(IsoglossError, match="no phones"):
        PhoneLM.train([])
    with pytest.raises(IsoglossError, match="start at 1"):
        PhoneLM.train([[0, 2]])
    lm = PhoneLM.train([[2, 3]])
    with pytest.raises(IsoglossError, match="phone 5 is not in"):
        lm.perplexity([[2, 5]])
    with pytest.raises(IsoglossError, match="no sequences"):
        lm.perplexity([])
    path = tmp_path / "lm"
    lm.save(path, PHONES)
    with pytest.raises(IsoglossError, match="phone 'b'"):
        PhoneLM.load(path, PHONES[:3])
    path.write_text("nothing\n")
    with pytest.raises(IsoglossError, match="ARPA"):
        PhoneLM.load(path, PHONES)
