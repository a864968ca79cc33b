"""Validation curves of trainings beside each other: does bf16 train as well as float32, is one encoder faster than another?

    python bench/validation_curves.py exp/table1/seed*-gmm/system2/fold0 exp/fp32/seed*-gmm/system2/fold0 [--by precision]

Every folder holds a finished training (model/log.jsonl, model/model.json). They are grouped by the training option named by
--by, any of `isogloss train --set`; a cell is the mean over the group's seeds and, in brackets, the least and the greatest.
The last column is the difference of the two groups' means in standard errors: within ±2 the seeds explain it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

SHOWN = ("valid_loss", "valid_cavg", "valid_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--by", default="precision", help="option of the training, such as precision, encoder, pooling")
    options = parser.parse_args()
    groups: dict[str, list[dict[int, dict[str, float]]]] = defaultdict(list)
    for folder in options.folders:
        about = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
        groups[str(option(about["train"], options.by))].append(curve(folder / "model" / "log.jsonl"))
    for figure in SHOWN:
        print(f"\n**{figure}**, {', '.join(f'{name}: {len(of)} seeds' for name, of in groups.items())}\n")
        print("| step | " + " | ".join(groups) + " |" + (" difference / its error |" if len(groups) == 2 else ""))
        print("|--:|" + "---|" * len(groups) + ("--:|" if len(groups) == 2 else ""))
        steps = sorted(set.intersection(*(set(one) for of in groups.values() for one in of)))
        for step in steps:
            values = [[one[step][figure] for one in of] for of in groups.values()]
            cells = [f"{statistics.mean(of):.3f} [{min(of):.3f}, {max(of):.3f}]" for of in values]
            if len(values) == 2:
                cells.append(apart(*values))
            print(f"| {step} | " + " | ".join(cells) + " |")


def option(train: dict[str, Any], name: str) -> Any:
    """The value of `margin.statistic` and the like."""
    for part in name.split("."):
        train = train[part]
    return train


def curve(log: Path) -> dict[int, dict[str, float]]:
    """Step → what was validated there."""
    lines = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    return {line["step"]: line for line in lines if "valid_loss" in line}


def apart(a: list[float], b: list[float]) -> str:
    """The difference of two means by its standard error; – where a group has one seed."""
    if min(len(a), len(b)) < 2:
        return "–"
    error = (statistics.variance(a) / len(a) + statistics.variance(b) / len(b)) ** 0.5
    return f"{(statistics.mean(a) - statistics.mean(b)) / error:+.1f}" if error else "–"


if __name__ == "__main__":
    main()
