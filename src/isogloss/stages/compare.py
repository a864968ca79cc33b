"""Runs side by side: every system and label source over its seeds, and how far two of them differ on the same recordings.

How figures and differences are worked out: `stages.over_seeds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from isogloss import metrics
from isogloss.stages.over_seeds import difference, over_seeds
from isogloss.stages.runs import TrainedSystem, find_systems
from isogloss.stages.scored_set import ScoredSet, read_scored_set
from isogloss.types import IsoglossError

FIGURES = ("accuracy", "cavg_min")


def compare(
    runs: Sequence[Path], condition: str = "full", backend: str = "head", num_resamples: int = 1000, seed: int = 1024
) -> dict[str, Any]:
    """`runs`: folders that a recipe made, such as OUT/seed1024 and OUT/seed1025-gmm. Raises IsoglossError.

    Scores that no single network gave (OUT/scored) are read whatever the back end; they have no seeds.
    Returns {"rows": [{system, labels, out, seeds, accuracy: {value, low, high, by_seed}, cavg_min: …}], "differences":
    [{a, b, accuracy: {value, low, high, p_value}, …, mcnemar}]}: a less b, of every two rows; mcnemar, {only_a, only_b,
    p_value}, where both have one seed.
    """
    systems = find_systems(runs)
    sets = [_read(one, condition, one.scored_by or backend) for one in systems]
    measured = [over_seeds(list(of.values()), FIGURES, num_resamples, seed) for of in sets]
    differences: list[dict[str, Any]] = []
    for i, j in combinations(range(len(systems)), 2):
        pair: dict[str, Any] = {"a": systems[i].name, "b": systems[j].name}
        for figure in FIGURES:
            pair[figure] = difference(measured[i], measured[j], figure)
            if pair[figure] is None:
                raise IsoglossError(
                    f"{pair['a']} and {pair['b']} were not tested on the same utterances under {condition!r}; a difference "
                    "needs the same folds of the same corpus on both sides: name the runs that share them"
                )
        if len(sets[i]) == len(sets[j]) == 1:
            (a,), (b,) = sets[i].values(), sets[j].values()
            pair["mcnemar"] = asdict(metrics.mcnemar(a.scores, b.scores, a.key))
        differences.append(pair)
    return {
        "condition": condition,
        "backend": backend,
        "rows": [
            {
                "system": one.system.id,
                "labels": one.labels,
                "out": one.out,
                "seeds": [] if one.scored_by else list(one.seeds),
            }
            | {figure: values.figure(figure) | {"by_seed": values.by_seed[figure]} for figure in FIGURES}
            for one, values in zip(systems, measured, strict=True)
        ],
        "differences": differences,
    }


def table(compared: dict[str, Any]) -> str:
    """The same as Markdown: a row for each system and label source, then every difference, the clearest first."""

    def shown(of: dict[str, Any]) -> str:
        return f"{of['value']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"

    lines = [f"**{compared['condition']}**, back end `{compared['backend']}`", ""]
    lines += ["| System | Labels | Seeds | Accuracy | by seed | Cavg (minimum) |", "|---|---|---:|---|---|---|"]
    for row in compared["rows"]:
        by_seed = " ".join(f"{value:.3f}" for value in row["accuracy"]["by_seed"])
        labels = " ".join(part for part in (row["labels"], row["out"]) if part)
        lines.append(
            f"| {row['system']} | {labels} | {len(row['seeds']) or '–'} | {shown(row['accuracy'])} | {by_seed} | "
            f"{shown(row['cavg_min'])} |"
        )
    pairs = sorted(compared["differences"], key=lambda pair: pair["accuracy"]["p_value"])
    if not pairs:
        return "\n".join(lines)
    exact = any("mcnemar" in pair for pair in pairs)
    lines += ["", "| a − b | Accuracy | p | Cavg (minimum) | p |" + " McNemar p |" * exact]
    lines.append("|---|---|---:|---|---:|" + "---:|" * exact)
    for pair in pairs:
        cells = [f"{pair['a']} − {pair['b']}"]
        for figure in FIGURES:
            cells += [shown(pair[figure]), f"{pair[figure]['p_value']:.3f}"]
        if exact:
            cells.append(f"{pair['mcnemar']['p_value']:.3f}" if "mcnemar" in pair else "–")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"p: two-sided, of the same recordings redrawn for both; {len(pairs)} "
        f"{'pair' if len(pairs) == 1 else 'pairs'}, not corrected for their number. Seeds are averaged, not redrawn.",
    ]
    return "\n".join(lines)


def _read(one: TrainedSystem, condition: str, backend: str) -> dict[int, ScoredSet]:
    """Seed → its scores."""
    return {
        seed: read_scored_set({name: folder / "scores" for name, folder in splits.items()}, condition, backend)
        for seed, splits in one.seeds.items()
    }
