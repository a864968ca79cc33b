"""Trained systems → metrics.json: figures, what the page draws, and where it all comes from."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path
from typing import Any

from isogloss.config import EvaluateConfig
from isogloss.stages.corpus_facts import clips, enrolment, leaks
from isogloss.stages.embedding_map import embedding_map
from isogloss.stages.evaluate import better_backend, evaluate_seeds
from isogloss.stages.ledger import json_text, replacing
from isogloss.stages.operating_point import operating_point
from isogloss.stages.over_seeds import OverSeeds, difference
from isogloss.stages.provenance import commit, machine, versions
from isogloss.stages.runs import TrainedSystem, data_of, row_ids
from isogloss.stages.scored_set import read_tests
from isogloss.types import OUT_OF_SET

COMPARED = ("cavg_min", "accuracy")
DIGITS = 6  # significant ones written


def measure(systems: Sequence[TrainedSystem], out: Path, config: EvaluateConfig, about: dict[str, Any]) -> Path:
    """Write out/metrics.json, the report's only input but for logs and margins; returns it.

    about: title, corpus, config, notes (shown as warnings) and what else the page should say.
    """
    ids = row_ids(systems)
    warned = list(about["notes"])
    compared: dict[str, dict[str, dict[str, OverSeeds]]] = {}  # row → back end → condition
    measured = []
    figures: dict[str, str] = {}
    curves: dict[str, str] = {}
    for id, one in zip(ids, systems, strict=True):
        found, messages = evaluate_seeds(
            {seed: {name: folder / "scores" for name, folder in of.items()} for seed, of in one.seeds.items()}, config
        )
        warned += messages
        row = _about(one, systems) | {"id": id, "backends": {}}
        for name, of in found.items():
            row["backends"][name] = {condition: result for condition, (result, _) in of.items()}
            compared.setdefault(id, {})[name] = {condition: values for condition, (_, values) in of.items()}
            if "open" in of:
                folders = [
                    (split, folder / "scores") for splits in one.seeds.values() for split, folder in splits.items()
                ]
                row["backends"][name]["open"]["operating_point"] = operating_point(folders, name)
        for model in _models(one)[:1]:
            if (model / "margins.json").exists():
                figures[id] = os.path.relpath(model / "margins.json", out)
            curves[id] = os.path.relpath(model / "log.jsonl", out)
        measured.append(row)
    networks = [folder / "scores" for one in systems if not one.scored_by for folder in one.folders]
    backend = better_backend(networks) if networks else systems[0].scored_by
    results = [result for row in measured for of in row["backends"].values() for result in of.values()]
    unknown = _name_clips(systems, [error for result in results for error in result["worst"]])
    value = {
        **about,
        "paper_data": False,
        "command": shlex.join(["isogloss", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "conditions": list(dict.fromkeys(c for row in measured for of in row["backends"].values() for c in of)),
        "backend": backend,
        "backend_chosen_by": "Cllr on the validation utterances, which no test contains" if networks else None,
        "languages": sorted({language for result in results for language in result["languages_enrolled"]}),
        "unknown_languages": unknown,
        "leaks": leaks(systems),
        "systems": measured,
        "differences": _differences(
            {id: compared[id].get(one.scored_by or backend or "", {}) for id, one in zip(ids, systems, strict=True)}
        ),
        "figures": {"margins": figures},
        "curves": curves,
        "warnings": list(dict.fromkeys(warned)),
    }
    with replacing(out / "metrics.json") as part:
        part.write_text(_json(value) + "\n", encoding="utf-8")
    return out / "metrics.json"


def _about(one: TrainedSystem, systems: Sequence[TrainedSystem]) -> dict[str, Any]:
    """What the row of a system says besides its results."""
    models = _models(one)
    same = [other for other in systems if other.system.id == one.system.id]
    label = [one.system.label]
    label += [f"labels {one.labels}"] * (len({other.labels for other in same}) > 1)
    label += [one.out] * bool(one.out)
    means = [json.loads(p.read_text())["mean"] for m in models if (p := m / "margins.json").exists()]
    return {
        "system": one.system.id,
        "label": ", ".join(label),
        "m": one.system.m,
        "beta": one.system.beta or None,
        "p_mean": sum(means) / len(means) / one.system.beta if means and one.system.beta else None,
        "labels": one.labels or None,
        "scored_by": one.scored_by or None,
        "folds": list(next(iter(one.seeds.values()))),
        "seeds": list(one.seeds) if models else None,
        "seconds_train": sum(json.loads((m / "model.json").read_text())["seconds"] for m in models) if models else None,
        "enrolment": enrolment(one),
        "embeddings": embedding_map(one.folders[0] / "embeddings"),
    }


def _models(one: TrainedSystem) -> list[Path]:
    return [] if one.scored_by else [folder / "model" for folder in one.folders]


def _differences(rows: dict[str, dict[str, OverSeeds]]) -> list[dict[str, Any]]:
    """Of every two rows under every condition: {condition, metric, a, b, value, low, high, p_value}, a less b."""
    return [
        {"condition": condition, "metric": metric, "a": a, "b": b} | found
        for condition in dict.fromkeys(condition for of in rows.values() for condition in of)
        for metric in COMPARED
        for a, b in combinations([id for id, of in rows.items() if condition in of], 2)
        if metric in rows[a][condition].resampled
        and (found := difference(rows[a][condition], rows[b][condition], metric))
    ]


def _name_clips(systems: Sequence[TrainedSystem], errors: list[dict[str, Any]]) -> dict[str, int]:
    """Give the errors the paths of their recordings; returns the unknown languages tested: language → clips."""
    data = data_of(systems[0])
    if data is None:
        return {}
    tests = [read_tests(folder / "scores").get("open", {}).get("key", {}) for one in systems for folder in one.folders]
    strangers = {clip for key in tests for clip, language in key.items() if language == OUT_OF_SET}
    known = clips(data, {error["clip"] for error in errors} | strangers)
    for error in errors:
        error |= known.get(error["clip"], {})
    return dict(sorted(Counter(known[clip]["language"] for clip in strangers if clip in known).items()))


def _json(value: Any) -> str:
    """For people to read: a list of numbers is one line, and no number has more digits than mean something."""
    text = json_text(_rounded(value))
    return re.sub(r"\[\n\s*([^][{}]*?)\n\s*\]", lambda found: "[" + re.sub(r",\n\s*", ", ", found[1]) + "]", text)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return value
