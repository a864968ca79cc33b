"""Whitespace-separated text of millions of lines, a few megabytes at a time: fields, and the line each stands on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isogloss.types import IsoglossError

_CHUNK_BYTES = 1 << 24
_IS_SPACE = np.isin(np.arange(256), np.frombuffer(b" \t\n\r\v\f", dtype=np.uint8))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Fields:
    """Some consecutive lines of a file, without the blank ones."""

    path: Path
    fields: list[bytes]
    line: np.ndarray  # [n] number of each line, from 1
    count: np.ndarray  # [n] fields on it

    def wrong(self, count: int) -> int | None:
        """Index of the first line that has not `count` fields."""
        bad = np.flatnonzero(self.count != count)
        return int(bad[0]) if len(bad) else None

    def decoded(self) -> list[str]:
        """The fields as text. Raises IsoglossError for bytes that are not UTF-8."""
        return decoded(self.fields, self.path)

    def text(self, index: int) -> str:
        """A line's fields, joined by spaces."""
        begin = int(self.count[:index].sum())
        return b" ".join(self.fields[begin : begin + int(self.count[index])]).decode(errors="replace")


def read_fields(path: str | Path) -> Iterator[Fields]:
    """The lines of a UTF-8 text file in order, in chunks; the first chunk is the first line that is not blank.

    Raises IsoglossError where the file cannot be read.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            number = 1
            for text in file:  # the first line with something on it: a header, perhaps
                if fields := text.removeprefix(_BYTE_ORDER_MARK).split():
                    yield Fields(path, fields, np.array([number]), np.array([len(fields)]))
                    number += 1
                    break
                number += 1
            while text := file.read(_CHUNK_BYTES):
                text += file.readline()
                count = _fields_per_line(text)
                lines = number + np.flatnonzero(count)
                number += text.count(b"\n")
                if len(lines):
                    yield Fields(path, text.split(), lines, count[count > 0])
    except OSError as error:
        raise IsoglossError(f"{path}: cannot be read as text ({error})") from None


def _fields_per_line(text: bytes) -> np.ndarray:
    """[lines] of a text that begins at the beginning of a line."""
    characters = np.frombuffer(text, dtype=np.uint8)
    space = _IS_SPACE[characters]
    begins = ~space
    begins[1:] &= space[:-1]
    ends = np.append(np.flatnonzero(characters == ord("\n")), len(text))
    return np.diff(np.searchsorted(np.flatnonzero(begins), ends), prepend=0)


class Names:
    """Names in order of appearance, and their numbers."""

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._number)

    def numbers(self, names: list[bytes]) -> np.ndarray:
        """[n] int64; a new name gets the next number."""
        number = self._number
        return np.fromiter((number.setdefault(name, len(number)) for name in names), np.int64, len(names))

    def decoded(self, path: Path) -> list[str]:
        """All names as text. Raises IsoglossError for bytes that are not UTF-8."""
        return decoded(list(self._number), path)


def decoded(names: list[bytes], path: Path) -> list[str]:
    """Names as text. Raises IsoglossError for bytes that are not UTF-8."""
    try:
        return [name.decode() for name in names]
    except UnicodeDecodeError as error:
        raise IsoglossError(f"{path}: cannot be read as text ({error})") from None


def check_names(names: Iterable[str]) -> None:
    """Raises IsoglossError for names that would not come back as one field."""
    for name in names:
        if len(name.split()) != 1 or name.strip() != name:
            raise IsoglossError(f"{name!r} is empty or has whitespace in it, which separates the fields here")


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Written beside and renamed."""
    beside = Path(f"{path}.part")
    with open(beside, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    os.replace(beside, path)
