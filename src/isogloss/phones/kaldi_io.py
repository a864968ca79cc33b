"""Kaldi's serialised objects, binary or text, gzipped or not, read without Kaldi.

Source: Kaldi's base/io-funcs and matrix/kaldi-vector, kaldi-matrix (`Read`). A binary file begins with \\0B; there a token
ends with one space, a number stands after a byte with its size, and what follows is little-endian.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, cast

import numpy as np

from isogloss.types import IsoglossError

BINARY_MARK = b"\0B"
GZIP_MARK = b"\x1f\x8b"
MAX_TOKEN_BYTES = 1000
READ_ERRORS = (OSError, EOFError, zlib.error)  # a damaged gzip file


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if it is gzipped, whatever it is called."""
    if not path.is_file():
        raise IsoglossError(f"{path} is not a file; expected one that Kaldi wrote")
    with open(path, "rb") as file:
        zipped = file.read(2) == GZIP_MARK
    return cast("IO[bytes]", gzip.open(path) if zipped else open(path, "rb"))


class KaldiInput(ABC):
    """The values of one serialised object in turn. What is not there raises IsoglossError with the file's name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def token(self) -> str: ...

    @abstractmethod
    def integer(self) -> int: ...

    @abstractmethod
    def real(self) -> float: ...

    @abstractmethod
    def integers(self) -> list[int]: ...

    @abstractmethod
    def vector(self) -> np.ndarray:
        """[N] float32 or float64, as stored."""

    @abstractmethod
    def matrix(self, num_columns: int) -> np.ndarray:
        """[N, num_columns]"""

    def expect(self, *tokens: str) -> str:
        """The next token, which has to be one of `tokens`."""
        found = self.token()
        if found not in tokens:
            raise self.wrong(found, " or ".join(tokens))
        return found

    def wrong(self, found: object, expected: str) -> IsoglossError:
        return IsoglossError(
            f"{self.path}: found {str(found)[:40]!r} where {expected} was expected; "
            "is it the file that was meant, and was it copied whole?"
        )

    def ended(self) -> IsoglossError:
        return IsoglossError(f"{self.path} ends too early; was it copied whole? Copy it again")


class BinaryInput(KaldiInput):
    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__(path)
        self.content, self.position = content, len(BINARY_MARK)

    def token(self) -> str:
        while self.content[self.position : self.position + 1].isspace():
            self.position += 1
        end = self.content.find(b" ", self.position, self.position + MAX_TOKEN_BYTES)
        if end < 0:
            if len(self.content) - self.position < MAX_TOKEN_BYTES:
                raise self.ended()
            raise self.wrong(self.content[self.position : self.position + 20], "a word")
        found = self.content[self.position : end]
        self.position = end + 1
        return found.decode("latin-1")

    def _bytes(self, count: int) -> bytes:
        if count < 0:
            raise self.wrong(count, "a size")
        if self.position + count > len(self.content):
            raise self.ended()
        self.position += count
        return self.content[self.position - count : self.position]

    def integer(self) -> int:
        size = self._bytes(1)
        if size not in (b"\4", b"\xfc"):  # the size of an unsigned number is negated
            raise self.wrong(size, "a number of 4 bytes")
        return int(struct.unpack("<i", self._bytes(4))[0])

    def real(self) -> float:
        size = self._bytes(1)
        if size not in (b"\4", b"\10"):
            raise self.wrong(size, "a real number of 4 or 8 bytes")
        return float(struct.unpack("<f" if size == b"\4" else "<d", self._bytes(size[0]))[0])

    def integers(self) -> list[int]:
        size = self._bytes(1)
        if size != b"\4":
            raise self.wrong(size, "a list of numbers of 4 bytes")
        (count,) = struct.unpack("<i", self._bytes(4))
        return cast("list[int]", np.frombuffer(self._bytes(4 * count), dtype="<i4").tolist())

    def vector(self) -> np.ndarray:
        kind = np.dtype("<f4" if self.expect("FV", "DV") == "FV" else "<f8")
        return np.frombuffer(self._bytes(self.integer() * kind.itemsize), dtype=kind)

    def matrix(self, num_columns: int) -> np.ndarray:
        kind = np.dtype("<f4" if self.expect("FM", "DM") == "FM" else "<f8")
        rows, columns = self.integer(), self.integer()
        if columns != num_columns:
            raise self.wrong(f"a matrix of {columns} columns", f"one of {num_columns}")
        return np.frombuffer(self._bytes(rows * columns * kind.itemsize), dtype=kind).reshape(rows, columns)


class TextInput(KaldiInput):
    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__(path)
        self.tokens, self.position = content.split(), 0

    def token(self) -> str:
        if self.position >= len(self.tokens):
            raise self.ended()
        self.position += 1
        return self.tokens[self.position - 1].decode("latin-1")

    def integer(self) -> int:
        found = self.token()
        try:
            return int(found)
        except ValueError:
            raise self.wrong(found, "a whole number") from None

    def real(self) -> float:
        found = self.token()
        try:
            return float(found)
        except ValueError:
            raise self.wrong(found, "a number") from None

    def _bracketed(self) -> list[bytes]:
        self.expect("[")
        try:
            end = self.tokens.index(b"]", self.position)
        except ValueError:
            raise self.ended() from None
        found = self.tokens[self.position : end]
        self.position = end + 1
        return found

    def integers(self) -> list[int]:
        found = self._bracketed()
        try:
            return [int(value) for value in found]
        except ValueError:
            raise self.wrong(b" ".join(found), "whole numbers") from None

    def vector(self) -> np.ndarray:
        found = self._bracketed()
        try:
            return np.array(found, dtype="S").astype(np.float32) if found else np.empty(0, dtype=np.float32)
        except ValueError:
            raise self.wrong(b" ".join(found), "numbers") from None

    def matrix(self, num_columns: int) -> np.ndarray:
        values = self.vector()
        if len(values) % num_columns:
            raise self.wrong(f"a matrix of {len(values)} numbers", f"rows of {num_columns}")
        return values.reshape(-1, num_columns)


def open_object(path: Path) -> KaldiInput:
    """The single object a file such as final.mdl or tree holds."""
    try:
        with open_bytes(path) as file:
            content = file.read()
    except READ_ERRORS as error:
        raise IsoglossError(f"{path} cannot be read ({error}); was it copied whole? Copy it again") from None
    if not content:
        raise IsoglossError(f"{path} is empty; expected a Kaldi model or tree: did the command that wrote it fail?")
    if content.startswith(BINARY_MARK):
        return BinaryInput(path, content)
    return TextInput(path, content)
