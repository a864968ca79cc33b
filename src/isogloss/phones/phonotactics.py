"""How much of the language a label source's phone sequences tell: cross-validated language accuracy of a small classifier.

    score(c) = Σ_n log(1 + count_n) · log p(n | c)        n: the phone runs of an utterance and their bigrams
    p(n | c) = (a + Σ_{u in c} log(1 + count_n(u))) / Σ_n' (…)        a = 0.5, every language equally likely before

Multinomial naive Bayes on damped counts (Rennie et al., "Tackling the poor assumptions of naive Bayes text classifiers",
ICML 2003), the plain form of phone recognition followed by language modelling (Zissman, IEEE Trans. SAP 4(1), 1996). It
judges labels without training a network. Settings are those that give, exactly, the figures known for labels that Kaldi itself
made of vl16 (0.1284, 0.1002 and 0.1553): runs of tonal phones, whose tone is dropped afterwards; silence is a phone; no
sentence boundaries; vocabulary of all utterances.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from isogloss.phones.diagnostics import run_starts
from isogloss.types import IGNORE_PDF, IsoglossError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Runs = Sequence[Hashable]
"""An utterance's phones, each run of equal frames once: ids or names."""

SMOOTHING = 0.5  # added to every count of a language
NUM_RESAMPLES = 1000


def phone_runs(phone_ids: np.ndarray, base_of: np.ndarray | None = None) -> list[int]:
    """Phone per frame [T] → the phone of each run. IGNORE_PDF frames separate runs but are none.

    `base_of` [num_phones]: phone → phone without its tone, applied to the runs: two tones of a vowel in a row stay two.
    """
    phone_ids = np.asarray(phone_ids)
    runs = phone_ids[run_starts(phone_ids)].astype(np.int64)
    runs = runs[runs != IGNORE_PDF]
    return (runs if base_of is None else np.asarray(base_of)[runs]).tolist()


def language_accuracy(
    runs_by_utterance: Mapping[str, Runs],
    languages: Mapping[str, str],
    folds: Mapping[str, int],
    groups: Mapping[str, str],
    seed: int = 1024,
) -> dict[str, Any]:
    """{accuracy, low, high, n, chance, segments_per_clip} of `predicted_languages` over the utterances with runs.

    languages, folds, groups: of each utterance (others may be there too); groups: its recording. low, high: 95 %
    percentile bootstrap over recordings, redrawn within each language. An utterance without a phone counts as wrong.
    Raises IsoglossError.
    """
    utterances = list(runs_by_utterance)
    _check_all_have(utterances, groups, "recording")
    predicted = predicted_languages(runs_by_utterance, languages, folds)
    _check_folds(utterances, folds, groups)
    correct = np.array([predicted[u] == languages[u] for u in utterances], dtype=float)
    strata = [languages[u] for u in utterances]
    low, high = _interval(correct, [groups[u] for u in utterances], strata, seed)
    return {
        "accuracy": float(correct.mean()),
        "low": low,
        "high": high,
        "n": len(utterances),
        "chance": 1 / len(set(strata)),
        "segments_per_clip": float(np.mean([len(runs) for runs in runs_by_utterance.values()])),
    }


def predicted_languages(
    runs_by_utterance: Mapping[str, Runs], languages: Mapping[str, str], folds: Mapping[str, int]
) -> dict[str, str | None]:
    """Utterance → the language that the other folds' phone statistics give it; None for one without a phone.

    For paired comparisons of label sources. Raises IsoglossError for utterances without language or fold and for less
    than two folds.
    """
    utterances = list(runs_by_utterance)
    for values, what in ((languages, "language"), (folds, "fold")):
        _check_all_have(utterances, values, what)
    names, language = np.unique([languages[u] for u in utterances], return_inverse=True)
    fold = np.array([folds[u] for u in utterances])
    if len(np.unique(fold)) < 2:
        raise IsoglossError(
            f"{len(utterances)} utterances in {len(np.unique(fold))} fold; expected at least two to train and test on"
        )
    counts = damped_counts([runs_by_utterance[u] for u in utterances])
    best = np.zeros(len(utterances), dtype=np.int64)
    for held_out in np.unique(fold):
        test = fold == held_out
        known, log_p = fit_naive_bayes(counts[~test], language[~test])
        best[test] = known[np.argmax(counts[test] @ log_p.T, axis=1)]
    return {u: str(names[b]) if len(runs_by_utterance[u]) else None for u, b in zip(utterances, best, strict=True)}


def damped_counts(documents: Sequence[Runs]) -> csr_array:
    """[U, N] log(1 + count) of each of the N phones and bigrams found in U phone sequences."""
    from scipy.sparse import coo_array

    column: dict[Hashable, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, runs in enumerate(documents):
        terms = [*((phone,) for phone in runs), *pairwise(runs)]
        columns += [column.setdefault(term, len(column)) for term in terms]
        rows += [row] * len(terms)
    counts = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(documents), len(column))).tocsr()
    return counts.log1p()


def fit_naive_bayes(counts: csr_array, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """counts [U, N], classes [U] → the C classes present, log p(n | c) [C, N]."""
    known = np.unique(classes)
    totals = SMOOTHING + np.stack([np.asarray(counts[classes == c].sum(axis=0)).ravel() for c in known])
    return known, np.log(totals) - np.log(totals.sum(axis=1, keepdims=True))


def _check_all_have(utterances: list[str], values: Mapping[str, Any], what: str) -> None:
    missing = [u for u in utterances if u not in values]
    if missing or not utterances:
        first = f", first {missing[0]!r}" if missing else ""
        raise IsoglossError(
            f"{len(missing)} of {len(utterances)} utterances have no {what}{first}; expected one for each of at least "
            "one utterance: were labels and list made from the same corpus?"
        )


def _check_folds(utterances: list[str], folds: Mapping[str, int], groups: Mapping[str, str]) -> None:
    folds_of = defaultdict(set)
    for u in utterances:
        folds_of[groups[u]].add(folds[u])
    shared = [group for group, found in folds_of.items() if len(found) > 1]
    if shared:
        raise IsoglossError(
            f"{len(shared)} recordings are in several folds, first {shared[0]!r}: their speaker would give the language "
            "away; put all utterances of a recording in one fold"
        )


def _interval(correct: np.ndarray, groups: list[str], strata: list[str], seed: int) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the mean over resamples of the groups, drawn within each stratum."""
    # a recording with two languages is two: a resample keeps the number of recordings of each language
    cells, cell = np.unique(np.array([strata, groups]), axis=1, return_inverse=True)
    hits, sizes = np.bincount(cell.ravel(), weights=correct), np.bincount(cell.ravel())
    rng = np.random.default_rng(seed)
    times = np.zeros((NUM_RESAMPLES, len(hits)))
    for stratum in np.unique(cells[0]):
        members = np.flatnonzero(cells[0] == stratum)
        times[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=NUM_RESAMPLES)
    low, high = np.percentile(times @ hits / (times @ sizes), [2.5, 97.5])
    return float(low), float(high)
