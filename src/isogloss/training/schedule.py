"""Learning rates. A schedule gives the rate of a step, hears the validation of every epoch, and has a state to save."""

from __future__ import annotations

import math
from typing import Protocol

from isogloss.config import TrainConfig

RISE = 0.3  # share of the steps in which one_cycle rises, and
START = 25.0  # what the highest rate is divided by at its start: fastai's choices, and torch.optim's


class Schedule(Protocol):
    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""

    def epoch_ended(self, validation: dict[str, float]) -> None:
        """Hear what Run.validate found."""

    def state_dict(self) -> dict[str, float]: ...

    def load_state_dict(self, state: dict[str, float]) -> None: ...


def make_schedule(config: TrainConfig, steps_per_epoch: int) -> Schedule:
    highest, lowest = config.learning_rate, config.min_learning_rate
    if config.schedule == "one_cycle":
        return OneCycle(steps_per_epoch * config.num_epochs, highest, lowest)
    if config.schedule == "plateau":
        return Plateau(highest, lowest, config.plateau_factor, config.plateau_patience, config.monitor)
    return WarmRestarts(steps_per_epoch, config.cycles, highest, lowest)


class _OfStepAlone:
    """Has no memory."""

    def epoch_ended(self, validation: dict[str, float]) -> None:
        pass

    def state_dict(self) -> dict[str, float]:
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        pass


class WarmRestarts(_OfStepAlone):
    """Cosine with warm restarts (Loshchilov & Hutter, ICLR 2017), cycles given in epochs.

    η = η_min + ½(η_max − η_min)(1 + cos(π·t/T)), t steps into a cycle of T steps; `lowest` after the last cycle.
    """

    def __init__(self, steps_per_epoch: int, cycles: tuple[int, ...], highest: float, lowest: float) -> None:
        self._lengths = [epochs * steps_per_epoch for epochs in cycles]
        self._highest, self._lowest = highest, lowest

    def rate(self, step: int) -> float:
        for length in self._lengths:
            if step < length:
                return _cosine(self._highest, self._lowest, step / length)
            step -= length
        return self._lowest


class OneCycle(_OfStepAlone):
    """One rise from highest/25 in 30 % of the steps, then one fall to `lowest`, both cosine (Smith & Topin, 2017).

    torch.optim.lr_scheduler.OneCycleLR with final_div_factor = highest/(25·lowest), without its cycling of the momentum.
    """

    def __init__(self, num_steps: int, highest: float, lowest: float) -> None:
        self._num_steps, self._highest, self._lowest = num_steps, highest, lowest

    def rate(self, step: int) -> float:
        peak = RISE * self._num_steps - 1  # torch counts the steps so
        if step <= peak:
            return _cosine(self._highest / START, self._highest, step / peak)
        return _cosine(self._highest, self._lowest, min(1.0, (step - peak) / (self._num_steps - 1 - peak)))


class Plateau:
    """`highest`, times `factor` whenever `patience` epochs have passed without a lower `monitor`; `lowest` at least."""

    def __init__(self, highest: float, lowest: float, factor: float, patience: int, monitor: str) -> None:
        self._lowest, self._factor, self._patience, self._monitor = lowest, factor, patience, monitor
        self._rate, self._best, self._stale = highest, math.inf, 0

    def rate(self, step: int) -> float:
        return self._rate

    def epoch_ended(self, validation: dict[str, float]) -> None:
        value = validation[self._monitor]
        if value < self._best:
            self._best, self._stale = value, 0
            return
        self._stale += 1
        if self._stale >= self._patience:
            self._rate, self._stale = max(self._lowest, self._rate * self._factor), 0

    def state_dict(self) -> dict[str, float]:
        return {"rate": self._rate, "best": self._best, "stale": self._stale}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._rate, self._best, self._stale = state["rate"], state["best"], int(state["stale"])


def _cosine(begin: float, end: float, share: float) -> float:
    return end + 0.5 * (begin - end) * (1 + math.cos(math.pi * share))
