"""Finished systems → metrics.json, then report.html and its pictures."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from isogloss.config import RecipeConfig
from isogloss.stages.evaluate import better_backend, evaluate_system
from isogloss.stages.ledger import replacing, write_json
from isogloss.systems import System


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
    """Measure every system and write out/metrics.json, the report's only input."""
    measured, warned = [], list(notes)
    figures: dict[str, dict[str, str]] = {"margins": {}}
    curves: dict[str, str] = {}
    for one in systems:
        backends, messages = evaluate_system(
            {name: folder / "scores" for name, folder in one.splits.items()}, config.evaluate
        )
        warned += messages
        models = [folder / "model" for folder in one.splits.values()]
        margins = [json.loads(p.read_text()) for m in models if (p := m / "margins.json").exists()]
        if margins:
            figures["margins"][one.system.id] = os.path.relpath(models[0] / "margins.json", out)
        curves[one.system.id] = os.path.relpath(models[0] / "log.jsonl", out)
        beta_p = sum(m["mean"] for m in margins) / len(margins) if margins else None
        measured.append(
            {
                "id": one.system.id,
                "label": one.system.label,
                "m": one.system.m,
                "beta": one.system.beta or None,
                "p_mean": beta_p / one.system.beta if beta_p is not None else None,
                "folds": list(one.splits),
                "seeds": [config.train.seed],
                "seconds_train": sum(json.loads((m / "model.json").read_text())["seconds"] for m in models),
                "backends": backends,
            }
        )
    backend = better_backend([folder / "scores" for one in systems for folder in one.splits.values()])
    conditions = list(dict.fromkeys(c for s in measured for of in s["backends"].values() for c in of))
    languages = sorted(
        {
            lang
            for s in measured
            for of in s["backends"].values()
            for r in of.values()
            for lang in r["languages_enrolled"]
        }
    )
    value = {
        "title": title,
        "corpus": corpus,
        "paper_data": False,
        "command": " ".join(["isogloss", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": config.model_dump(mode="json"),
        "conditions": conditions,
        "backend": backend,
        "backend_chosen_by": "Cllr on the validation utterances, which no test contains",
        "languages": languages,
        "systems": measured,
        "figures": figures,
        "curves": curves,
        "warnings": list(dict.fromkeys(warned)),
    }
    write_json(out / "metrics.json", value)
    return out / "metrics.json"


def report(metrics_json: Path, out: Path) -> Path:
    """out/report.html and its pictures, and out/tables.md, from a metrics.json; returns the page."""
    from isogloss.report import load_run, write_report
    from isogloss.report.table1 import table1_markdown

    run = load_run(metrics_json)
    about = [
        f"`{run.command}`",
        f"commit {run.commit} · {run.machine} · {run.created}",
        f"{len(run.systems)} systems on {', '.join(map(str, run.systems[0].folds or []))}, seed "
        f"{', '.join(map(str, run.systems[0].seeds or []))}; trained in {sum(s.seconds_train or 0 for s in run.systems) / 60:.0f} "
        "minutes of one core",
        *(f"Note: {warning}" for warning in run.warnings),
        f"Back end `{run.backends[0]}` first, chosen by {run.backend_chosen_by or 'name'}.",
    ]
    shown = [(metric, name) for name in run.backends for metric in ("accuracy", "cavg_min", "cavg_actual", "eer")]
    tables = [table1_markdown(run, metric, name, notes=(metric, name) == shown[-1]) for metric, name in shown]
    with replacing(out / "tables.md") as part:
        part.write_text("\n\n".join([*about, *tables]), encoding="utf-8")
    return write_report(run, out)


def commit() -> str:
    """The commit of this source tree, `+` where it has been changed; the version where there is no repository."""
    from isogloss import __version__

    here = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return run.stdout.strip() if run.returncode == 0 else __version__


def machine() -> str:
    """`AMD EPYC, 2 cores, Linux`"""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"
