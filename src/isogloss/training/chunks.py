"""Chunks of voiced frames out of the packed store, language-balanced, in an order that is a function of the seed alone.

Chunks of 100 voiced frames, hop 90; every language resampled to 1.5 × the mean number of chunks (the recipe the paper
builds on). Because nothing but (seed, epoch, step) decides which chunk comes when, a resumed run needs no loader state.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from isogloss.frontend.store import Store
from isogloss.types import IGNORE_PDF, Batch, IsoglossError

OVERSAMPLING = 1.5


@dataclass(frozen=True)
class ChunkTable:
    """Where every chunk starts, and its language."""

    starts: np.ndarray  # [N] row of the store
    slack: np.ndarray  # [N] rows by which the start may move on within the utterance
    languages: np.ndarray  # [N] index
    dropped: list[str]  # utterances with fewer voiced frames than a chunk

    def __len__(self) -> int:
        return len(self.starts)


def chunk_table(frames: Store, keys: list[str], languages: list[int], chunk_frames: int, hop_frames: int) -> ChunkTable:
    """The chunks of `keys`; the last one of an utterance is moved back so that it ends with it."""
    starts: list[int] = []
    slack: list[int] = []
    labels: list[int] = []
    dropped = []
    for key, language in zip(keys, languages, strict=True):
        offset, rows = frames.span(key)
        if rows < chunk_frames:
            dropped.append(key)
            continue
        last = rows - chunk_frames
        begins = list(range(0, last + 1, hop_frames))
        if begins[-1] != last:
            begins.append(last)
        starts += [offset + begin for begin in begins]
        slack += [min(hop_frames, last - begin) for begin in begins]
        labels += [language] * len(begins)
    if not starts:
        raise IsoglossError(
            f"none of {len(keys)} utterances has {chunk_frames} voiced frames ({chunk_frames / 100} s of speech); "
            "use longer clips or a smaller train.chunk_frames"
        )
    return ChunkTable(np.array(starts), np.array(slack), np.array(labels), dropped)


def epoch_order(
    table: ChunkTable, num_languages: int, chunks_per_epoch: int | None, seed: int, epoch: int
) -> np.ndarray:
    """[M] chunk numbers of one epoch: the same count from every language that has chunks, shuffled.

    A language is drawn without repetition as long as its chunks last, then begun anew.
    """
    generator = np.random.default_rng([seed, epoch])
    by_language = [np.flatnonzero(table.languages == language) for language in range(num_languages)]
    present = [members for members in by_language if len(members)]
    total = chunks_per_epoch or round(OVERSAMPLING * len(table))
    each = max(1, round(total / len(present)))
    drawn = [
        np.concatenate([generator.permutation(members) for _ in range(-(-each // len(members)))])[:each]
        for members in present
    ]
    return generator.permutation(np.concatenate(drawn))


class ChunkReader:
    """Batches of chunks: features [B, T, D] float32, languages [B], pdf_ids [B, T] if there is a label store.

    The whole stores are mapped; a batch costs its own copy and no more. Frames and labels must have been cut alike.
    """

    def __init__(self, frames: Store, labels: Store | None, chunk_frames: int) -> None:
        self._features = _windows(frames.rows, chunk_frames)
        self._labels = None if labels is None else _windows(labels.rows, chunk_frames)
        if labels is not None and labels.num_rows != frames.num_rows:
            raise IsoglossError(
                f"{labels.path} holds {labels.num_rows} labels for {frames.num_rows} frames of {frames.path}; "
                "make the labels again from these frames"
            )

    def read(self, table: ChunkTable, chosen: np.ndarray, shift: np.ndarray | int = 0) -> Batch:
        """The chunks `chosen` [B], each `shift` rows further on."""
        starts = table.starts[chosen] + shift
        features = torch.from_numpy(self._features[starts]).float()
        labels = None if self._labels is None else torch.from_numpy(self._labels[starts]).long()
        return Batch(features, torch.from_numpy(table.languages[chosen]), labels)


def _windows(rows: np.ndarray, num: int) -> np.ndarray:
    """[N, ...] → a view [N − num + 1, num, ...]: every run of `num` rows, which are one piece of memory to copy."""
    shape = (max(0, len(rows) - num + 1), num, *rows.shape[1:])
    return np.lib.stride_tricks.as_strided(np.asarray(rows), shape, (rows.strides[0], *rows.strides), writeable=False)


def epoch_batches(
    reader: ChunkReader,
    table: ChunkTable,
    order: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: int,
    first_step: int = 0,
) -> Iterator[Batch]:
    """The batches of one epoch from `first_step` on; every start moves by a random part of its slack, drawn per epoch.

    The last, incomplete batch is dropped (p over the batch wants N as configured), unless it is the only one.
    """
    shifts = (np.random.default_rng([seed, epoch, 1]).random(len(order)) * (table.slack[order] + 1)).astype(np.int64)
    for step in range(first_step, steps_per_epoch(len(order), batch_size)):
        span = slice(step * batch_size, (step + 1) * batch_size)
        yield reader.read(table, order[span], shifts[span])


def ahead(batches: Iterator[Batch], pin: bool) -> Iterator[Batch]:
    """The same batches, the next one read by a thread while this one is used; `pin`: into memory a GPU can fetch from."""

    def read() -> Batch | None:
        batch = next(batches, None)
        if batch is None or not pin:
            return batch
        labels = None if batch.pdf_ids is None else batch.pdf_ids.pin_memory()
        return Batch(batch.features.pin_memory(), batch.languages.pin_memory(), labels)

    with ThreadPoolExecutor(1, "chunks") as reader:
        coming = reader.submit(read)
        while (batch := coming.result()) is not None:
            coming = reader.submit(read)
            yield batch


def steps_per_epoch(num_chunks: int, batch_size: int) -> int:
    return max(1, num_chunks // batch_size)


def require_aligned(frames: Store, labels: Store, keys: list[str], num_pdfs: int) -> None:
    """Every utterance's labels as long as its frames and in range; IsoglossError naming the first that is not."""
    spans = [(key, frames.span(key), labels.span(key)) for key in keys]
    for key, (_, rows), (_, label_rows) in spans:
        if rows != label_rows:
            raise IsoglossError(
                f"utterance {key}: {rows} voiced frames but {label_rows} labels; were the labels made from these frames? "
                "Run `isogloss phones` again"
            )
    for key, span, label_span in spans:
        if span != label_span:
            raise IsoglossError(
                f"utterance {key}: labels lie elsewhere in their store than its frames; run `isogloss phones` again"
            )
    if labels.num_rows and not (labels.rows.min() >= IGNORE_PDF and labels.rows.max() < num_pdfs):
        raise IsoglossError(
            f"{labels.path} has labels from {labels.rows.min()} to {labels.rows.max()}, the inventory {num_pdfs} pdfs; "
            "was it made with another phone inventory?"
        )
