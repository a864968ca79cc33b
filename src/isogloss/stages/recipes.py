"""The recipes by name: where the clips come from, and what differs from the defaults."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isogloss.config import BackendConfig, PhonesConfig, RecipeConfig, TrainConfig
from isogloss.corpora import folders, kaldi_dir, manifest
from isogloss.corpora.item import Item
from isogloss.stages.best_recipe import BEST, BEST_RECIPE
from isogloss.stages.phone_recipes import PHONE_RECIPE
from isogloss.types import IsoglossError


@dataclass(frozen=True)
class Recipe:
    """A named run of the whole chain."""

    corpus: str  # what the report calls the data
    items: Callable[[Path], list[Item]]  # from --root
    config: RecipeConfig
    needs_root: bool = True
    note: str | None = None  # stands above the results


def _synthetic(root: Path) -> list[Item]:
    from isogloss.corpora import synthetic

    return manifest.items(synthetic.prepare(root, "small"))


def _vl16(root: Path) -> list[Item]:
    table = root / "clips.tsv"
    if not table.exists():
        raise IsoglossError(f"{table} is not there; --root is the folder that holds clips.tsv and audio/")
    return manifest.items(table, columns={"recording": "video"})


RECIPES = {
    "demo": Recipe(
        corpus="generated speech (espeak-ng), size small",
        items=_synthetic,
        config=RecipeConfig(
            phones=PhonesConfig(source="teacher"),
            train=TrainConfig(width=64, batch_size=64, cycles=(2, 4)),
            backend=BackendConfig(fold_models=0),  # forty networks instead of ten
        ),
        needs_root=False,
        note="Generated speech: this checks the pipeline and how systems stand to each other. It says nothing of real recordings.",
    ),
    "vl16": Recipe(
        corpus="vl16: 16 languages of the VoxLingua107 development set, folds disjoint by video",
        items=_vl16,
        # 9 epochs of 10,000 chunks: networks know these 650 clips by heart long before that
        config=RecipeConfig(phones=PhonesConfig(source="pocketsphinx"), train=TrainConfig(chunks_per_epoch=10_000)),
    ),
    BEST_RECIPE: Recipe(
        corpus="vl16: 16 languages of the VoxLingua107 development set, folds disjoint by video",
        items=_vl16,
        config=BEST,
    ),
    "folders": Recipe(corpus="a folder of audio per language", items=folders.items, config=RecipeConfig()),
    "kaldi": Recipe(corpus="a Kaldi data directory", items=kaldi_dir.items, config=RecipeConfig()),
    "manifest": Recipe(corpus="a table of clips", items=manifest.items, config=RecipeConfig()),
}


def find_recipe(name: str) -> Recipe:
    """IsoglossError for another name; it offers PHONE_RECIPE too, which trains no system and is not found here."""
    if name not in RECIPES:
        names = [*RECIPES, PHONE_RECIPE]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise IsoglossError(f"unknown recipe {name!r}: there are {', '.join(names)}{hint}")
    return RECIPES[name]
