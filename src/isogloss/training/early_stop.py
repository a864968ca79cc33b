"""Early stop: the best epoch's weights, and the moment at which it has been the best for long enough."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn


class EarlyStop:
    """Keeps the weights of the epoch with the lowest value, the first of equals; `stopped` after `patience` others."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self.best, self.best_step, self._stale = math.inf, 0, 0
        self._weights: dict[str, Tensor] = {}

    @property
    def stopped(self) -> bool:
        return self._stale >= self._patience

    def epoch_ended(self, value: float, step: int, module: nn.Module) -> None:
        """Hear the value of an epoch that ended with `step`, and of the weights `module` has now."""
        if value < self.best or not self._weights:
            self.best, self.best_step, self._stale = value, step, 0
            self._weights = {name: tensor.cpu().clone() for name, tensor in module.state_dict().items()}
        else:
            self._stale += 1

    def apply(self, module: nn.Module) -> None:
        """Give `module` the best weights."""
        module.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "step": self.best_step, "stale": self._stale, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_step, self._stale = state["best"], state["step"], state["stale"]
        self._weights = state["weights"]
