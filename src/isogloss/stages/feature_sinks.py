"""Where features are written: Kaldi archives, one .npy for each utterance, the packed store. Each goes on after a kill.

A sink knows the utterances it has (`finished`), takes more (`add`), and is complete when its `with` block ends well.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from isogloss.frontend.store import Store, StoreWriter
from isogloss.stages.ledger import replacing
from isogloss.types import IsoglossError

PART_UTTERANCES, PART_FRAMES = 1000, 1_000_000  # whichever comes first ends a part archive


class Sink(Protocol):
    """Where features go."""

    finished: set[str]

    def add(self, key: str, features: np.ndarray) -> None: ...

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class NpySink:
    """`<folder>/<utterance>.npy`, float32 [T, D]; a name with slashes becomes folders."""

    def __init__(self, folder: Path, wanted: list[str]) -> None:
        self.folder = folder
        self.finished = {key for key in wanted if self._path(key).exists()}

    def _path(self, key: str) -> Path:
        path = Path(os.path.normpath(self.folder / f"{key}.npy"))
        if not path.is_relative_to(os.path.normpath(self.folder)):
            raise IsoglossError(
                f"utterance {key!r} would be written outside {self.folder}; rename it, or use --to store"
            )
        return path

    def add(self, key: str, features: np.ndarray) -> None:
        with replacing(self._path(key)) as part:
            np.save(part, features)
        self.finished.add(key)

    def __enter__(self) -> NpySink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class ArkSink:
    """`<folder>/feats.scp` over part archives `feats.0001.ark` …, each renamed when it is complete; feats.scp is written last.

    The scp names the archives by their absolute paths. A killed writer loses the part it was at.
    """

    def __init__(self, folder: Path, compress: bool) -> None:
        if "," in str(folder.resolve()):
            raise IsoglossError(f"{folder.resolve()}: Kaldi's tables allow no comma in a path; choose another folder")
        self.folder, self.compress = folder, compress
        self._lines: dict[str, str] = {}  # utterance → its line of the scp
        self._number = 0  # of the last complete part
        while (part := self._scp(self._number + 1)).exists():
            self._lines |= {line.split()[0]: line for line in part.read_text(encoding="utf-8").splitlines()}
            self._number += 1
        self.finished = set(self._lines)
        self._writer: Any = None
        self._in_part, self._frames_in_part = 0, 0

    def _ark(self, number: int) -> Path:
        return self.folder.resolve() / f"feats.{number:04d}.ark"

    def _scp(self, number: int) -> Path:
        return self._ark(number).with_suffix(".scp")

    def add(self, key: str, features: np.ndarray) -> None:
        import kaldi_native_io as kaldi

        if self._writer is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            ark, scp = (self.folder.resolve() / f"feats.part.{suffix}" for suffix in ("ark", "scp"))
            kind = kaldi.CompressedMatrixWriter if self.compress else kaldi.FloatMatrixWriter
            self._writer = kind(f"ark,scp:{ark},{scp}")
        matrix = np.ascontiguousarray(features, dtype=np.float32)
        if self.compress:
            self._writer.write(key, matrix, kaldi.CompressionMethod.kAutomaticMethod)
        else:
            self._writer.write(key, matrix)
        self.finished.add(key)
        self._in_part += 1
        self._frames_in_part += len(matrix)
        if self._in_part >= PART_UTTERANCES or self._frames_in_part >= PART_FRAMES:
            self._end_part()

    def _end_part(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer, self._in_part, self._frames_in_part = None, 0, 0
        self._number += 1
        ark, scp = (self.folder.resolve() / f"feats.part.{suffix}" for suffix in ("ark", "scp"))
        text = scp.read_text(encoding="utf-8").replace(f" {ark}:", f" {self._ark(self._number)}:")
        os.replace(ark, self._ark(self._number))
        with replacing(self._scp(self._number)) as part:  # the part counts from here on
            part.write_text(text, encoding="utf-8")
        scp.unlink()
        self._lines |= {line.split()[0]: line for line in text.splitlines()}

    def __enter__(self) -> ArkSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_part()  # also after an error: what is made is kept
        if kind is None:
            with replacing(self.folder / "feats.scp") as part:  # sorted as Kaldi wants it
                part.write_text("".join(f"{self._lines[key]}\n" for key in sorted(self._lines)), encoding="utf-8")


class StoreSink:
    """`<folder>/frames`, a store of float32 [T, D]; opened for writing only when there is something new."""

    def __init__(self, folder: Path, dim: int, meta: dict[str, Any]) -> None:
        self.path, self.dim, self.meta = folder / "frames", dim, meta
        self._writer: StoreWriter | None = None
        self._old = Store(self.path) if (self.path / "meta.json").exists() else None
        self.finished = set(self._old or ())
        if Path(f"{self.path}.part").exists():
            self.finished |= self._open().finished

    def _open(self) -> StoreWriter:
        if self._writer is None:
            self._writer = StoreWriter(self.path, np.float32, (self.dim,), self.meta)
            for key in self._old or ():
                if key not in self._writer.finished:
                    self._writer.add(key, self._old[key])  # type: ignore[index]
        return self._writer

    def add(self, key: str, features: np.ndarray) -> None:
        self._open().add(key, features)
        self.finished.add(key)

    def __enter__(self) -> StoreSink:
        if self._old is None:
            self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)
