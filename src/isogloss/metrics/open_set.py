"""Open set: does a detector's score tell utterances of enrolled languages ("known") from all others ("unknown")?

A threshold t takes an utterance for known if its score ≥ t. With correct_i = 1 where the language of known utterance i is
named rightly:

    AUROC   P(known > unknown), ties half: the area under known accepted over unknown accepted, t from +∞ to −∞
    FPR95   share of the unknown accepted at the highest t that accepts 95 % of the known
    OSCR    the area under CCR(t) = share of the known both accepted and named rightly, over unknown accepted;
            = P(known > unknown and rightly named), ties half: accuracy is its upper bound, AUROC another

Sources: Hendrycks and Gimpel, ICLR 2017 (AUROC, FPR95 of out-of-distribution detection); Dhamija, Günther, Boult,
"Reducing network agnostophobia", NeurIPS 2018 (CCR over FPR). The last three functions measure what scores alone give:
the highest posterior, as their detection log-likelihood ratio, which does not round to 1.
"""

from __future__ import annotations

import numpy as np

from isogloss.metrics.posteriors import detection_llr
from isogloss.metrics.trials import Trials, as_weights, checked, like_weights
from isogloss.types import IsoglossError, Key, Scores


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Scores [K] and [M] → area under the ROC; 0.5 is chance. Raises IsoglossError where one is empty or holds NaN."""
    return oscr(known, np.ones(len(known)), unknown)


def fpr_at_recall(known: np.ndarray, unknown: np.ndarray, recall: float = 0.95) -> float:
    """Share of the unknown accepted where at least `recall` of the known are; 1 is worst. Errors as `auroc`."""
    known, unknown = _finite(known, unknown)
    return float(_fpr(known, unknown, np.ones((1, len(known))), np.ones((1, len(unknown))), recall)[0])


def oscr(known_scores: np.ndarray, known_correct: np.ndarray, unknown_scores: np.ndarray) -> float:
    """Scores [K], whether the language named is right [K], scores [M] → area under the open-set classification rate."""
    known, unknown = _finite(known_scores, unknown_scores)
    if np.shape(known_correct) != known.shape:
        raise IsoglossError(f"{np.shape(known_correct)} decisions for known scores of shape {known.shape}")
    won = np.asarray(known_correct, dtype=np.float64)[None]
    return float(_won_pairs(known, unknown, won, np.ones((1, len(unknown))))[0]) / (len(known) * len(unknown))


def auroc_out_of_set(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """`auroc` of the highest posterior (flat prior). weights [U] or [R, U] → a number or [R].

    Raises IsoglossError unless there are utterances of both kinds.
    """
    return _area(scores, key, weights, only_correct=False)


def oscr_out_of_set(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """`oscr` of the highest posterior. Weights and errors as `auroc_out_of_set`."""
    return _area(scores, key, weights, only_correct=True)


def fpr95_out_of_set(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """`fpr_at_recall` 0.95 of the highest posterior. Weights and errors as `auroc_out_of_set`."""
    confidence, known = _confidence(checked(scores, key))
    rows = as_weights(weights, len(known))
    values = _fpr(confidence[known], confidence[~known], rows[:, known], rows[:, ~known], 0.95)
    return like_weights(values, weights)


def _area(scores: Scores, key: Key, weights: np.ndarray | None, only_correct: bool) -> np.ndarray:
    trials = checked(scores, key)
    confidence, known = _confidence(trials)
    rows = as_weights(weights, len(known))
    won = rows * ((trials.loglik.argmax(axis=1) == trials.true) & trials.answered) if only_correct else rows
    pairs = _won_pairs(confidence[known], confidence[~known], won[:, known], rows[:, ~known])
    with np.errstate(invalid="ignore"):  # NaN where a resample lacks one of the kinds
        return like_weights(pairs / (rows[:, known].sum(axis=1) * rows[:, ~known].sum(axis=1)), weights)


def _confidence(trials: Trials) -> tuple[np.ndarray, np.ndarray]:
    """([U] log-likelihood ratio of the best language, [U] whether the utterance is of an enrolled one)."""
    known = trials.true < len(trials.languages)
    if known.all() or not known.any():
        raise IsoglossError(
            f"{int(known.sum())} of {len(known)} utterances are of enrolled languages; needs both kinds"
        )
    # Sorted, so that the same scores in another order of languages are summed alike and tie.
    best = [detection_llr(np.sort(trials.loglik[part], axis=1))[:, -1] for part in trials.blocks()]
    return np.concatenate(best), known


def _won_pairs(known: np.ndarray, unknown: np.ndarray, won: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[R] Σ over pairs of won_i·weight_j·[known_i > unknown_j], ties half; won [R, K], rows [R, M]."""
    order = np.argsort(unknown)
    below = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows[:, order], axis=1)], axis=1)
    lower, upper = (np.searchsorted(unknown[order], known, side=side) for side in ("left", "right"))
    return (won * (below[:, lower] + below[:, upper]) / 2).sum(axis=1)


def _fpr(
    known: np.ndarray, unknown: np.ndarray, known_rows: np.ndarray, unknown_rows: np.ndarray, recall: float
) -> np.ndarray:
    """[R] weighted share of the unknown at or above the highest known score that `recall` of the known reach."""
    order = np.argsort(-known)
    reached = np.cumsum(known_rows[:, order], axis=1)  # [R, K] by the k + 1 highest
    needed = recall * reached[:, -1:] * (1 - 1e-12)  # rounding must not ask for one utterance more
    threshold = known[order][(reached >= needed).argmax(axis=1)]
    accepted = (unknown_rows * (unknown >= threshold[:, None])).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return accepted / unknown_rows.sum(axis=1)


def _finite(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(known, dtype=np.float64), np.asarray(unknown, dtype=np.float64)
    for name, values in zip(("known", "unknown"), scores, strict=True):
        if values.ndim != 1 or not len(values) or np.isnan(values).any():
            raise IsoglossError(
                f"{name} scores of shape {values.shape}, {int(np.isnan(values).sum())} of them NaN; expected one number "
                "for each utterance, and at least one: are both kinds in the test set?"
            )
    return scores
