"""`isogloss recipe vl16-best`: several networks on much-augmented speech, fused with each other and with phone sequences.

What it is made of, and what each part brings, is in RESULTS.md. What labels the frames (`phones.model`, see `isogloss
phones bootstrap`; or pocketsphinx) also decodes the clips for the phone-sequence scores.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from isogloss.config import (
    AugmentConfig,
    BackendConfig,
    DecodeConfig,
    FeaturesConfig,
    RecipeConfig,
    TrainConfig,
)
from isogloss.corpora.item import Item
from isogloss.stages.fused_scores import fused_scores
from isogloss.stages.ledger import write_json
from isogloss.stages.phone_decoding import POCKETSPHINX, decode_phones
from isogloss.stages.phonotactic_scores import BACKEND as PHONES
from isogloss.stages.phonotactic_scores import phonotactic_scores
from isogloss.stages.prepare import read_splits
from isogloss.stages.recipe import run_recipe
from isogloss.stages.report import report_runs
from isogloss.systems import SYSTEMS, System

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
        alpha=1.0,
        weight_decay=1.0,
    ),
    backend=BackendConfig(fold_models=0),
)
"""Chosen on fold 3 of vl16 (docs/log.md)."""

BEST_RECIPE = "vl16-best"
SYSTEM = SYSTEMS["2"]
SECOND_ENCODER = "dtdnn"  # errs otherwise than the first: half of the networks have it
BACKEND = "centre+length+gaussian"
NUM_SEEDS = 3  # of each encoder


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
    """System 2 with two encoders, `NUM_SEEDS` seeds each, from `config.train.seed` on; returns OUT/report/report.html, of all rows.

    clips: the table that `items` were read from. Layout: that of `run_recipe` for each seed, and OUT/scored with the rows that
    no single network gave: phones (the phone sequences), networks (the networks fused) and networks+phones.
    """
    first = config.train.encoder
    second = replace(SYSTEM, id=f"{SYSTEM.id}-{SECOND_ENCODER}", label=f"{SYSTEM.label}, {SECOND_ENCODER}")
    made: list[tuple[Path, System]] = []
    for number in range(NUM_SEEDS if first == SECOND_ENCODER else 2 * NUM_SEEDS):
        encoder, system = (first, SYSTEM) if number < NUM_SEEDS else (SECOND_ENCODER, second)
        train = config.train.model_copy(update={"seed": config.train.seed + number, "encoder": encoder})
        results = run_recipe(
            items,
            out,
            [system],
            config.model_copy(update={"train": train}),
            title=f"isogloss recipe {BEST_RECIPE}",
            corpus=corpus,
            folds=folds,
            num_jobs=num_jobs,
            usual_source=BEST.phones.source,
        )
        made.append((results.metrics_json.parent.parent, system))
    decoded = out / "phones"
    if not (decoded / "about.json").exists():
        decode_phones(clips, config.phones.model or Path(POCKETSPHINX), decoded, DecodeConfig())
    scored = out / "scored"
    write_json(scored / "config.json", config.model_dump(mode="json"))
    for split in folds or list(read_splits(out / "data")):
        phones = phonotactic_scores(
            out / "data", out / "frames", decoded, out / "phonotactic" / split, config.evaluate, split
        )
        fused_scores([(phones, PHONES)], scored / "phones" / split / "scores", "phone sequences alone")
        networks = [(run / f"system{system.id}" / split / "scores", BACKEND) for run, system in made]
        fused_scores(networks, scored / "networks" / split / "scores", f"the {len(made)} networks fused")
        fused_scores(
            [*networks, (phones, PHONES)],
            scored / "networks+phones" / split / "scores",
            f"the {len(made)} networks and phone sequences fused",
        )
    return report_runs([*(run for run, _ in made), scored], out / "report")
