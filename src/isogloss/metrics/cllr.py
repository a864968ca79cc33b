"""Cllr: what the scores would cost, in bits, as probabilities. Sees calibration, which thresholds hide.

Source: Brümmer and van Leeuwen, "On calibration of language recognition scores", Odyssey 2006 (multiclass); Brümmer and
du Preez, "Application-independent evaluation of speaker detection", Computer Speech and Language 2006 (detection, PAV).
An utterance without an answer is charged as one that says nothing: log2 C, or 1 bit a detection trial.
Shapes: weights [U] or [R, U] → a number or [R].
"""

from __future__ import annotations

import numpy as np

from isogloss.metrics.posteriors import detection_llr, log_posterior
from isogloss.metrics.sweep import Bins
from isogloss.metrics.trials import Trials, as_weights, checked, like_weights, per_language, ratio
from isogloss.types import IsoglossError, Key, Scores


def cllr(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the tested languages of the mean of −log2 P(true language | utterance) under a flat prior.

    0 is perfect, log2 C is what a system that always answers "equally likely" costs; more is worse than no system.
    Out-of-set utterances have no posterior to score and are left out.
    """
    trials = checked(scores, key)
    rows = as_weights(weights, len(trials.true))
    known = _known(trials)
    bits = np.zeros(len(trials.true))
    for part in trials.blocks():
        own = np.where(known[part], trials.true[part], 0)[:, None]
        bits[part] = np.take_along_axis(log_posterior(trials.loglik[part]), own, axis=1)[:, 0] / -np.log(2)
    num_languages = len(trials.languages)
    count = per_language(rows, trials.true, num_languages)[:, :-1]  # [R, C]
    cost = per_language(rows * bits, trials.true, num_languages)[:, :-1]
    tested = count > 0
    return like_weights(ratio(np.where(tested, ratio(cost, count), 0.0).sum(axis=1), tested.sum(axis=1)), weights)


def cllr_min(scores: Scores, key: Key) -> float:
    """The lowest Cllr that scores a·loglik_l + b_l can have, a ≥ 0 and b [C] chosen with the key at hand.

    What calibration could still win is `cllr` less this. Languages not tested are left out (b_l → −∞ costs nothing).
    """
    from scipy.optimize import minimize

    trials = checked(scores, key)
    known = _known(trials)
    count = np.bincount(trials.true, minlength=len(trials.languages) + 1)[:-1]
    tested = np.flatnonzero(count)
    if len(tested) == 1:
        return 0.0
    used = known & trials.answered
    if not used.any():
        return float(np.log2(len(tested)))
    loglik = trials.loglik[used][:, tested].astype(np.float64)
    loglik -= loglik.max(axis=1, keepdims=True)
    true = np.searchsorted(tested, trials.true[used])
    weight = 1 / (len(tested) * count[tested][true])  # [U] every language weighs the same
    utterance = np.arange(len(true))

    def cost_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = log_posterior(parameters[0] * loglik + parameters[1:])
        change = np.exp(log_p) * weight[:, None]
        change[utterance, true] -= weight
        return -float(weight @ log_p[utterance, true]), np.append((change * loglik).sum(), change.sum(axis=0))

    start = np.append(1 / max(float(np.abs(loglik).mean()), 1e-9), np.zeros(len(tested)))
    bounds = [(0, None)] + [(None, None)] * len(tested)
    found = minimize(cost_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds)
    nothing_said = 1 - weight.sum()  # the share of utterances without an answer
    return min(float((found.fun + nothing_said * np.log(len(tested))) / np.log(2)), float(cllr(trials, key)))


def cllr_detection(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """Cllr of the detectors, all trials pooled: ½·mean over targets of log2(1 + 1/LR) + ½·mean over the others of
    log2(1 + LR), LR = exp `detection_llr`. 0 is perfect, 1 is what LR = 1 for every trial costs."""
    trials = checked(scores, key)
    rows = as_weights(weights, len(trials.true))
    _known(trials)
    bits = np.empty((2, len(trials.true)))  # of each utterance's target trial, of its non-target trials
    for part in trials.blocks():
        ratios = _ratios(trials.loglik[part])
        is_target = trials.true[part, None] == np.arange(len(trials.languages))
        bits[0, part] = (np.logaddexp(0, -ratios) * is_target).sum(axis=1)
        bits[1, part] = (np.logaddexp(0, ratios) * ~is_target).sum(axis=1)
    num_targets = trials.true < len(trials.languages)
    counts = np.stack([num_targets, len(trials.languages) - num_targets])
    mean_bits = ratio(rows @ bits.T, rows @ counts.T) / np.log(2)  # [R, 2]
    return like_weights(mean_bits.mean(axis=1), weights)


def cllr_detection_min(scores: Scores, key: Key, weights: np.ndarray | None = None) -> np.ndarray:
    """The lowest `cllr_detection` under any rising function of the ratios: pool adjacent violators (isotonic regression).

    Also measures what the pooled ROC's convex hull costs over all priors; `cllr_detection` less this is calibration.
    """
    from isogloss.metrics.kernels import pool_adjacent_violators

    trials = checked(scores, key)
    rows = as_weights(weights, len(trials.true))
    _known(trials)
    ratios = np.concatenate([_ratios(trials.loglik[part]) for part in trials.blocks()])
    bins = Bins.around_targets(ratios, trials.true)
    cost = np.empty(len(rows))
    for r, (targets, nontargets) in enumerate(zip(*bins.weights(trials.true, rows, rows), strict=True)):
        pools = pool_adjacent_violators(targets, nontargets)
        p, q = (pool / pool.sum() for pool in pools)  # likelihoods of a pool given target and non-target
        with np.errstate(divide="ignore", invalid="ignore"):
            bits = [np.where(mass > 0, mass * np.log2(1 + other / mass), 0) for mass, other in ((p, q), (q, p))]
        cost[r] = np.sum(bits) / 2
    return like_weights(cost, weights)


def _ratios(loglik: np.ndarray) -> np.ndarray:
    ratios = detection_llr(loglik)
    return np.where(np.isneginf(ratios).all(axis=1, keepdims=True), 0.0, ratios)


def _known(trials: Trials) -> np.ndarray:
    """[U] bool, which utterances are of enrolled languages."""
    known = trials.true < len(trials.languages)
    if not known.any():
        raise IsoglossError("no utterance of an enrolled language among the scores: Cllr needs some")
    return known
