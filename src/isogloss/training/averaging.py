"""Averaged weights: exponentially over the steps, or evenly over the last epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Average:
    """Of a module's weights and buffers; what is no floating-point number (counters) is that of the last update.

    decay None: the plain mean of all updates. Otherwise w ← d·w + (1 − d)·new with d = min(decay, (1 + n)/(10 + n)) after
    n updates, so that the first random weights are soon forgotten (the moving average of TensorFlow's trainers).
    """

    def __init__(self, module: nn.Module, decay: float | None) -> None:
        self._module, self._decay = module, decay
        self._num = 0
        self._mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        current = self._module.state_dict()
        self._num += 1
        if self._num == 1:
            self._mean = {name: value.clone() for name, value in current.items()}
            return
        kept = (self._num - 1) / self._num
        if self._decay is not None:
            kept = min(self._decay, self._num / (9 + self._num))
        real = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([self._mean[name] for name in real], [current[name] for name in real], 1 - kept)
        for name in current.keys() - real:
            self._mean[name].copy_(current[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the module has the averaged weights (its own, if there was no update yet)."""
        own = {name: value.clone() for name, value in self._module.state_dict().items()}
        self.apply()
        try:
            yield
        finally:
            self._module.load_state_dict(own)

    def apply(self) -> None:
        if self._num:
            self._module.load_state_dict(self._mean)

    def state_dict(self) -> dict[str, Any]:
        return {"num": self._num, "mean": self._mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._num = state["num"]
        own = self._module.state_dict()
        self._mean = {name: value.to(own[name].device) for name, value in state["mean"].items()}


@torch.no_grad()
def renew_statistics(network: nn.Module, encode: Callable[[Tensor], Any], batches: Iterable[Tensor]) -> None:
    """Batch-norm statistics of the weights as they are: plain means over `batches`, features [B, T, D] to `encode` with.

    A mean of weights has statistics of its own, which the mean of the statistics is not (Izmailov et al., UAI 2018).
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for features in batches:
        encode(features)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
