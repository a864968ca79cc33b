"""Log-likelihoods [U, C] → posteriors and detection log-likelihood ratios, every language equally likely beforehand.

A constant per utterance cancels, so log-posteriors under a flat prior do as well as log-likelihoods.
"""

from __future__ import annotations

import numpy as np


def log_posterior(loglik: np.ndarray) -> np.ndarray:
    """log softmax; an utterance without an answer (all −inf) is as likely in each language, 1/C."""
    best = loglik.max(axis=1, keepdims=True)
    shifted = np.where(best > -np.inf, loglik, 0.0) - np.where(best > -np.inf, best, 0.0).astype(np.float64)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def detection_llr(loglik: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of "l" to "another enrolled language, each equally likely"; −inf where there is no answer:

    llr_l = loglik_l − log( 1/(C − 1) Σ_{j≠l} exp loglik_j )
    """
    num_others = loglik.shape[1] - 1
    utterance = np.arange(len(loglik))
    best = loglik.argmax(axis=1)
    answered = loglik[utterance, best] > -np.inf
    if not answered.all():
        ratios = np.full(loglik.shape, -np.inf)
        ratios[answered] = detection_llr(loglik[answered])
        return ratios
    shifted = loglik.astype(np.float64) - loglik[utterance, best][:, None]  # the best is 0
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
