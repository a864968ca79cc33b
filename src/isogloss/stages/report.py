"""Finished systems → metrics.json, then report.html and its pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.config import EvaluateConfig, RecipeConfig
from isogloss.stages.ledger import replacing
from isogloss.stages.measure import measure
from isogloss.stages.provenance import commit, machine
from isogloss.stages.runs import TrainedSystem, config_of, differing_settings, find_systems
from isogloss.systems import System
from isogloss.types import IsoglossError

__all__ = ["SystemFolders", "commit", "machine", "report", "report_runs", "write_metrics"]


@dataclass(frozen=True)
class SystemFolders:
    """Where one system's splits lie: split name → folder with model/ and scores/."""

    system: System
    splits: dict[str, Path]


def write_metrics(
    systems: list[SystemFolders],
    out: Path,
    *,
    title: str,
    corpus: str,
    config: RecipeConfig,
    notes: list[str],
) -> Path:
    """Measure the systems of one recipe and write out/metrics.json, the report's only input."""
    labels = {True: config.phones.source, False: "none"}
    trained = [
        TrainedSystem(one.system, labels[one.system.multitask], "", {config.train.seed: one.splits}) for one in systems
    ]
    about = {"title": title, "corpus": corpus, "config": config.model_dump(mode="json"), "notes": notes}
    return measure(trained, out, config.evaluate, about)


def report_runs(paths: Sequence[Path], out: Path | None = None) -> Path:
    """The page of one or several runs, measured anew from their scores; or of a metrics.json, as it is.

    `out`: default the run's report/, or beside metrics.json; of several runs the report/ in the folder they share.
    Raises IsoglossError as `find_systems` and `load_run` do.
    """
    files = [path for path in paths if path.is_file()]
    if files:
        if len(paths) > 1:
            raise IsoglossError(
                f"{files[0]} and {len(paths) - 1} more: expected run folders, or one metrics.json alone"
            )
        return report(files[0], out or files[0].parent)
    systems = find_systems(paths)
    runs = list(dict.fromkeys(folder.parents[1] for one in systems for folder in one.folders))
    configs = sorted((config_of(run) for run in runs), key=len, reverse=True)  # that of a whole recipe first
    before = [_recipe_said(run) for run in runs]
    corpora = list(dict.fromkeys(str(one["corpus"]) for one in before if one.get("corpus")))
    notes = list(dict.fromkeys(note for one in before for note in one.get("notes", [])))
    if several := differing_settings(configs):
        notes.append(f"The runs differ in more than seeds and labels: {'; '.join(several)}.")
    about = {
        "title": str(before[0].get("title") or f"isogloss: {runs[0].parent.name}"),
        "corpus": ", ".join(corpora) or "an unnamed corpus",
        "config": configs[0],
        "trained_by": list({json.dumps(made): made for one in before for made in _trained_by(one)}.values()),
        "notes": notes,
    }
    folder = out or Path(os.path.commonpath([path.resolve() for path in paths])) / "report"
    settings = configs[0].get("evaluate", {})
    config = EvaluateConfig(**{name: settings[name] for name in EvaluateConfig.model_fields if name in settings})
    return report(measure(systems, folder, config, about), folder)


def report(metrics_json: Path, out: Path) -> Path:
    """out/report.html and its pictures, and out/tables.md, from a metrics.json; returns the page."""
    from isogloss.report import load_run, write_report
    from isogloss.report.table1 import table1_markdown

    run = load_run(metrics_json)
    seeds = ", ".join(str(seed) for seed in run.systems[0].seeds or [])
    minutes = sum(system.seconds_train or 0 for system in run.systems) / 60
    trained = f", seed {seeds}; trained in {minutes:.0f} minutes of one core" if seeds else ""
    about = [
        f"`{run.command}`",
        f"commit {run.commit} · {run.machine} · {run.created}",
        f"{len(run.systems)} systems on {', '.join(map(str, run.systems[0].folds or []))}{trained}",
        *(f"Note: {warning}" for warning in run.warnings),
        f"Back end `{run.backends[0]}` first, chosen by {run.backend_chosen_by or 'name'}.",
    ]
    shown = [(metric, name) for name in run.backends for metric in ("accuracy", "cavg_min", "cavg_actual", "eer")]
    tables = [table1_markdown(run, metric, name, notes=(metric, name) == shown[-1]) for metric, name in shown]
    with replacing(out / "tables.md") as part:
        part.write_text("\n\n".join([*about, *tables]), encoding="utf-8")
    return write_report(run, out)


def _recipe_said(run: Path) -> dict[str, Any]:
    """What the metrics.json of a run's own report says; nothing where there is none."""
    path = run / "report" / "metrics.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _trained_by(said: dict[str, Any]) -> list[dict[str, Any]]:
    """The command that trained a run: the recipe's, which its own report keeps when it is made anew."""
    if "trained_by" in said:
        return list(said["trained_by"])
    made = {name: said[name] for name in ("command", "commit", "machine") if said.get(name)}
    return [made] if "command" in made else []
