"""The definitions as plain loops, and random test sets to try them on. Slow and literal on purpose."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from isogloss.types import OUT_OF_SET, Key, Scores


@st.composite
def labelled_scores(draw: st.DrawFn, open_set: bool | None = None) -> tuple[Scores, Key]:
    """Few utterances and few distinct scores: ties, untested languages, one utterance and equal scores all happen."""
    num_languages = draw(st.integers(2, 4))
    languages = [f"l{i}" for i in range(num_languages)]
    spoken = [*languages, OUT_OF_SET] if open_set or (open_set is None and draw(st.booleans())) else languages
    own = draw(st.lists(st.sampled_from(spoken), min_size=1, max_size=12))
    # At least one target trial, and out of set where it was asked for.
    own = [languages[0], *([OUT_OF_SET] if open_set else []), *own]
    values = draw(st.sampled_from([[0.0], [-1.5, 0.25], [i / 7 for i in range(-5, 6)]]))
    flat = draw(st.lists(st.sampled_from(values), min_size=len(own) * num_languages, max_size=len(own) * num_languages))
    utterances = [f"u{i}" for i in range(len(own))]
    loglik = np.array(flat).reshape(len(own), num_languages)
    return Scores(utterances, languages, loglik), dict(zip(utterances, own, strict=True))


def cavg_at(scores: Scores, key: Key, threshold: float, p_target: float = 0.5, p_oos: float | None = None) -> float:
    """Cavg of one threshold, trial by trial."""
    is_open = OUT_OF_SET in [key[u] for u in scores.utterances]
    num_languages = len(scores.languages)
    total = 0.0
    for column, detector in enumerate(scores.languages):
        for spoken in [*scores.languages, OUT_OF_SET]:
            own = [s[column] for u, s in zip(scores.utterances, scores.loglik, strict=True) if key[u] == spoken]
            if not own:
                continue
            if spoken == detector:
                total += p_target * sum(s < threshold for s in own) / len(own)
                continue
            if p_oos is not None:
                prior = p_oos if spoken == OUT_OF_SET else (1 - p_target - p_oos) / (num_languages - 1)
            else:
                prior = (1 - p_target) / (num_languages if is_open else num_languages - 1)
            total += prior * sum(s >= threshold for s in own) / len(own)
    return total / num_languages


def repeated(scores: Scores, key: Key, times: np.ndarray) -> tuple[Scores, Key]:
    """The test set in which utterance i really is there times[i] times."""
    rows = np.repeat(np.arange(len(times)), times)
    names = [f"{scores.utterances[row]}#{n}" for n, row in enumerate(rows)]
    new_key = {name: key[scores.utterances[row]] for name, row in zip(names, rows, strict=True)}
    return Scores(names, scores.languages, scores.loglik[rows]), new_key


def olr_script(scores: Scores, key: Key) -> float:
    """What the challenge's scoring script does, sum by sum: closed, and with out of set as one language more."""
    num_languages = len(scores.languages)
    is_open = OUT_OF_SET in [key[u] for u in scores.utterances]
    own = [[*scores.languages, OUT_OF_SET].index(key[u]) for u in scores.utterances]
    values = [float(value) for row in scores.loglik for value in row]
    low, high = min(values), max(values)
    precision = (high - low) / 20
    costs = []
    for section in range(21):
        threshold = low + section * precision
        total = 0.0
        for lang in range(num_languages):
            targets = misses = 0.0
            tried = [0.0] * (num_languages + is_open)
            accepted = [0.0] * (num_languages + is_open)
            for spoken, row in zip(own, scores.loglik, strict=True):
                if spoken == lang:
                    targets += 1
                    misses += float(row[lang]) < threshold
                else:
                    tried[spoken] += 1
                    accepted[spoken] += float(row[lang]) >= threshold
            p_miss = misses / targets if targets else 0.0
            sum_fa = 0.0
            for n in range(num_languages + is_open):
                sum_fa += accepted[n] / tried[n] if tried[n] else 0.0
            total += 0.5 * p_miss + 0.5 / (num_languages - 1 + is_open) * sum_fa
        costs.append(total / num_languages)
    return min(costs)


def with_silent(scores: Scores, *rows: int) -> Scores:
    """The same, without an answer for some utterances."""
    loglik = scores.loglik.copy()
    loglik[list(rows)] = -np.inf
    return Scores(scores.utterances, scores.languages, loglik)
