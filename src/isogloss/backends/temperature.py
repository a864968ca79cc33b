"""One number between scores and probabilities: log softmax(scores / T), T fitted on utterances nobody was trained on.

A network that knows its training clips by heart is as sure of unheard ones. Dividing by T > 1 takes that back and changes
no decision. Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError

LOWEST, HIGHEST = 0.1, 100.0


def fit_temperature(loglik: np.ndarray, truth: np.ndarray) -> float:
    """T in [0.1, 100] with the least mean cross-entropy. loglik [U, C], truth [U] column of the right language."""
    from scipy.optimize import minimize_scalar

    if len(loglik) == 0 or len(loglik) != len(truth):
        raise IsoglossError(f"{len(loglik)} rows of scores for {len(truth)} utterances; expected as many, and some")
    rows = np.arange(len(truth))

    def cross_entropy(log_t: float) -> float:
        return -float(log_softmax(loglik / np.exp(log_t))[rows, truth].mean())

    found = minimize_scalar(cross_entropy, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))
