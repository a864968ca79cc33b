"""How many chunks per second the loader alone feeds from the frame store: the reader, and the thread that reads ahead.

    python bench/loader.py [--batch 512] [--chunks 200000] [--rows 4000000] [--pdfs 1507]

Makes a store of its own (float16 frames of 23 dims and int16 labels, 196 MB at the defaults) in a temporary folder, and reads
from it as a training epoch does: every chunk 100 frames from a random place, to float32, labels to int64. So the figures are
of a store in the page cache. `rows one by one` is the plain way, numpy rows picked by an index [B, T] and `astype`. Every
way's chunks are compared with the rows that were written; the last column counts those that differ.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from isogloss.frontend.store import Store, StoreWriter
from isogloss.training.chunks import ChunkReader, ChunkTable, ahead, epoch_batches
from isogloss.types import Batch

DIM, CHUNK, UTTERANCE = 23, 100, 1000  # columns, frames, frames


def value_of(rows: np.ndarray) -> np.ndarray:
    """What stands in every column of a row: exact in float16."""
    return rows % 2048


def write(folder: Path, num_rows: int, num_pdfs: int) -> tuple[Store, Store]:
    with (
        StoreWriter(folder / "frames", np.float16, (DIM,)) as frames,
        StoreWriter(folder / "labels", np.int16) as labels,
    ):
        for start in range(0, num_rows, UTTERANCE):
            rows = np.arange(start, min(num_rows, start + UTTERANCE))
            frames.add(f"{start:09d}", np.repeat(value_of(rows)[:, None], DIM, axis=1).astype(np.float16))
            labels.add(f"{start:09d}", rows % num_pdfs)
    return Store(folder / "frames"), Store(folder / "labels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 512), ("chunks", 200_000), ("rows", 4_000_000), ("pdfs", 1507)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="isogloss-bench-") as folder:
        frames, labels = write(Path(folder), options.rows, options.pdfs)
        generator = np.random.default_rng(0)
        starts = generator.integers(0, options.rows - CHUNK, options.chunks)
        zeros = np.zeros(options.chunks, dtype=np.int64)
        table, reader = ChunkTable(starts, zeros, zeros, []), ChunkReader(frames, labels, CHUNK)
        order = np.arange(options.chunks)

        def read() -> Iterator[Batch]:
            return epoch_batches(reader, table, order, options.batch, seed=0, epoch=0)

        def one_by_one() -> Iterator[Batch]:
            for first in range(0, options.chunks - options.batch + 1, options.batch):
                rows = starts[first : first + options.batch, None] + np.arange(CHUNK)
                features = torch.from_numpy(frames.rows[rows].astype(np.float32))
                yield Batch(
                    features, torch.zeros(len(rows)).long(), torch.from_numpy(labels.rows[rows].astype(np.int64))
                )

        ways: dict[str, Callable[[], Iterator[Batch]]] = {
            "rows one by one": one_by_one,
            "ChunkReader": read,
            "ChunkReader, a thread ahead": lambda: ahead(read(), pin=False),
        }
        print(f"{options.batch} × {CHUNK} × {DIM} float16 → float32, labels int16 → int64\n")
        print("| loader | chunks/s | chunks per CPU s | wrong |\n|---|---:|---:|---:|")
        for name, way in ways.items():
            wrong = 0
            for number, batch in enumerate(way()):  # also warms the page cache
                rows = starts[number * options.batch : (number + 1) * options.batch, None] + np.arange(CHUNK)
                same = (batch.features.numpy() == value_of(rows)[:, :, None]).all(axis=(1, 2))
                wrong += int((~same | (batch.pdf_ids.numpy() != rows % options.pdfs).any(axis=1)).sum())
            wall, cpu, num = time.perf_counter(), time.process_time(), 0
            for batch in way():
                num += len(batch.languages)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"| {name} | {num / wall:,.0f} | {num / cpu:,.0f} | {wrong} |")


if __name__ == "__main__":
    main()
