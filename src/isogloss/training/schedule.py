"""Cosine learning rate with warm restarts (Loshchilov & Hutter, ICLR 2017), cycles given in epochs."""

from __future__ import annotations

import math


def learning_rate(step: int, steps_per_epoch: int, cycles: tuple[int, ...], highest: float, lowest: float) -> float:
    """η = η_min + ½(η_max − η_min)(1 + cos(π·t/T)), t steps into a cycle of T steps; `lowest` after the last cycle."""
    for epochs in cycles:
        length = epochs * steps_per_epoch
        if step < length:
            return lowest + 0.5 * (highest - lowest) * (1 + math.cos(math.pi * step / length))
        step -= length
    return lowest
