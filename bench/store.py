"""What the frame store costs at a million utterances: opening, look-ups, reads, and chunks as training draws them.

    python bench/store.py [--utterances 1000000] [--frames 8] [--chunk 100] [--batch 128]

Builds the store in a temporary folder (368 MB at the defaults), so what is read is in the page cache: these are the costs
of the index and of copying, not of a disk. Every read is compared with the rows that were written; the error column
counts those that differ.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from isogloss.frontend.store import Store, StoreWriter
from isogloss.training.chunks import ChunkReader, ChunkTable

DIM = 23


def rows_of(number: int, num_frames: int) -> np.ndarray:
    """Row t of utterance u is (num_frames · u + t) mod 2048 in every column, exact in float16."""
    first = number * num_frames
    values = np.arange(first, first + num_frames) % 2048
    return np.repeat(values[:, None], DIM, axis=1).astype(np.float16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=8, help="of each utterance")
    parser.add_argument("--chunk", type=int, default=100, help="frames")
    parser.add_argument("--batch", type=int, default=128, help="chunks")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    lines: list[tuple[str, str, int | str]] = []
    with tempfile.TemporaryDirectory(prefix="isogloss-bench-") as folder:
        path = Path(folder) / "store"
        begun = time.perf_counter()
        with StoreWriter(path, np.float16, (DIM,)) as writer:
            for number in range(options.utterances):
                writer.add(f"utterance-{number:08d}", rows_of(number, options.frames))
        seconds = time.perf_counter() - begun
        lines.append(("write", f"{options.utterances / seconds:,.0f} utterances/s", "–"))

        times = []
        for _ in range(10):
            begun = time.perf_counter()
            store = Store(path)
            times.append(time.perf_counter() - begun)
        lines.append(("open", f"{1e3 * np.median(times):.2f} ms", int(len(store) != options.utterances)))

        numbers = generator.integers(0, options.utterances, 20_000)
        keys = [f"utterance-{number:08d}" for number in numbers]
        begun = time.perf_counter()
        first = store[keys[0]]
        seconds = time.perf_counter() - begun
        wrong = int(not np.array_equal(first, rows_of(int(numbers[0]), options.frames)))
        lines.append(("first look-up", f"{1e6 * seconds:.0f} µs", wrong))

        begun = time.perf_counter()
        read = [np.array(store[key]) for key in keys]
        seconds = time.perf_counter() - begun
        pairs = zip(read, numbers, strict=True)
        wrong = sum(not np.array_equal(rows, rows_of(int(number), options.frames)) for rows, number in pairs)
        lines.append(("random reads", f"{len(keys) / seconds:,.0f} /s", wrong))

        num_chunks = 200 * options.batch
        starts = generator.integers(0, store.num_rows - options.chunk, num_chunks)
        zeros = np.zeros(num_chunks, dtype=np.int64)
        table, reader = ChunkTable(starts, zeros, zeros, []), ChunkReader(store, None, options.chunk)
        seconds, wrong = 0.0, 0
        for chosen in np.arange(num_chunks).reshape(-1, options.batch):
            begun = time.perf_counter()
            batch = reader.read(table, chosen)
            seconds += time.perf_counter() - begun
            expected = (starts[chosen][:, None] + np.arange(options.chunk)) % 2048
            wrong += int((batch.features.numpy() != expected[:, :, None]).any(axis=(1, 2)).sum())
        lines.append((f"chunks of {options.chunk} frames", f"{num_chunks / seconds:,.0f} /s", wrong))
    print(f"{options.utterances:,} utterances of {options.frames} × {DIM} float16\n")
    print("| what | cost | wrong |\n|---|---|---|")
    for what, cost, error in lines:
        print(f"| {what} | {cost} | {error} |")


if __name__ == "__main__":
    main()
