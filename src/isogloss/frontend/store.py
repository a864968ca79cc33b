"""Packed, memory-mapped arrays by utterance: the frames, the voiced masks and the labels that training reads.

A store is a folder with four files, opened without reading them:

    data.bin    rows of all utterances, one after another: [N, *row_shape] of `dtype`
    keys.npy    [U] utterance names, sorted, so that a look-up is a binary search in the mapped file
    index.npy   [U] (offset, rows) in the same order
    meta.json   dtype, row shape, counts, and whatever the writer wants to say (config, inventory)

While it is written it is called `<folder>.part` and holds `data.bin` and `journal.jsonl`, a line per finished utterance.
A killed writer loses at most the utterance it was at: the next one cuts `data.bin` back to the journal and goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from isogloss.types import IsoglossError

FORMAT = 1


class StoreWriter:
    """`with StoreWriter(path, np.float16, (23,)) as w: w.add(key, rows)`; the store appears at `path` when the block ends well.

    `w.finished` holds the keys that an earlier, killed writer with the same `meta` left behind.
    """

    def __init__(
        self, path: Path, dtype: Any, row_shape: tuple[int, ...] = (), meta: dict[str, Any] | None = None
    ) -> None:
        self.path, self.part = Path(path), Path(f"{path}.part")
        self.dtype, self.row_shape = np.dtype(dtype), row_shape
        self.header = {"format": FORMAT, "dtype": self.dtype.str, "row_shape": list(row_shape), "meta": meta or {}}
        self._row_bytes = self.dtype.itemsize * int(np.prod(row_shape, dtype=int))
        self._entries: list[tuple[str, int, int]] = []
        self._resume()
        self.finished = {key for key, _, _ in self._entries}
        self._num_rows = sum(rows for _, _, rows in self._entries)
        self._data = open(self.part / "data.bin", "ab")  # noqa: SIM115 closed in __exit__
        self._journal = open(self.part / "journal.jsonl", "a", encoding="utf-8")  # noqa: SIM115

    def _resume(self) -> None:
        header_file = self.part / "header.json"
        if header_file.exists() and json.loads(header_file.read_text()) == self.header:
            journal = (self.part / "journal.jsonl").read_bytes() if (self.part / "journal.jsonl").exists() else b""
            whole = journal[: journal.rfind(b"\n") + 1]
            data_bytes = (self.part / "data.bin").stat().st_size if (self.part / "data.bin").exists() else 0
            kept = 0
            for line in whole.splitlines(keepends=True):
                key, offset, rows = json.loads(line)
                if (offset + rows) * self._row_bytes > data_bytes:  # journal outran the data when the machine stopped
                    break
                self._entries.append((key, offset, rows))
                kept += len(line)
            os.truncate(self.part / "journal.jsonl", kept)
            os.truncate(self.part / "data.bin", sum(rows for _, _, rows in self._entries) * self._row_bytes)
        else:
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir(parents=True)
            (self.part / "journal.jsonl").touch()
            (self.part / "data.bin").touch()
            header_file.write_text(json.dumps(self.header))

    def add(self, key: str, rows: np.ndarray) -> None:
        """Append `rows` [n, *row_shape] under `key`; a key stands once."""
        if key in self.finished:
            raise IsoglossError(f"{self.path}: utterance {key!r} twice; are there two cuts with one id?")
        if rows.shape[1:] != self.row_shape:
            raise IsoglossError(f"{self.path}: rows of shape {rows.shape[1:]} for {key!r}; expected {self.row_shape}")
        self._data.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
        self._data.flush()  # the journal must never be ahead of the data
        self._journal.write(json.dumps([key, self._num_rows, len(rows)]) + "\n")
        self._journal.flush()
        self._entries.append((key, self._num_rows, len(rows)))
        self.finished.add(key)
        self._num_rows += len(rows)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()
        self._journal.close()
        if kind is None:
            self._finish()

    def _finish(self) -> None:
        entries = sorted((key.encode(), offset, rows) for key, offset, rows in self._entries)
        np.save(self.part / "keys.npy", np.array([key for key, _, _ in entries], dtype=np.bytes_))
        np.save(self.part / "index.npy", np.array([span for _, *span in entries], dtype=np.int64).reshape(-1, 2))
        counts = {"num_utterances": len(entries), "num_rows": self._num_rows}
        (self.part / "meta.json").write_text(json.dumps(self.header | counts, indent=1, ensure_ascii=False))
        (self.part / "journal.jsonl").unlink()
        (self.part / "header.json").unlink()
        if self.path.exists():
            shutil.rmtree(self.path)
        os.replace(self.part, self.path)


class Store:
    """Read side: `store[key]` is a view [n, *row_shape] into the mapped file; nothing is read until it is touched."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        meta_file = self.path / "meta.json"
        if not meta_file.exists():
            state = "was not finished; run the same command again" if Path(f"{path}.part").exists() else "is not there"
            raise IsoglossError(f"store {path} {state}")
        header = json.loads(meta_file.read_text())
        if header["format"] != FORMAT:
            raise IsoglossError(
                f"store {path} has format {header['format']}; this version reads {FORMAT}: make it again"
            )
        self.meta: dict[str, Any] = header["meta"]
        self.num_rows: int = header["num_rows"]
        shape, dtype = (self.num_rows, *header["row_shape"]), np.dtype(header["dtype"])
        expected = int(np.prod(shape)) * dtype.itemsize
        seen = (self.path / "data.bin").stat().st_size
        if seen != expected:
            raise IsoglossError(
                f"store {path}: data.bin has {seen} bytes, the index says {expected}; was it cut in copying?"
            )
        # an empty file cannot be mapped
        self.rows = np.memmap(self.path / "data.bin", dtype, "r", shape=shape) if expected else np.empty(shape, dtype)
        mode: Literal["r"] | None = "r" if header["num_utterances"] else None
        self._keys = np.load(self.path / "keys.npy", mmap_mode=mode)  # [U] bytes
        self._spans = np.load(self.path / "index.npy", mmap_mode=mode)  # [U, 2] offset, rows

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return self._find(key) >= 0

    def _find(self, key: str) -> int:
        """Position of `key`, −1 where it is not."""
        encoded = np.bytes_(key.encode())
        position = int(np.searchsorted(self._keys, encoded))
        return position if position < len(self._keys) and self._keys[position] == encoded else -1

    def span(self, key: str) -> tuple[int, int]:
        """(offset, rows) of an utterance in `rows`."""
        position = self._find(key)
        if position < 0:
            raise IsoglossError(f"store {self.path} has no utterance {key!r}; was it made from another corpus?")
        offset, rows = self._spans[position]
        return int(offset), int(rows)

    def __getitem__(self, key: str) -> np.ndarray:
        offset, rows = self.span(key)
        return self.rows[offset : offset + rows]

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self._keys)
