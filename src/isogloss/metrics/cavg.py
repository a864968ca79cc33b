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

from dataclasses import dataclass, replace

import numpy as np

from isogloss.metrics.posteriors import detection_llr
from isogloss.metrics.trials import Trials, as_weights, checked, like_weights, per_language, ratio
from isogloss.types import IsoglossError, Key, Scores

NUM_OLR_THRESHOLDS = 21
FLOOR_NATS = 10.0  # odds of 22,000 to 1: more than a test set of some thousand clips can confirm
P_OOS = 0.2
LRE17_P_TARGETS = (0.5, 0.1)


@dataclass(frozen=True)
class Components:
    """Error rates at one threshold, or at several; NaN where the test set has no such trial."""

    p_miss: np.ndarray  # [..., C]
    p_fa: np.ndarray  # [..., C, C + 1]: detector l × true language n, the last one out of set
    open_set: bool  # the key has out-of-set utterances

    def cost(self, p_target: float = 0.5, p_oos: float | None = None) -> np.ndarray:
        """Cavg [...] of these error rates; what was not tested costs nothing.

        Summed in the order of the challenge's script, language after language, so that even the rounding is the same.
        """
        prior = nontarget_priors(self.p_miss.shape[-1], self.open_set, p_target, p_oos)
        unit = prior.max()  # OLR has one prior for all, multiplied into the sum
        p_fa = np.cumsum(np.nan_to_num(self.p_fa) * (prior / unit), axis=-1)[..., -1]
        cost = p_target * np.nan_to_num(self.p_miss) + unit * p_fa  # [..., C]
        return np.cumsum(cost, axis=-1)[..., -1] / cost.shape[-1]


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
    """P_miss(l) and P_fa(l, n) at a threshold on the scores as they are. Errors: see `checked`."""
    trials = checked(scores, key)
    found = _components(trials, np.array([threshold]), as_weights(weights, len(trials.true)))
    p_miss, p_fa = (like_weights(rate[:, 0], weights) for rate in (found.p_miss, found.p_fa))
    return Components(p_miss, p_fa, found.open_set)


