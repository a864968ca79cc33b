"""L-BFGS that stops after a number of evaluations, for results that stop where Kaldi's do.

Source: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5; constants and line search as in
Kaldi's OptimizeLbfgs: ten pairs are kept, the first step is the gradient itself, a step that fails the Armijo rule is
halved and one that fails the curvature rule doubled (by √2, √√2 … each time the two take turns).
Deviation: where Kaldi begins anew because rounding leaves nothing to gain, this returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

NUM_PAIRS = 10
ARMIJO, CURVATURE = 1e-4, 0.9
FACTOR = 2.0
MIN_CURVATURE = 1e-20


def minimise(
    value_and_gradient: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, max_steps: int
) -> np.ndarray:
    """The best of at most `max_steps` points [N] at which the function is evaluated, `start` [N] among them."""
    at = start
    value, gradient = value_and_gradient(at)
    best, best_value = at, value
    pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=NUM_PAIRS)  # (step, change of the gradient)
    proposed, factor, last_failure = at - gradient, FACTOR, ""
    for _ in range(max_steps - 1):
        step = proposed - at
        new_value, new_gradient = value_and_gradient(proposed)
        if new_value < best_value:
            best, best_value = proposed, new_value
        slope = step @ gradient
        too_far = not new_value <= value + ARMIJO * slope  # also where the value is NaN
        too_near = not step @ new_gradient >= CURVATURE * slope
        if too_far or too_near:
            failure = "far" if too_far else "near"
            if last_failure not in ("", failure):
                factor = np.sqrt(factor)
            last_failure = failure
            shorter_or_longer = at + (1 / factor if too_far else factor) * step
            if (shorter_or_longer == proposed).all():
                break
            proposed = shorter_or_longer
            continue
        change = new_gradient - gradient
        if step @ change <= MIN_CURVATURE:
            break
        pairs.append((step, change))
        at, value, gradient = proposed, new_value, new_gradient
        proposed, factor, last_failure = at - _inverse_hessian_times(gradient, pairs), FACTOR, ""
    return best


def _inverse_hessian_times(gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Algorithm 7.4, the two loops; equation 7.20 scales the first guess."""
    q = gradient
    alphas = []
    for step, change in reversed(pairs):
        alphas.append(step @ q / (step @ change))
        q = q - alphas[-1] * change
    step, change = pairs[-1]
    r = (step @ change) / (change @ change) * q
    for (step, change), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + (alpha - change @ r / (step @ change)) * step
    return r
