"""Centring and unit length: embeddings [U, E] onto the unit sphere around a mean. Also where embeddings are checked."""

from __future__ import annotations

import numpy as np

from isogloss.types import IsoglossError


def check_embeddings(embeddings: np.ndarray, num_dims: int | None = None) -> np.ndarray:
    """[U, E] float64. Raises IsoglossError for another shape, another E than `num_dims`, and NaN or infinity."""
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2 or not rows.shape[1] or (num_dims is not None and rows.shape[1] != num_dims):
        raise IsoglossError(
            f"embeddings of shape {rows.shape}; expected [utterances, {num_dims or 'dimensions'}]: "
            "do model and embeddings belong together?"
        )
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise IsoglossError(
            f"{len(bad)} of {len(rows)} embeddings are not finite, first in row {bad[0]}; an utterance without a "
            "voiced frame has no embedding: leave it out"
        )
    return rows


def unit_length(embeddings: np.ndarray) -> np.ndarray:
    """[U, E] → [U, E], each row x / ‖x‖ (Kaldi: ivector-normalize-length --scaleup=false). A zero row stays zero."""
    norm = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(norm > 0, norm, 1.0)


def sqrt_dim_length(embeddings: np.ndarray) -> np.ndarray:
    """[U, E] → [U, E], each row √E · x / ‖x‖, as PLDA expects (Kaldi: ivector-normalize-length)."""
    return np.sqrt(embeddings.shape[1]) * unit_length(embeddings)


def centred_unit_length(embeddings: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """[U, E] → [U, E], rows (x − mean) / ‖x − mean‖; mean [E] (Kaldi: ivector-subtract-global-mean before it)."""
    return unit_length(embeddings - mean)