def cavg_olr(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """The OLR challenge's Cavg: the lowest over 21 thresholds spread evenly from the lowest to the highest score.

    Two outlying scores stretch the grid and can multiply the value; see `cavg_min`. Published OLR numbers are this one.
    """
    trials = checked(scores, key)
    rows = as_weights(weights, len(trials.true))
    present = (rows > 0) & trials.answered  # [R, U]
    low = np.where(present, trials.loglik.min(axis=1).astype(np.float64), np.inf).min(axis=1)
    high = np.where(present, trials.loglik.max(axis=1).astype(np.float64), -np.inf).max(axis=1)
    cost = np.full(len(rows), np.nan)
    ranges, range_of = np.unique(np.stack([low, high], axis=1), axis=0, return_inverse=True)
    for number, (lowest, highest) in enumerate(ranges):
        if lowest <= highest:
            step = (highest - lowest) / (NUM_OLR_THRESHOLDS - 1)
            members = range_of.ravel() == number
            found = _components(trials, lowest + np.arange(NUM_OLR_THRESHOLDS) * step, rows[members])
            cost[members] = found.cost().min(axis=1)
    return like_weights(cost, weights)


def cavg_olr_floored(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """`cavg_olr` where no score is further than 10 nats below the best one of its utterance.

    Not the challenge's number: beside it, it shows whether a few clips that were ruled out at absurd odds have stretched
    the grid of thresholds. Only scores that compare between utterances, such as log-posteriors or
    detection log-likelihood ratios, have a common floor.
    """
    trials = checked(scores, key)
    floor = trials.loglik.max(axis=1, keepdims=True) - FLOOR_NATS
    return cavg_olr(replace(trials, loglik=np.maximum(trials.loglik, floor)), key, weights)


def cavg_min(
    scores: Scores, key: Key, weights: np.ndarray | None = None, p_target: float = 0.5, p_oos: float | None = None
) -> np.ndarray:
    """The lowest Cavg any one threshold can reach, common to all languages; exact, O(n log n) in the trials.

    Never above `cavg_olr` (but for rounding), whose thresholds are among those tried (as is "reject everything").
    """
    trials = checked(scores, key)
    true, num_languages = trials.true, len(trials.languages)
    rows = as_weights(weights, len(true))
    prior = nontarget_priors(num_languages, _is_open(trials), p_target, p_oos)
    count = per_language(rows, true, num_languages)[:, true]  # [R, U] utterances of the same language
    share = np.nan_to_num(ratio(rows, count)) / num_languages  # [R, U] of one trial
    false_alarm = prior[true] * share
    targets, nontargets = trials.bins.weights(true, p_target * share, false_alarm)  # [R, B]
    # Accepting everything raises all false alarms there are; then each bin passed changes the cost.
    num_detectors = np.append(np.full(num_languages, num_languages - 1), num_languages)
    everything = (per_language(rows, true, num_languages) > 0) @ (prior * num_detectors) / num_languages  # [R]
    cost = everything[:, None] + np.cumsum(targets - nontargets, axis=1)
    return like_weights(np.maximum(cost.min(axis=1), 0), weights)  # rounding may leave −1e-17 of nothing


def cavg_actual(
    scores: Scores, key: Key, weights: np.ndarray | None = None, p_target: float = 0.5, p_oos: float | None = None
) -> np.ndarray:
    """Cavg of the decisions a user would take: detection log-likelihood ratios against the Bayes threshold.

    Accept l if log-likelihood ratio ≥ log((1 − P_target)/P_target), 0 for P_target = 0.5. Above `cavg_min` of the same
    ratios by what the scores lose through bad calibration.
    """
    trials = checked(scores, key)
    nontarget_priors(len(trials.languages), _is_open(trials), p_target, p_oos)  # bad input is met before the maths
    found = _components(trials, _bayes_thresholds(p_target), as_weights(weights, len(trials.true)), of_ratios=True)
    return like_weights(found.cost(p_target, p_oos)[:, 0], weights)


def cprimary(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """C_primary of NIST LRE 2017 and 2022: mean over P_target 0.5 and 0.1 of the actual Cavg, in units of P_target.

    C_avg(β) = 1/N Σ_l [ P_miss(l) + 1/(N − 1) Σ_n β·P_fa(l, n) ], β = (1 − P_target)/P_target, threshold log β: what
    `cavg_actual` is, divided by P_target. 1 is what rejecting everything costs. Out of set as in `cavg_olr`.
    """
    trials = checked(scores, key)
    thresholds = _bayes_thresholds(*LRE17_P_TARGETS)
    found = _components(trials, thresholds, as_weights(weights, len(trials.true)), of_ratios=True)
    costs = [found.cost(p_target)[:, k] / p_target for k, p_target in enumerate(LRE17_P_TARGETS)]
    return like_weights(np.mean(costs, axis=0), weights)


def cavg_nist(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """`cavg_actual` with NIST's open-set priors (LRE 2007 to 2011): P_target 0.5, P_oos 0.2."""
    return cavg_actual(scores, key, weights, p_oos=P_OOS)


def cavg_nist_min(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """`cavg_min` with NIST's open-set priors: P_target 0.5, P_oos 0.2."""
    return cavg_min(scores, key, weights, p_oos=P_OOS)


def _components(trials: Trials, thresholds: np.ndarray, rows: np.ndarray, of_ratios: bool = False) -> Components:
    """Error rates [R, K, …] at K ascending thresholds on the scores, or on their detection log-likelihood ratios."""
    from isogloss.metrics.kernels import passed, weight_per_level

    level = np.empty(trials.loglik.shape, dtype=np.uint8)
    if of_ratios:
        for part in trials.blocks():
            passed(detection_llr(trials.loglik[part]), thresholds, level[part])
    else:
        passed(trials.loglik, thresholds, level)
    rows = np.ascontiguousarray(rows)
    weight = weight_per_level(level, trials.true, rows, len(thresholds) + 1)  # [R, C + 1, C, K + 1]
    rejected = np.moveaxis(np.cumsum(weight, axis=-1)[..., :-1], (3, 2, 1), (1, 2, 3))  # [R, K, C, C + 1]
    count = per_language(rows, trials.true, len(trials.languages))[:, None, None, :]
    own = np.arange(len(trials.languages))
    p_miss = ratio(rejected, count)[..., own, own]
    p_fa = ratio(count - rejected, count)
    p_fa[..., own, own] = np.nan
    return Components(p_miss, p_fa, _is_open(trials))


def _bayes_thresholds(*p_targets: float) -> np.ndarray:
    return np.array([np.log((1 - p_target) / p_target) for p_target in p_targets])


def _is_open(trials: Trials) -> bool:
    return bool((trials.true == len(trials.languages)).any())
