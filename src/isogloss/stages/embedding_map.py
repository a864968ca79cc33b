"""Embeddings of test clips → points in the plane, for the eye; and how well the clips of a language really lie together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isogloss.backends import unit_length
from isogloss.report.projection import tsne
from isogloss.stages.extract import Embeddings

MAX_CLIPS = 600  # drawn at most, evenly over the languages: the plane is full, and the work grows with the square
NEIGHBOURS = 5


def embedding_map(embeddings: Path) -> dict[str, Any] | None:
    """Of the far embeddings of the `full` test clips and those out of set; None where there are fewer than 10.

    {x, y: [V], language: [V] index into languages, languages, num_clips, neighbours, chance}: neighbours is the share of
    the five nearest (by angle, in the whole space, clips of enrolled languages alone) that are of a clip's own language.
    """
    files = [embeddings / f"{name}.npz" for name in ("full", "out_of_set")]
    parts = [Embeddings.load(path) for path in files if path.exists()]
    names = np.array([language for part in parts for language in part.languages])
    vectors = [part.far[part.spoken] for part in parts]
    names = names[np.concatenate([part.spoken for part in parts])] if parts else names
    if len(names) < 10:
        return None
    far = unit_length(np.concatenate(vectors).astype(np.float64))
    known = np.arange(len(far)) < len(vectors[0])
    languages, index = np.unique(names, return_inverse=True)
    chosen = _evenly(index, MAX_CLIPS)
    places = tsne(far[chosen] - far[chosen].mean(axis=0))
    near, chance = _neighbours(far[known], index[known])
    return {
        "x": places[:, 0].round(3).tolist(),
        "y": places[:, 1].round(3).tolist(),
        "language": index[chosen].tolist(),
        "languages": languages.tolist(),
        "num_clips": len(names),
        "neighbours": near,
        "chance": chance,
    }


def _evenly(index: np.ndarray, most: int) -> np.ndarray:
    """Rows to draw: all, or about as many of each language, in their order."""
    if len(index) <= most:
        return np.arange(len(index))
    each = most // (index.max() + 1)
    return np.sort(np.concatenate([np.flatnonzero(index == one)[:each] for one in range(index.max() + 1)]))


def _neighbours(vectors: np.ndarray, index: np.ndarray) -> tuple[float, float]:
    """(share of the nearest that are of one's own language, what it would be by chance)."""
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1)[:, :NEIGHBOURS]
    share = np.bincount(index) / len(index)
    return float((index[nearest] == index[:, None]).mean()), float((share**2).sum())
