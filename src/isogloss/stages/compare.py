"""Runs side by side: every system and label source over its seeds, and how far two of them differ on the same recordings.

A figure is the mean over the seeds. In each bootstrap resample the same recordings are redrawn for every run, so that an
interval covers the recordings and not the seeds (their spread stands beside it), and a difference is paired.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from isogloss import metrics
from isogloss.stages.evaluate import pooled_scores
from isogloss.types import IsoglossError

FIGURES = ("accuracy", "cavg_min")


@dataclass(frozen=True)
class Row:
    """One system with one label source, over its seeds."""

    system: str
    source: str
    seeds: list[int]
    value: dict[str, list[float]]  # figure → of every seed
    resampled: dict[str, np.ndarray]  # figure → [R] mean over the seeds

    @property
    def name(self) -> str:
        return f"{self.system} {self.source}"


def compare(
    runs: Sequence[Path], condition: str = "full", backend: str = "head", num_resamples: int = 1000, seed: int = 1024
) -> dict[str, Any]:
    """`runs`: folders that a recipe made, such as OUT/seed1024 and OUT/seed1025-gmm. Raises IsoglossError.

    Returns {"rows": [{system, labels, seeds, accuracy: {value, low, high, by_seed}, cavg_min: …}], "differences": [{a, b,
    accuracy: {value, low, high}, …}]}: a less b, of every two rows.
    """
    folders: dict[tuple[str, str], dict[int, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        if not (run / "config.json").exists():
            raise IsoglossError(
                f"{run} holds no run (no config.json); expected folders such as OUT/seed1024 of a recipe"
            )
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        for scores in sorted(run.glob("system*/*/scores")):
            system = json.loads((scores.parent / "model" / "model.json").read_text(encoding="utf-8"))["system"]
            source = config["phones"]["source"] if system["multitask"] else "none"
            folders[system["id"], source][config["train"]["seed"]][scores.parent.name] = scores
    rows = [_row(*name, of, condition, backend, num_resamples, seed) for name, of in sorted(folders.items())]
    if not rows:
        raise IsoglossError(f"no scores in {', '.join(map(str, runs))}; were the recipes finished?")
    return {
        "condition": condition,
        "backend": backend,
        "rows": [
            {"system": row.system, "labels": row.source, "seeds": row.seeds}
            | {
                figure: asdict(metrics.Interval.of(float(np.mean(row.value[figure])), row.resampled[figure]))
                | {"by_seed": row.value[figure]}
                for figure in FIGURES
            }
            for row in rows
        ],
        "differences": [
            {"a": a.name, "b": b.name}
            | {
                figure: asdict(
                    metrics.Interval.of(
                        float(np.mean(a.value[figure]) - np.mean(b.value[figure])),
                        a.resampled[figure] - b.resampled[figure],
                    )
                )
                for figure in FIGURES
            }
            for a, b in combinations(rows, 2)
        ],
    }


def table(compared: dict[str, Any]) -> str:
    """The same as Markdown: a row for each system and label source, then the differences within a system."""

    def shown(of: dict[str, Any], digits: int) -> str:
        return f"{of['value']:.{digits}f} [{of['low']:.{digits}f}, {of['high']:.{digits}f}]"

    lines = ["| System | Labels | Seeds | Accuracy | by seed | Cavg (minimum) |", "|---|---|---:|---|---|---|"]
    for row in compared["rows"]:
        by_seed = " ".join(f"{value:.3f}" for value in row["accuracy"]["by_seed"])
        lines.append(
            f"| {row['system']} | {row['labels']} | {len(row['seeds'])} | {shown(row['accuracy'], 3)} | {by_seed} | "
            f"{shown(row['cavg_min'], 3)} |"
        )
    lines += ["", "| a − b | Accuracy | Cavg (minimum) |", "|---|---|---|"]
    for pair in compared["differences"]:
        if pair["a"].split()[0] == pair["b"].split()[0]:
            lines.append(f"| {pair['a']} − {pair['b']} | {shown(pair['accuracy'], 3)} | {shown(pair['cavg_min'], 3)} |")
    return "\n".join(lines)


def _row(
    system: str,
    source: str,
    by_seed: dict[int, dict[str, Path]],
    condition: str,
    backend: str,
    num_resamples: int,
    seed: int,
) -> Row:
    value: dict[str, list[float]] = {figure: [] for figure in FIGURES}
    resampled = {figure: np.zeros(num_resamples) for figure in FIGURES}
    for _, of in sorted(by_seed.items()):
        scores, key, recordings = pooled_scores(of, condition, backend)
        drawn = metrics.draw(scores, key, recordings, num_resamples, seed)
        for figure in FIGURES:
            metric = metrics.METRICS[figure]
            value[figure].append(float(metric(scores, key, None)))
            resampled[figure] += drawn.values(metric, scores, key) / len(by_seed)
    return Row(system, source, sorted(by_seed), value, resampled)
