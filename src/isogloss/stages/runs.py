"""Folders that recipes made → the systems trained there, each with its seeds.

Layout (`stages.recipe`): OUT/data, OUT/seed1024 and OUT/seed1024-SOURCE with config.json, report/ and, for each system and
split, system<id>/<split>/{model,embeddings,backend,scores}. Scores that no single network gave (`stages.best_recipe`) lie in
OUT/scored in the same way, <row>/<split>/scores; their stage.json says what they are (label) and in which folder (backend).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from isogloss.stages.ledger import STAMP
from isogloss.systems import System
from isogloss.types import IsoglossError

LIKE_SEEDS = ("train.seed", "phones.", "evaluate.")  # settings that the runs of one comparison may differ in


@dataclass(frozen=True)
class TrainedSystem:
    """One system with one label source, trained with one or several seeds; or scores that no single network gave."""

    system: System
    labels: str  # label source; `none` for a single-task system, which reads no labels
    out: str  # name of OUT; empty where all runs are of one
    seeds: dict[int, dict[str, Path]]  # seed → split → folder
    scored_by: str = ""  # the only back end of scores that no single network gave, whose one seed is 0

    @property
    def name(self) -> str:
        """`2 gmm`, or `2 gmm OUT`"""
        return " ".join(part for part in (self.system.id, self.labels, self.out) if part)

    @property
    def folders(self) -> list[Path]:
        return [folder for of in self.seeds.values() for folder in of.values()]


def find_systems(runs: Sequence[Path]) -> list[TrainedSystem]:
    """Every system that has scores, by id and label source; runs of several OUT are kept apart.

    runs: folders such as OUT/seed1024 and OUT/scored, or one row of them, such as OUT/scored/networks. Raises IsoglossError for a
    folder that is no run, where two runs trained the same thing, and where there are no scores.
    """
    folders: dict[Path, None] = {}  # in order, each once
    for run in (run.resolve() for run in runs):
        here = sorted(scores.parent for depth in ("*/*", "*") for scores in run.glob(f"{depth}/scores"))
        if not here:
            config_of(run)  # says so where it is no run
        folders |= dict.fromkeys(here)
    if not folders:
        raise IsoglossError(f"no scores in {', '.join(map(str, runs))}; were the recipes finished?")
    outs = {folder.parents[2] for folder in folders}
    short = Counter(out.name for out in outs)
    found: dict[tuple[str, str, str], dict[int, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    systems: dict[str, tuple[System, str]] = {}
    for folder in folders:
        home = folder.parents[2]
        out = "" if len(outs) == 1 else home.name if short[home.name] == 1 else str(home)
        if (folder / "model").exists():
            raw = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))["system"]
            system, scored_by, settings = _system(raw), "", config_of(folder.parents[1])
            labels, seed = settings["phones"]["source"] if system.multitask else "none", settings["train"]["seed"]
        else:
            system, scored_by = _without_network(folder)
            labels, seed = "", 0
        systems[system.id] = system, scored_by
        splits = found[system.id, labels, out][seed]
        if folder.name in splits:
            raise IsoglossError(
                f"{splits[folder.name]} and {folder} are the same system with the same labels and seed; leave one out"
            )
        splits[folder.name] = folder
    return [
        TrainedSystem(systems[id][0], labels, out, dict(sorted(seeds.items())), systems[id][1])
        for (id, labels, out), seeds in sorted(found.items())
    ]


def row_ids(systems: Sequence[TrainedSystem]) -> list[str]:
    """A short name for each that no other has, fit for a file's: `5`; `5-gmm` where another 5 has other labels."""
    times = Counter(one.system.id for one in systems)
    labels = Counter((one.system.id, one.labels) for one in systems)
    ids = []
    for one in systems:
        parts = [one.system.id]
        parts += [one.labels] * (times[one.system.id] > labels[one.system.id, one.labels])
        parts += [one.out] * (labels[one.system.id, one.labels] > 1)
        ids.append(re.sub(r"[^\w.+-]+", "-", "-".join(parts)))
    return ids


def config_of(run: Path) -> dict[str, Any]:
    """The settings of a run; of a folder that only holds the single-task systems of another run, those of its training.

    IsoglossError where there are none.
    """
    if (run / "config.json").exists():
        return dict(json.loads((run / "config.json").read_text(encoding="utf-8")))
    model = next(iter(sorted(run.glob("system*/*/model/model.json"))), None)
    if model is None:
        raise IsoglossError(f"{run} holds no run (no config.json); expected folders such as OUT/seed1024 of a recipe")
    return {"phones": {"source": "none"}, "train": json.loads(model.read_text(encoding="utf-8"))["train"]}


def differing_settings(configs: Sequence[dict[str, Any]]) -> list[str]:
    """`train.width: 128, 256` for each setting, but seeds and label sources, that is not the same in all that have it."""
    flat = [dict(_flat(config, "")) for config in configs]
    names = dict.fromkeys(name for one in flat for name in one)
    found = {name: list(dict.fromkeys(json.dumps(one[name]) for one in flat if name in one)) for name in names}
    return [
        f"{name}: {', '.join(values)}"
        for name, values in found.items()
        if len(values) > 1 and not name.startswith(LIKE_SEEDS)
    ]


def data_of(system: TrainedSystem) -> Path | None:
    """The prepared corpus, OUT/data, that a recipe's system was trained on; None where it is gone."""
    data = system.folders[0].parents[2] / "data"
    return data if (data / "cuts.jsonl.gz").exists() else None


def _system(raw: dict[str, Any]) -> System:
    known = {field.name for field in fields(System)}
    return System(**({"label": raw["id"], "head": "softmax"} | {k: v for k, v in raw.items() if k in known}))


def _without_network(folder: Path) -> tuple[System, str]:
    """The row of scores that no single network gave, named as its folder, and their back end."""
    path = folder / "scores" / STAMP
    about = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not {"label", "backend"} <= about.keys():
        raise IsoglossError(
            f"{folder} has scores but no model/, and {path} does not say what they are of; was the model removed?"
        )
    return System(folder.parent.name, about["label"], head="", multitask=False), about["backend"]


def _flat(config: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in config.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return rows
