"""Checkpoints: written beside and renamed, the last few kept, a corrupt one skipped with a word."""

from __future__ import annotations

import io
import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)


def save(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write `state` as step `step`; then remove all of later steps, and all but the newest `keep` of the others.

    A run goes on at the newest checkpoint that can be read, so those of later steps could not be: they would take the places
    of good ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.pt"
    part = path.with_suffix(".part")
    packed = io.BytesIO()  # torch's own writer hides a full disk behind an error of its zip file
    torch.save(state, packed)
    try:
        part.write_bytes(packed.getbuffer())
        with open(part, "rb") as file:  # on the disk before it is renamed, or a power cut could leave an empty file
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, path)
    found = sorted(folder.glob("step-*.pt"))
    place = found.index(path) + 1
    for other in found[: max(0, place - keep)] + found[place:]:
        other.unlink()
    return path


def clear(folder: Path) -> None:
    """Remove every checkpoint: those of a run with other options would count as newer than the first ones of this run."""
    for path in folder.glob("step-*.pt"):
        path.unlink()


def latest(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The newest checkpoint that can be read and was made by a run with this `fingerprint`; None if there is none."""
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        try:
            state = _read(path)
        # a flipped bit may raise anything: UnicodeDecodeError, KeyError, zlib.error
        except Exception as error:
            log.warning("skipped checkpoint %s, which cannot be read (%s: %s)", path, type(error).__name__, error)
            continue
        if state["fingerprint"] == fingerprint:
            return state
        log.warning("skipped checkpoint %s of a run with other data or options", path)
    return None


def newest(folder: Path) -> Path | None:
    """Where the newest checkpoint lies, readable or not."""
    return max(folder.glob("step-*.pt"), default=None)


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as packed:  # torch does not look at the checksums
        if broken := packed.testzip():
            raise zipfile.BadZipFile(f"{broken} has changed since it was written")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or "fingerprint" not in state:
        raise zipfile.BadZipFile("it holds something else")
    return state
