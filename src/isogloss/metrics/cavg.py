"""Cavg, the average cost of language detection: components first, then one line for the value.

Source: NIST LRE 2007/2009 evaluation plans and the OLR challenge plans (arXiv 1706.09742 and 2006.03473).
With N enrolled languages and a threshold t (a trial scored s is accepted if s ≥ t, rejected if s < t):

    P_miss(l)   share of the utterances of l that the detector of l rejects
    P_fa(l, n)  share of the utterances of n ≠ l that the detector of l accepts
    Cavg        1/N Σ_l [ P_target·P_miss(l) + Σ_n π(n)·P_fa(l, n) ]

π(n) = (1 − P_target)/(N − 1) in a closed set. Where the key holds out-of-set utterances (open set), all of them are
one more non-target language and π(n) = (1 − P_target)/N for every n; or, as NIST does it, π(out of set) = P_oos is
given and π(n) = (1 − P_target − P_oos)/(N − 1).

A language that is enrolled but not tested has no trials to miss: its P_miss counts as 0 and it stays among the N, as in
the OLR challenge's own scoring. To average over the tested languages only, use `restrict_to_tested` first.

All of these are linear in the trials, so an utterance can have a weight: how often it is in the test set.
Shapes: scores.loglik [U, C]; weights [U] or [R, U] (R bootstrap resamples) → a number or [R].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.metrics.trials import as_weights, like_weights, ratio, sort_trials, truth
from isogloss.types import IsoglossError, Key, Scores

NUM_OLR_THRESHOLDS = 21


@dataclass(frozen=True)
class Components:
    """Error rates at one threshold; NaN where the test set has no such trial."""

    p_miss: np.ndarray  # [..., C]
    p_fa: np.ndarray  # [..., C, C + 1]: detector l × true language n, the last one out of set
    open_set: bool  # the key has out-of-set utterances

    def cost(self, p_target: float = 0.5, p_oos: float | None = None) -> np.ndarray:
        """Cavg [...] of these error rates; what was not tested costs nothing."""
        prior = nontarget_priors(self.p_miss.shape[-1], self.open_set, p_target, p_oos)
        return (p_target * np.nan_to_num(self.p_miss) + np.nan_to_num(self.p_fa) @ prior).mean(axis=-1)


def nontarget_priors(num_languages: int, open_set: bool, p_target: float, p_oos: float | None) -> np.ndarray:
    """π [C + 1] of the enrolled languages and, last, of out of set (0 in a closed set)."""
    p_unknown = p_oos or 0.0
    if not (0 < p_target < 1 and 0 <= p_unknown <= 1 - p_target):
        raise IsoglossError(f"P_target {p_target} and P_oos {p_oos}: expected probabilities with a sum of at most 1")
    if not open_set:
        if p_oos is not None:
            raise IsoglossError(f"P_oos {p_oos} was asked for, but no utterance is out of set; leave it out")
        return np.append(np.full(num_languages, (1 - p_target) / (num_languages - 1)), 0.0)
    if p_oos is None:
        return np.full(num_languages + 1, (1 - p_target) / num_languages)
    return np.append(np.full(num_languages, (1 - p_target - p_oos) / (num_languages - 1)), p_oos)


def components(scores: Scores, key: Key, threshold: float, weights: np.ndarray | None = None) -> Components:
    """P_miss(l) and P_fa(l, n) at a threshold on the scores as they are. Errors: see `truth`."""
    true = truth(scores, key)
    rows = as_weights(weights, len(true))
    num_languages = len(scores.languages)
    accepted = (scores.loglik >= threshold).astype(np.float64)  # [U, C]
    p_accept = np.full((len(rows), num_languages, num_languages + 1), np.nan)
    for n in np.unique(true):
        of_n = true == n
        count = rows[:, of_n].sum(axis=1, keepdims=True)  # [R, 1]
        p_accept[:, :, n] = ratio(rows[:, of_n] @ accepted[of_n], count)
    diagonal = np.arange(num_languages)
    p_miss = 1 - p_accept[:, diagonal, diagonal]
    p_accept[:, diagonal, diagonal] = np.nan
    open_set = bool((true == num_languages).any())
    return Components(like_weights(p_miss, weights), like_weights(p_accept, weights), open_set)


def cavg_olr(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """The OLR challenge's Cavg: the lowest over 21 thresholds spread evenly from the lowest to the highest score.

    Two outlying scores stretch the grid and can multiply the value; see `cavg_min`. Published OLR numbers are this one.
    """
    sweep = _Sweep.of(scores, key, weights, p_target=0.5, p_oos=None)
    present = sweep.weights > 0  # [R, U]
    low = np.where(present, scores.loglik.min(axis=1), np.inf).min(axis=1, keepdims=True)
    high = np.where(present, scores.loglik.max(axis=1), -np.inf).max(axis=1, keepdims=True)
    step = (high - low) / (NUM_OLR_THRESHOLDS - 1)
    thresholds = low + np.arange(NUM_OLR_THRESHOLDS) * step  # [R, 21]
    num_rejected = np.searchsorted(sweep.score, thresholds, side="left")
    return like_weights(np.take_along_axis(sweep.cost, num_rejected, axis=1).min(axis=1), weights)


def cavg_min(
    scores: Scores, key: Key, weights: np.ndarray | None = None, p_target: float = 0.5, p_oos: float | None = None
) -> np.ndarray:
    """The lowest Cavg any one threshold can reach, common to all languages; exact, O(n log n) in the trials.

    Never above `cavg_olr`, whose thresholds are among those tried (as is "reject everything").
    """
    sweep = _Sweep.of(scores, key, weights, p_target, p_oos)
    return like_weights(sweep.cost[:, sweep.cuts].min(axis=1), weights)


def cavg_actual(
    scores: Scores, key: Key, weights: np.ndarray | None = None, p_target: float = 0.5, p_oos: float | None = None
) -> np.ndarray:
    """Cavg of the decisions a user would take: detection log-likelihood ratios against the Bayes threshold.

    Accept l if log-likelihood ratio ≥ log((1 − P_target)/P_target), 0 for P_target = 0.5. Above `cavg_min` of the same
    ratios by what the scores lose through bad calibration.
    """
    open_set = bool((truth(scores, key) == len(scores.languages)).any())
    nontarget_priors(len(scores.languages), open_set, p_target, p_oos)  # bad input is met before the maths
    ratios = Scores(scores.utterances, scores.languages, detection_llr(scores.loglik))
    return components(ratios, key, float(np.log((1 - p_target) / p_target)), weights).cost(p_target, p_oos)


def detection_llr(loglik: np.ndarray) -> np.ndarray:
    """loglik [U, C] → log-likelihood ratio of "l" to "another enrolled language, each equally likely":

        llr_l = loglik_l − log( 1/(C − 1) Σ_{j≠l} exp loglik_j )

    A constant per utterance cancels, so log-posteriors under a flat prior do as well as log-likelihoods.
    """
    num_others = loglik.shape[1] - 1
    utterance = np.arange(len(loglik))
    best = loglik.argmax(axis=1)
    shifted = loglik - loglik[utterance, best][:, None]  # the best is 0
    likelihood = np.exp(shifted)
    # Leaving out a term that is not the best subtracts at most half of the sum; leaving out the best would leave
    # nothing but rounding error where it dominates, so that sum is made anew, with its own largest term as the unit.
    with np.errstate(divide="ignore"):
        others = np.log((likelihood.sum(axis=1, keepdims=True) - likelihood) / num_others)
    without = shifted.copy()
    without[utterance, best] = -np.inf
    second = without.max(axis=1, keepdims=True)
    others[utterance, best] = second[:, 0] + np.log(np.exp(without - second).sum(axis=1) / num_others)
    return shifted - others


@dataclass(frozen=True)
class _Sweep:
    """Cavg at every threshold: everything is accepted at first, then each trial passed changes it by its share."""

    score: np.ndarray  # [n] ascending
    cuts: np.ndarray  # [G] see SortedTrials
    weights: np.ndarray  # [R, U]
    cost: np.ndarray  # [R, n + 1]: entry k when the k lowest trials are rejected

    @staticmethod
    def of(scores: Scores, key: Key, weights: np.ndarray | None, p_target: float, p_oos: float | None) -> _Sweep:
        true = truth(scores, key)
        rows = as_weights(weights, len(true))
        num_languages = len(scores.languages)
        prior = nontarget_priors(num_languages, bool((true == num_languages).any()), p_target, p_oos)
        one_hot = np.eye(num_languages + 1)[true]  # [U, C + 1]
        share = np.nan_to_num(ratio(rows, (rows @ one_hot)[:, true])) / num_languages  # [R, U] of one trial
        false_alarm = prior[true] * share
        num_detectors = num_languages - (true < num_languages)  # [U], that could raise a false alarm
        trials = sort_trials(scores.loglik, true)
        change = np.concatenate([p_target * share, -false_alarm], axis=1)  # [R, 2U] of rejecting a target, a nontarget
        cost = np.empty((len(rows), len(trials.score) + 1))
        cost[:, 0] = false_alarm @ num_detectors
        cost[:, 1:] = change[:, trials.utterance + np.where(trials.is_target, 0, len(true))]
        np.cumsum(cost, axis=1, out=cost)
        np.maximum(cost, 0, out=cost)  # rounding may leave −1e-17 of nothing
        return _Sweep(trials.score, trials.cuts, rows, cost)
