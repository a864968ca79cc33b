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
