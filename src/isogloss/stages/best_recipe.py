"""`isogloss recipe vl16-best`: several networks on much-augmented speech, fused with each other and with phone sequences.

What it is made of, and what each part brings, is in RESULTS.md. What labels the frames (`phones.model`, see `isogloss
phones bootstrap`; or pocketsphinx) also decodes the clips for the phone-sequence scores.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from isogloss.config import AugmentConfig, DecodeConfig, FeaturesConfig, RecipeConfig, SpecAugmentConfig, TrainConfig
from isogloss.corpora.item import Item
from isogloss.stages.evaluate import evaluate_system
from isogloss.stages.fused_scores import BACKEND as FUSION
from isogloss.stages.fused_scores import fused_scores
from isogloss.stages.ledger import write_json
from isogloss.stages.phone_decoding import POCKETSPHINX, decode_phones
from isogloss.stages.phonotactic_scores import BACKEND as PHONES
from isogloss.stages.phonotactic_scores import phonotactic_scores
from isogloss.stages.recipe import run_recipe
from isogloss.systems import SYSTEMS

logger = logging.getLogger(__name__)

BEST = RecipeConfig(
    features=FeaturesConfig(
        speeds=(0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2), augmented=6, augment=AugmentConfig(speed=(0.8, 1.25))
    ),
    train=TrainConfig(
        width=128,
        chunk_frames=200,
        batch_size=64,
        chunks_per_epoch=9_600,
        cycles=(10,),
        learning_rate=3e-3,
        schedule="one_cycle",
        average="ema",
        ema_decay=0.99,
        spec_augment=SpecAugmentConfig(time_masks=1, time_width=20, column_masks=1, column_width=3),
    ),
)
"""Chosen on fold 3 of vl16 (docs/log.md)."""

BEST_RECIPE = "vl16-best"
SYSTEM = "2"
NUM_SEEDS = 3
SHOWN = ("accuracy", "cavg_min", "cavg_actual", "eer", "ece")


def best_recipe(
    items: list[Item],
    clips: Path,
    out: Path,
    config: RecipeConfig,
    *,
    corpus: str,
    folds: list[str] | None,
    num_jobs: int | None,
) -> Path:
    """System 2 with `NUM_SEEDS` seeds from `config.train.seed` on, and its fusions; returns OUT/best.json.

    clips: the table that `items` were read from. best.json: row → condition → figures with intervals; the rows are each seed,
    phones (the phone sequences), networks (the seeds fused) and all (both).
    """
    system = SYSTEMS[SYSTEM]
    runs = []
    for seed in range(config.train.seed, config.train.seed + NUM_SEEDS):
        seeded = config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
        made = run_recipe(
            items,
            out,
            [system],
            seeded,
            title=f"isogloss recipe {BEST_RECIPE}",
            corpus=corpus,
            folds=folds,
            num_jobs=num_jobs,
            usual_source=BEST.phones.source,
        )
        runs.append(made.metrics_json.parent.parent / f"system{SYSTEM}")
    decoded = out / "phones"
    if not (decoded / "about.json").exists():
        decode_phones(clips, config.phones.model or Path(POCKETSPHINX), decoded, DecodeConfig())
    rows: dict[str, dict[str, Path]] = {}
    for split in sorted(folder.name for folder in runs[0].iterdir()):
        networks = [run / split / "scores" for run in runs]
        phones = phonotactic_scores(
            out / "data", out / "frames", decoded, out / "phonotactic" / split, config.evaluate, split
        )
        heads = [(folder, "head") for folder in networks]
        parts = {run.parent.name: folder for run, folder in zip(runs, networks, strict=True)} | {"phones": phones}
        parts["networks"] = fused_scores(heads, out / "fused" / "networks" / split)
        parts["all"] = fused_scores([*heads, (phones, PHONES)], out / "fused" / "all" / split)
        for row, folder in parts.items():
            rows.setdefault(row, {})[split] = folder
    backend = dict.fromkeys(rows, "head") | {"phones": PHONES, "networks": FUSION, "all": FUSION}
    heard = config.evaluate.model_copy(  # nobody decoded the telephone copies
        update={"conditions": tuple(name for name in config.evaluate.conditions if name != "channel")}
    )
    result: dict[str, Any] = {
        row: evaluate_system(folders, heard if row == "phones" else config.evaluate)[0][backend[row]]
        for row, folders in rows.items()
    }
    write_json(out / "best.json", result)
    return out / "best.json"


def best_table(path: Path) -> str:
    """best.json as Markdown, one table a condition."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    lines = []
    for condition in rows["all"]:
        lines += ["", f"**{condition}**", "", "| | " + " | ".join(SHOWN) + " |", "|---" * (len(SHOWN) + 1) + "|"]
        for row, of in rows.items():
            if condition in of:
                lines.append(f"| {row} | " + " | ".join(_shown(of[condition].get(name)) for name in SHOWN) + " |")
    return "\n".join(lines)


def _shown(figure: Any) -> str:
    if not isinstance(figure, dict):
        return "–"
    interval = f" [{figure['low']:.3f}, {figure['high']:.3f}]" if "low" in figure else ""
    return f"{figure['value']:.3f}{interval}"
