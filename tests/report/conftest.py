"""A made-up run: metrics.json, margins and logs as the stages write them, from Gaussian scores in closed form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from isogloss.systems import SYSTEMS, TABLE_1

LANGUAGES = ["ca", "cs", "el", "hr", "ka", "sw", "ta", "vi"]
DIFFICULTY = {"full": 3.9, "short": 2.5, "channel": 1.9, "open": 2.9}  # distance of target and nontarget scores, in σ


def _interval(value: float, width: float) -> dict[str, float]:
    return {
        "value": round(value, 6),
        "low": round(max(value - width, 0.0), 6),
        "high": round(min(value + width, 1.0), 6),
    }


def _result(rng: np.random.Generator, condition: str, distance: float) -> dict[str, Any]:
    normal = NormalDist()
    thresholds = np.linspace(-4, 4 + distance, 120)
    eer = normal.cdf(-distance / 2)
    recall = np.clip(1 - 2.2 * eer + 0.05 * rng.standard_normal(len(LANGUAGES)), 0.1, 1.0)
    names = LANGUAGES + ["<out-of-set>"] * (condition == "open")
    counts = np.zeros((len(names), len(names)), dtype=int)
    for row in range(len(names)):
        share = rng.dirichlet(0.6 * np.ones(len(names)))
        right = recall[row] if row < len(LANGUAGES) else 0.6
        share = (1 - right) * share
        share[row] += right
        counts[row] = rng.multinomial(150, share)
    return {
        "cavg_olr": _interval(1.08 * eer, 0.12 * eer + 0.002),
        "cavg_olr_floored": _interval(1.07 * eer, 0.12 * eer + 0.002),
        "cavg_min": _interval(eer, 0.10 * eer + 0.002),
        "cavg_actual": _interval(1.25 * eer, 0.14 * eer + 0.003),
        "eer": _interval(1.02 * eer, 0.10 * eer + 0.002),
        "accuracy": _interval(float(recall.mean()), 0.02),
        "macro_f1": _interval(0.98 * float(recall.mean()), 0.02),
        "cllr": {"value": 12 * eer, "low": 11 * eer, "high": 13 * eer},
        "ece": _interval(0.3 * eer, 0.1 * eer),
        "num_utterances": int(counts.sum()),
        "num_trials": int(counts.sum()) * len(LANGUAGES),
        "num_out_of_set": 150 if condition == "open" else 0,
        "num_no_speech": 3 if condition == "short" else 0,
        "languages_enrolled": LANGUAGES,
        "languages_tested": LANGUAGES if condition != "channel" else LANGUAGES[:6],
        "confusion": {"languages": names, "counts": counts.tolist()},
        "per_language": {x: {"recall": float(recall[i]), "num": 150} for i, x in enumerate(LANGUAGES)},
        **(_open_set(distance) if condition == "open" else {}),
        "det": {
            "p_miss": [normal.cdf(t - distance) for t in thresholds],
            "p_fa": [1 - normal.cdf(t) for t in thresholds],
        },
    }


def _open_set(distance: float) -> dict[str, Any]:
    auroc = NormalDist().cdf(distance / 2)
    return {
        "auroc_out_of_set": _interval(auroc, 0.03),
        "fpr95_out_of_set": _interval(1 - auroc, 0.1),
        "oscr_out_of_set": _interval(0.8 * auroc, 0.04),
    }


def _margins(rng: np.random.Generator, system: str, num_samples: int) -> dict[str, Any]:
    def draw(count: int) -> np.ndarray:
        posterior = rng.normal(0.3, 0.04, count) + (rng.random(count) < 0.04) * rng.uniform(0, 0.6, count)
        return 10 * 0.002 * np.exp(4 * posterior) / np.exp(4 * 0.3)

    counts, edges = np.histogram(draw(40 * num_samples), bins=40)
    return {
        "system": system,
        "beta": 10,
        "definition": {"statistic": "mean_max_posterior", "normalise": "batch_softmax", "target_mean": 0.002},
        "batches": [{"step": 400 * (i + 1), "beta_p": draw(num_samples).tolist()} for i in range(3)],
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "mean": 0.0206,
        "max": float(edges[-1]),
    }


def _log(rng: np.random.Generator, multitask: bool, margin: float, beta: float, num_lines: int) -> list[dict[str, Any]]:
    lines = []
    for i in range(num_lines):
        done = i / num_lines
        loss = (1.5 + 10 * margin) * np.exp(-4 * done) + 0.1 + 0.05 * rng.standard_normal()
        phone = 6.5 * np.exp(-1.2 * done) + 0.4 + 0.03 * rng.standard_normal() if multitask else None
        lines.append(
            {
                "step": 10 * i,
                "epoch": 21 * done,
                "loss": loss + 0.3 * (phone or 0),
                "loss_language": loss,
                "loss_phone": phone,
                "phone_accuracy": (0.45 - 0.2 * margin) * (1 - np.exp(-3 * done)) if multitask else None,
                "learning_rate": 1e-3 * 0.5 * (1 + np.cos(np.pi * ((21 * done) % 3) / 3)) + 4e-8,
                "beta_p_mean": 0.02 + 0.001 * rng.standard_normal() if beta else None,
                "beta_p_max": 0.2 * rng.uniform(0.5, 1.0) if beta else None,
                "margin_mean": margin + (0.02 if beta else 0.0),
                "valid_loss": loss + 0.2 if i % 20 == 0 else None,
                "valid_accuracy": 0.93 + 0.1 * margin - 0.7 * np.exp(-5 * done) + 0.01 * rng.standard_normal()
                if i % 20 == 0
                else None,
            }
        )
    return lines


def write_fake_run(
    folder: Path,
    systems: list[str] | None = None,
    conditions: list[str] | None = None,
    backends: tuple[str, ...] = ("head", "olr2020"),
    paper_data: bool = False,
    change: Callable[[dict[str, Any]], None] = lambda metrics: None,
) -> Path:
    """Write a run and return the path of metrics.json; `change` may edit the metrics before they are written."""
    rng = np.random.default_rng(7)
    ids = systems or list(TABLE_1)
    conditions = conditions or list(DIFFICULTY)
    metrics: dict[str, Any] = {
        "title": "Phoneme-aware margins on a generated corpus",
        "corpus": "the generated eight-language corpus",
        "paper_data": paper_data,
        "command": "isogloss recipe table1 --systems all --corpus synthetic --out runs/table1",
        "commit": "3f9c2ab",
        "machine": "2-core x86-64, 8 GiB",
        "created": "2026-01-17T10:12:00+00:00",
        "config": {
            "front_end": {"features": "mfcc20_pitch3", "cmn_frames": 300},
            "train": {"batch_size": 512, "learning_rate": 0.001, "schedule": None},
        },
        "conditions": conditions,
        "languages": LANGUAGES,
        "systems": [],
        "figures": {"margins": {}},
        "curves": {},
        "warnings": ["Generated speech: one synthetic voice per language, so the numbers flatter every system."],
    }
    for index, name in enumerate(ids):
        system = SYSTEMS[name]
        gain = 0.12 * system.multitask + 0.06 * bool(system.m) + 0.07 * bool(system.beta)
        metrics["systems"].append(
            {
                "id": name,
                "label": system.label,
                "m": system.m,
                "beta": system.beta,
                "p_mean": 0.00206 if system.beta else None,
                "folds": [0, 1],
                "seeds": [1024],
                "seconds_train": 1900.0 + 60 * index,
                "backends": {
                    backend: {
                        c: _result(rng, c, DIFFICULTY[c] + gain + 0.05 * rng.standard_normal()) for c in conditions
                    }
                    for backend in backends
                },
            }
        )
        run_dir = folder / f"system_{name}"
        run_dir.mkdir(parents=True, exist_ok=True)
        lines = _log(rng, system.multitask, system.m, system.beta, num_lines=420)
        (run_dir / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        metrics["curves"][name] = f"system_{name}/log.jsonl"
        if system.beta:
            (run_dir / "margins.json").write_text(json.dumps(_margins(rng, name, num_samples=512)))
            metrics["figures"]["margins"][name] = f"system_{name}/margins.json"
    change(metrics)
    path = folder / "metrics.json"
    path.write_text(json.dumps(metrics))
    return path


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    return write_fake_run


@pytest.fixture
def fake_run(tmp_path: Path) -> Callable[..., Path]:
    """`fake_run(systems=["2", "5"], …)` → the path of a metrics.json."""
    return lambda **options: write_fake_run(tmp_path / "run", **options)
