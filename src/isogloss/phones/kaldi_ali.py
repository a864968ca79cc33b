"""Kaldi archives of whole numbers per frame: alignments (`ali.*.gz`, transition-ids) and pdf-ids (of ali-to-pdf).

Source: Kaldi's util/kaldi-holder (`BasicVectorHolder<int32>`). An entry is the utterance's name, a space and, in binary,
\\0B, the count and the values, each number after a byte with its size (4); in text the values up to the line's end.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np

from isogloss.phones.hmm.topology import TransitionModel
from isogloss.phones.kaldi_io import BINARY_MARK, READ_ERRORS, open_bytes
from isogloss.types import IsoglossError

Archives = str | Path | Sequence[str | Path]
"""Archives or .scp files: paths, with * and ? if wanted, gzipped or not; `ark:` or `scp:` before them does no harm."""

_NUMBER = np.dtype([("size", "u1"), ("value", "<i4")])
_MAX_NAME_BYTES = 1000
_NOT_ONE = "is it an archive of alignments or pdf-ids?"


def read_alignments(archives: Archives, model: TransitionModel) -> Iterator[tuple[str, np.ndarray]]:
    """(utterance, transition-ids [T] int32), each checked to be one of `model`'s. Raises IsoglossError.

    `model.pdf_of[...]` makes pdf-ids of them, `model.phone_of[...]` phones and `model.phone_segments(...)` segments.
    """
    for path, utterance, alignment in _read_all(archives):
        if len(alignment) and (alignment.min() < 1 or alignment.max() > model.num_transition_ids):
            strange = alignment[(alignment < 1) | (alignment > model.num_transition_ids)][0]
            raise IsoglossError(
                f"{path}, utterance {utterance}: transition-id {strange}, but the model has 1 to "
                f"{model.num_transition_ids}; is final.mdl the model that made the alignment?"
            )
        yield utterance, alignment


def read_pdf_ark(archives: Archives) -> Iterator[tuple[str, np.ndarray]]:
    """(utterance, pdf-ids [T] int32) of archives that hold pdf-ids already. Raises IsoglossError."""
    for path, utterance, pdf_ids in _read_all(archives):
        if len(pdf_ids) and pdf_ids.min() < 0:
            raise IsoglossError(f"{path}, utterance {utterance}: pdf-id {pdf_ids.min()} is below 0; {_NOT_ONE}")
        yield utterance, pdf_ids


def _read_all(archives: Archives) -> Iterator[tuple[Path, str, np.ndarray]]:
    came_from: dict[str, Path] = {}
    paths = _paths(archives)
    for path, utterance, values in chain.from_iterable(
        _read_scp(path) if is_list else _read_archive(path) for path, is_list in paths
    ):
        if utterance in came_from:
            raise IsoglossError(f"utterance {utterance} is both in {came_from[utterance]} and in {path}; leave one out")
        came_from[utterance] = path
        yield path, utterance, values
    if not came_from:
        names = ", ".join(str(path) for path, _ in paths)
        raise IsoglossError(f"{names[:200]}: no utterance in it; did the alignment fail? See its log")


def _paths(archives: Archives) -> list[tuple[Path, bool]]:
    """(path, whether it is an scp list)."""
    found = []
    for item in [archives] if isinstance(archives, str | Path) else archives:
        prefix, colon, rest = str(item).partition(":")
        kind = prefix.split(",")[0]
        name = rest if colon and kind in ("ark", "scp") else str(item)
        if name.endswith("|"):
            raise IsoglossError(
                f"{name!r} is a command; name the files themselves, such as ali.*.gz: they are unzipped here"
            )
        paths = [Path(name)] if Path(name).exists() else [Path(each) for each in sorted(glob.glob(name))]
        if not paths:
            raise IsoglossError(f"no file {name}; expected Kaldi archives such as exp/tri4b_ali/ali.*.gz")
        found += [(path, kind == "scp" or path.suffix == ".scp") for path in paths]
    return found


def _read_archive(path: Path) -> Iterator[tuple[Path, str, np.ndarray]]:
    utterance = ""
    try:
        with open_bytes(path) as file:
            while utterance := _name(file, path):
                yield path, utterance, _values(file, path, utterance)
    except READ_ERRORS as error:
        raise _broken(path, utterance or "the first", str(error)) from None


def _read_scp(path: Path) -> Iterator[tuple[Path, str, np.ndarray]]:
    """Lines `utterance archive:offset`; paths are relative to the current folder, as Kaldi has it."""
    with open_bytes(path) as file:
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        utterance, _, place = line.strip().partition(" ")
        name, colon, offset = place.strip().rpartition(":")
        if not colon or not offset.isdigit():
            raise IsoglossError(f"{path} line {number}: {line[:80]!r}, expected 'utterance archive:offset'")
        try:
            with open_bytes(Path(name)) as file:
                file.seek(int(offset))
                yield Path(name), utterance, _values(file, Path(name), utterance)
        except READ_ERRORS as error:
            raise _broken(Path(name), utterance, str(error)) from None


def _name(file: IO[bytes], path: Path) -> str:
    """The next utterance's name; empty at the end of the file."""
    name = b""
    while byte := file.read(1):
        if byte in b" \t" and name:
            return _text(name, path)
        if not byte.isspace():
            name += byte
        elif name:
            break
        if len(name) > _MAX_NAME_BYTES:
            break
    if name:
        raise IsoglossError(f"{path}: {_shown(name)} instead of an utterance's name and a space; {_NOT_ONE}")
    return ""


def _text(name: bytes, path: Path) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        raise IsoglossError(f"{path}: {_shown(name)} instead of an utterance's name; {_NOT_ONE}")
    return text


def _values(file: IO[bytes], path: Path, utterance: str) -> np.ndarray:
    """[T] int32"""
    if (first := file.read(1)) != BINARY_MARK[:1]:
        line = first + (b"" if first == b"\n" else file.readline())
        try:
            return np.array([int(value) for value in line.split()], dtype=np.int32)
        except (ValueError, OverflowError):
            raise IsoglossError(
                f"{path}, utterance {utterance}: {_shown(line)} instead of whole numbers; {_NOT_ONE}"
            ) from None
    head = file.read(6)  # B, the size of the count and the count
    count = int.from_bytes(head[2:], "little", signed=True)
    if len(head) < 6:
        raise _broken(path, utterance, "no frames")
    if head[:2] != b"B\4" or count < 0:
        raise IsoglossError(f"{path}, utterance {utterance}: {_shown(head)} instead of a count of frames; {_NOT_ONE}")
    packed = file.read(count * _NUMBER.itemsize)
    if len(packed) < count * _NUMBER.itemsize:
        raise _broken(path, utterance, f"{len(packed) // _NUMBER.itemsize} of {count} frames")
    numbers = np.frombuffer(packed, dtype=_NUMBER)
    if (numbers["size"] != 4).any():
        raise IsoglossError(f"{path}, utterance {utterance}: not a list of whole numbers of 4 bytes; {_NOT_ONE}")
    return numbers["value"].astype(np.int32)


def _broken(path: Path, utterance: str, what: str) -> IsoglossError:
    return IsoglossError(f"{path} ends or breaks within or after utterance {utterance} ({what}); was it copied whole?")


def _shown(content: bytes) -> str:
    return ascii(content[:40].decode("latin-1"))
