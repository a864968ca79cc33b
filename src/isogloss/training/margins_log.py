"""What Figure 2 shows: β·p of three mini-batches, sample by sample, and the histogram of a whole run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

EDGES = np.concatenate([[0.0], np.geomspace(1e-5, 10.0, 121), [np.inf]])
NUM_BATCHES = 3


class MarginsLog:
    """Fed every step's β·p [B]; keeps histograms, the sum, the largest, and three batches drawn evenly from the run.

    The three are a reservoir sample: after n steps each has been kept with probability 3/n, however long the run.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._counts = np.zeros(len(EDGES) - 1, dtype=np.int64)  # of the run
        self._interval = self._counts.copy()  # since the last line of the log
        self._sum, self._num, self._largest, self._steps = 0.0, 0, 0.0, 0
        self._batches: list[dict[str, Any]] = []
        self._latest: dict[str, float] = {}

    def add(self, step: int, beta_p: torch.Tensor) -> None:
        values = beta_p.float().cpu().numpy().astype(np.float64)
        counts = np.histogram(values, EDGES)[0]
        self._counts += counts
        self._interval += counts
        self._sum += float(values.sum())
        self._num += len(values)
        self._largest = max(self._largest, float(values.max()))
        self._latest = {"beta_p_mean": float(values.mean()), "beta_p_max": float(values.max())}
        self._steps += 1
        place = self._steps - 1
        if place >= NUM_BATCHES:
            place = int(np.random.default_rng([self._seed, self._steps]).integers(self._steps))
        if place < NUM_BATCHES:
            record = {"step": step, "beta_p": [round(value, 8) for value in values.tolist()]}
            self._batches[place : place + 1] = [record]

    def interval(self) -> dict[str, Any]:
        """Mean and maximum of the last batch and the histogram since the last call; {} where the margin is constant."""
        if not self._latest:
            return {}
        histogram = _trimmed(self._interval, self._largest)
        self._interval = np.zeros_like(self._interval)
        return self._latest | {"beta_p_histogram": histogram}

    def summary(self, **about: Any) -> dict[str, Any] | None:
        """What margins.json holds; None where the margin is constant."""
        if not self._num:
            return None
        return about | {
            "batches": sorted(self._batches, key=lambda batch: batch["step"]),
            "histogram": _trimmed(self._counts, self._largest),
            "mean": self._sum / self._num,
            "max": self._largest,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "counts": torch.from_numpy(np.stack([self._counts, self._interval])),
            "numbers": [self._sum, self._num, self._largest, self._steps],
            "batches": [dict(batch) for batch in self._batches],
            "latest": dict(self._latest),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._counts, self._interval = state["counts"].numpy().copy()
        self._sum, self._num, self._largest, self._steps = state["numbers"]
        self._batches = [dict(batch) for batch in state["batches"]]
        self._latest = dict(state["latest"])


def _trimmed(counts: np.ndarray, largest: float) -> dict[str, Any]:
    """Edges and counts of the bins in use; the last edge is a number, `largest` at most."""
    used = np.flatnonzero(counts)
    first, last = used[0], used[-1] + 1
    edges = EDGES[first : last + 1].copy()
    edges[-1] = max(min(edges[-1], largest), edges[-2])
    return {"edges": [float(f"{edge:.6g}") for edge in edges], "counts": counts[first:last].tolist()}
