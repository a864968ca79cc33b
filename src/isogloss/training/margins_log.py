"""What Figure 2 and the margin dashboard show: p and β·p by batch, by language and over the whole run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

EDGES = np.concatenate([[-np.inf, 0.0], np.geomspace(1e-5, 10.0, 121), [np.inf]])  # a logit statistic may be negative
NUM_BATCHES = 3
QUANTILES = {"beta_p_q05": 0.05, "beta_p_median": 0.5, "beta_p_q95": 0.95}
UNREAD = 64  # batches whose values may wait on the accelerator


class MarginsLog:
    """Fed every step's p and β·p [B]; keeps histograms, the sum, the largest, three batches drawn evenly from the run, and
    since the last line of the log the spread within a batch and the means of each language.

    The three are a reservoir sample: after n steps each has been kept with probability 3/n, however long the run.

    Values are read when they are asked for, so that no step waits for the accelerator.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._unread: list[tuple[int, torch.Tensor]] = []
        self._counts = np.zeros(len(EDGES) - 1, dtype=np.int64)  # of the run
        self._interval = self._counts.copy()  # since the last line of the log, as all that follows until _sum
        self._quantiles = np.zeros(len(QUANTILES))  # summed over batches
        self._num_batches = 0
        self._by_language: np.ndarray = np.zeros((3, 0))  # number of samples, sum of p, sum of β·p
        self._sum, self._num, self._steps = 0.0, 0, 0
        self._range = (np.inf, -np.inf)  # smallest and largest β·p of the run
        self._batches: list[dict[str, Any]] = []
        self._latest: dict[str, float] = {}

    def add(self, step: int, p: torch.Tensor | None, beta_p: torch.Tensor | None, languages: torch.Tensor) -> None:
        """p, beta_p [B] float, None where the margin is constant; languages [B], indices."""
        if p is None or beta_p is None:
            return
        self._unread.append((step, torch.stack([p.float(), beta_p.float(), languages.to(p.device).float()])))
        if len(self._unread) >= UNREAD:
            self._read()

    def interval(self) -> dict[str, Any]:
        """For a line of the log; {} where the margin is constant, or nothing was added since the last call.

        p_mean, beta_p_mean, beta_p_max: of the last batch. beta_p_q05, _median, _q95: quantiles within a batch, averaged
        over the batches since the last call. beta_p_histogram, p_by_language, beta_p_by_language (means, None where a
        language had no sample): of all samples since.
        """
        self._read()
        if not self._num_batches:
            return {}
        num, *sums = self._by_language
        means = np.stack(sums) / np.maximum(num, 1)
        by_language = [[float(x) if n else None for x, n in zip(row, num, strict=True)] for row in means]
        line = self._latest | {
            **dict(zip(QUANTILES, (self._quantiles / self._num_batches).tolist(), strict=True)),
            "p_by_language": by_language[0],
            "beta_p_by_language": by_language[1],
            "beta_p_histogram": _trimmed(self._interval, *self._range),
        }
        self._interval = np.zeros_like(self._interval)
        self._quantiles = np.zeros_like(self._quantiles)
        self._by_language = np.zeros_like(self._by_language)
        self._num_batches = 0
        return line

    def summary(self, **about: Any) -> dict[str, Any] | None:
        """What margins.json holds; None where the margin is constant."""
        self._read()
        if not self._num:
            return None
        return about | {
            "batches": sorted(self._batches, key=lambda batch: batch["step"]),
            "histogram": _trimmed(self._counts, *self._range),
            "mean": self._sum / self._num,
            "max": self._range[1],
        }

    def state_dict(self) -> dict[str, Any]:
        self._read()
        return {
            "counts": torch.from_numpy(np.stack([self._counts, self._interval])),
            "quantiles": torch.from_numpy(self._quantiles.copy()),
            "by_language": torch.from_numpy(self._by_language.copy()),
            "numbers": [self._sum, self._num, self._steps, self._num_batches, *self._range],
            "batches": [dict(batch) for batch in self._batches],
            "latest": dict(self._latest),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._unread = []
        self._counts, self._interval = state["counts"].numpy().copy()
        self._quantiles = state["quantiles"].numpy().copy()
        self._by_language = state["by_language"].numpy().copy()
        self._sum, self._num, self._steps, self._num_batches, *extremes = state["numbers"]
        self._range = (extremes[0], extremes[1])
        self._batches = [dict(batch) for batch in state["batches"]]
        self._latest = dict(state["latest"])

    def _read(self) -> None:
        for step, values in self._unread:
            p, beta_p, languages = values.cpu().numpy().astype(np.float64)
            self._count(step, p, beta_p, languages.astype(np.int64))
        self._unread = []

    def _count(self, step: int, p: np.ndarray, beta_p: np.ndarray, languages: np.ndarray) -> None:
        counts = np.histogram(beta_p, EDGES)[0]
        self._counts += counts
        self._interval += counts
        self._quantiles += np.quantile(beta_p, list(QUANTILES.values()))
        self._num_batches += 1
        num_languages = max(self._by_language.shape[1], int(languages.max()) + 1)
        more: np.ndarray = np.stack([np.bincount(languages, w, num_languages) for w in (np.ones_like(p), p, beta_p)])
        more[:, : self._by_language.shape[1]] += self._by_language
        self._by_language = more
        self._sum += float(beta_p.sum())
        self._num += len(beta_p)
        self._range = (min(self._range[0], float(beta_p.min())), max(self._range[1], float(beta_p.max())))
        self._latest = {
            "p_mean": float(p.mean()),
            "beta_p_mean": float(beta_p.mean()),
            "beta_p_max": float(beta_p.max()),
        }
        self._steps += 1
        place = self._steps - 1
        if place >= NUM_BATCHES:
            place = int(np.random.default_rng([self._seed, self._steps]).integers(self._steps))
        if place < NUM_BATCHES:
            record = {"step": step, "beta_p": [round(value, 8) for value in beta_p.tolist()]}
            self._batches[place : place + 1] = [record]


def _trimmed(counts: np.ndarray, smallest: float, largest: float) -> dict[str, Any]:
    """Edges and counts of the bins in use; the last edge is `largest` at most, an infinite first one is `smallest`."""
    used = np.flatnonzero(counts)
    first, last = used[0], used[-1] + 1
    edges = EDGES[first : last + 1].copy()
    edges[0] = smallest if edges[0] == -np.inf else edges[0]
    edges[-1] = max(min(edges[-1], largest), edges[-2])
    return {"edges": [float(f"{edge:.6g}") for edge in edges], "counts": counts[first:last].tolist()}
