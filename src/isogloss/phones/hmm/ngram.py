"""Phone n-grams of order 1 to 3, interpolated Kneser-Ney, as the grammar of a decoding graph.

    p(w | h) = max(c(hw) − D, 0) / c(h) + λ(h) p(w | h⁻),   λ(h) = D · |{w: c(hw) > 0}| / c(h)

h⁻ is h less its oldest phone, below the empty history stands the uniform distribution. c is the count at the highest order
and of histories that begin with the sentence start; below, the number of different phones seen before hw. One discount per
order, D = n₁ / (n₁ + 2 n₂) with n_k the n-grams of count k.

Source: Chen and Goodman, "An empirical study of smoothing techniques for language modeling", TR-10-98, Harvard 1998,
section 4.1.6. *Deviation from the reference*: Kaldi's utils/lang/make_kn_lm.py is the back-off form of the same estimate.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isogloss.types import IsoglossError

START = -1
END = -2
MAX_ORDER = 3
MIN_DISCOUNT = 0.001  # so that every phone stays possible after every history; Kaldi's

Ngram = tuple[int, ...]


@dataclass(frozen=True)
class PhoneLM:
    """`log_probs`: history → phone (or END) → natural log probability; `log_backoffs`: natural log λ of every history but ().

    Phones are ids from 1, a history starts with START at the beginning of an utterance. The empty history knows the whole
    vocabulary; every history h of the model has h⁻ in the model too.
    """

    order: int
    log_probs: dict[Ngram, dict[int, float]]
    log_backoffs: dict[Ngram, float]

    @classmethod
    def train(cls, sequences: Iterable[Sequence[int]], order: int = 3, vocabulary: Iterable[int] = ()) -> PhoneLM:
        """From phone ids without silence. `vocabulary`: phones that may be said though no sequence has them."""
        if not 1 <= order <= MAX_ORDER:
            raise IsoglossError(f"a phone n-gram of order {order}: expected 1 to {MAX_ORDER}")
        counts = _counts(sequences, order)
        phones = {END, *vocabulary, *counts.get((), ())}
        if len(phones) == 1:
            raise IsoglossError("no phones to train the phone n-gram on; are the transcripts empty?")
        if min(phones - {END}) < 1:
            raise IsoglossError(f"phone id {min(phones - {END})} in the n-gram's training text: phone ids start at 1")
        discounts = _discounts(counts)
        log_probs: dict[Ngram, dict[int, float]] = {}
        log_backoffs: dict[Ngram, float] = {}
        for history in sorted(counts, key=len):  # lower orders first: the higher ones lean on them
            of = counts[history]
            total, discount = sum(of.values()), discounts[len(history)]
            backoff = discount * len(of) / total
            if history:
                log_backoffs[history] = math.log(backoff)
            lower = log_probs[history[1:]] if history else dict.fromkeys(phones, -math.log(len(phones)))
            log_probs[history] = {
                phone: math.log(max(of[phone] - discount, 0.0) / total + backoff * math.exp(lower[phone]))
                for phone in sorted(of if history else phones)
            }
        return cls(order, log_probs, log_backoffs)

    @property
    def vocabulary(self) -> list[int]:
        """The phones it may say."""
        return sorted(phone for phone in self.log_probs[()] if phone != END)

    def log_prob(self, history: Sequence[int], phone: int) -> float:
        """Natural log p(phone | history), of which the last order − 1 phones count. IsoglossError: not in the vocabulary."""
        of = self.state(tuple(history))
        backoff = 0.0
        while phone not in self.log_probs[of]:
            if not of:
                raise IsoglossError(f"phone {phone} is not in the n-gram's vocabulary of {len(self.vocabulary)} phones")
            backoff += self.log_backoffs[of]
            of = of[1:]
        return backoff + self.log_probs[of][phone]

    def state(self, history: Ngram) -> Ngram:
        """The longest end of `history` that the model knows as a history."""
        history = history[len(history) - min(len(history), self.order - 1) :]
        while history not in self.log_probs:
            history = history[1:]
        return history

    def perplexity(self, sequences: Iterable[Sequence[int]]) -> float:
        """exp of the mean negative log probability per phone, the end of each sequence counted as one."""
        total, tokens = 0.0, 0
        for sequence in sequences:
            history: Ngram = (START,)
            for phone in (*sequence, END):
                total -= self.log_prob(history, phone)
                history = (*history[-MAX_ORDER:], phone)
                tokens += 1
        if not tokens:
            raise IsoglossError("no sequences to measure the phone n-gram's perplexity on")
        return math.exp(total / tokens)

    def save(self, path: Path, phones: Sequence[str]) -> None:
        """As ARPA text; `phones`: name of every phone id."""
        name = {START: "<s>", END: "</s>", **dict(enumerate(phones))}
        log10 = math.log(10.0)
        entries = {
            (*h, w): (lp, self.log_backoffs.get((*h, w))) for h, of in self.log_probs.items() for w, lp in of.items()
        }
        # a history is an entry even where it is never predicted (<s>)
        entries |= {h: (-99.0 * log10, backoff) for h, backoff in self.log_backoffs.items() if h not in entries}
        by_order = [{n: e for n, e in entries.items() if len(n) == k} for k in range(1, self.order + 1)]
        lines = ["\\data\\", *(f"ngram {k}={len(of)}" for k, of in enumerate(by_order, start=1))]
        for k, of in enumerate(by_order, start=1):
            lines += ["", f"\\{k}-grams:"]
            for ngram, (log_prob, backoff) in sorted(of.items()):
                tail = "" if backoff is None else f"\t{backoff / log10:.9g}"
                lines.append(f"{log_prob / log10:.9g}\t{' '.join(name[w] for w in ngram)}{tail}")
        path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")

    @classmethod
    def load(cls, path: Path, phones: Sequence[str]) -> PhoneLM:
        """From ARPA text whose words are among `phones`. Raises IsoglossError."""
        ids = {"<s>": START, "</s>": END, **{name: i for i, name in enumerate(phones)}}
        log10 = math.log(10.0)
        log_probs: dict[Ngram, dict[int, float]] = defaultdict(dict)
        backoffs: dict[Ngram, float] = {}
        order = 0
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("\\") and line.endswith("-grams:"):
                order = int(line[1 : -len("-grams:")])
            fields = line.split()
            if not order or len(fields) <= order:
                continue
            try:
                ngram = tuple(ids[word] for word in fields[1 : order + 1])
            except KeyError as error:
                raise IsoglossError(
                    f"{path}: phone {error.args[0]!r} is not in the phone list; do they belong together?"
                ) from None
            if ngram[-1] != START:
                log_probs[ngram[:-1]][ngram[-1]] = float(fields[0]) * log10
            if len(fields) > order + 1:
                backoffs[ngram] = float(fields[order + 1]) * log10
        if () not in log_probs or not 1 <= order <= MAX_ORDER:
            raise IsoglossError(f"{path}: no n-grams of order 1 to {MAX_ORDER} found; is it an ARPA language model?")
        # a history that nothing follows and one without a weight (0 in ARPA) both only back off
        return cls(order, dict(log_probs), {history: backoffs.get(history, 0.0) for history in log_probs if history})


def _counts(sequences: Iterable[Sequence[int]], order: int) -> dict[Ngram, Counter[int]]:
    """History → phone → count, as Kneser-Ney wants it (see the module)."""
    raw: dict[Ngram, Counter[int]] = defaultdict(Counter)
    before: dict[Ngram, set[int]] = defaultdict(set)
    for sequence in sequences:
        words = (START, *map(int, sequence), END)
        for at in range(1, len(words)):
            for length in range(min(order - 1, at) + 1):
                ngram = words[at - length : at + 1]
                raw[ngram[:-1]][ngram[-1]] += 1
                if at > length:
                    before[ngram].add(words[at - length - 1])
    for history, of in raw.items():
        if len(history) < order - 1 and history[:1] != (START,):
            raw[history] = Counter({phone: len(before[(*history, phone)]) for phone in of})
    return dict(raw)


def _discounts(counts: dict[Ngram, Counter[int]]) -> list[float]:
    """D of every order: index = length of the history."""
    once, twice = Counter[int](), Counter[int]()
    for history, of in counts.items():
        values = list(of.values())
        once[len(history)] += values.count(1)
        twice[len(history)] += values.count(2)
    lengths = range(max(map(len, counts), default=0) + 1)
    return [max(once[n] / max(once[n] + 2 * twice[n], 1), MIN_DISCOUNT) for n in lengths]
