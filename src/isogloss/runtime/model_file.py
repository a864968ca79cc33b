"""x.isogloss: one zip that holds everything an answer needs.

    manifest.json   format and version, languages, front end, embedding, back end, sha256 of the other parts, provenance
    network.onnx    features [1, T, D] float32 → embedding [1, E], any T
    backend.npz     the back end's arrays, no pickles
    calibration.npz what makes log-likelihoods of the back end's scores; may be absent

It is read in memory, never unpacked: no links, no code, no network, nothing written; the same on every system.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from isogloss import __version__
from isogloss.config import FrontEndConfig, StageConfig, parse
from isogloss.types import IsoglossError

FORMAT_VERSION = 2  # 2: calibration and open set, which version 1 would leave out of its answers without a word
MANIFEST, NETWORK, BACKEND, CALIBRATION = "manifest.json", "network.onnx", "backend.npz", "calibration.npz"


class OpenSetPoint(StageConfig):
    """When speech is called unknown, and what was measured of that: the fields of `backends.open_set.OpenSet`."""

    threshold: float = Field(description="unknown below this certainty of the calibrated log-likelihoods, nats")
    rate: Literal["reject", "accept"] = Field(
        description="which error rate was stated: of enrolled or unknown languages"
    )
    at_most: float = Field(gt=0, lt=1, description="its value")
    num_known: int = Field(ge=0)
    num_unknown: int = Field(ge=0)
    known_rejected: float | None = Field(description="measured share of enrolled-language utterances called unknown")
    unknown_accepted: float | None = Field(description="measured share of unknown languages taken for an enrolled one")


class Manifest(StageConfig):
    """manifest.json; the other two parts mean nothing without it."""

    format: Literal["isogloss-model"] = "isogloss-model"
    format_version: int = FORMAT_VERSION
    isogloss_version: str = __version__
    languages: tuple[str, ...] = Field(min_length=2)
    front_end: FrontEndConfig
    embedding: str = Field(description="which embedding of the network: far, near_affine or near")
    embedding_dim: int = Field(ge=1, description="E")
    backend: str = Field(description="name of the back end")
    min_speech_frames: int = Field(30, ge=1, description="fewer voiced frames (10 ms) than this: too_short")
    open_set: OpenSetPoint | None = Field(None, description="None: every utterance is of an enrolled language")
    parts: dict[str, str] = Field(description="part → sha256")
    provenance: dict[str, Any] = Field({}, description="corpus, command, commit, licence: whatever the packer knows")


@dataclass(frozen=True)
class ModelFile:
    """A checked model file in memory."""

    manifest: Manifest
    network: bytes
    backend_state: dict[str, np.ndarray]
    calibration_state: dict[str, np.ndarray] | None = None


def write_model_file(
    path: str | os.PathLike[str],
    *,
    languages: list[str],
    front_end: FrontEndConfig,
    embedding: str,
    embedding_dim: int,
    backend: str,
    network: bytes,
    backend_state: dict[str, np.ndarray],
    min_speech_frames: int = 30,
    calibration_state: dict[str, np.ndarray] | None = None,
    open_set: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
) -> Path:
    """Write beside `path`, then rename. The same parts give the same bytes. Returns the path.

    IsoglossError for a field that does not fit or an object array (which only a pickle could hold).
    """
    path = Path(path)
    parts = {NETWORK: network, BACKEND: _npz(backend_state)}
    if calibration_state is not None:
        parts[CALIBRATION] = _npz(calibration_state)
    manifest = parse(
        Manifest,
        {
            "languages": tuple(languages),
            "front_end": front_end,
            "embedding": embedding,
            "embedding_dim": embedding_dim,
            "backend": backend,
            "min_speech_frames": min_speech_frames,
            "open_set": open_set,
            "parts": {name: _sha256(data) for name, data in parts.items()},
            "provenance": provenance or {},
        },
    )
    manifest_bytes = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False).encode()
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {MANIFEST: manifest_bytes, **parts}.items():
                member = zipfile.ZipInfo(name)  # dated 1980 rather than now: equal content, equal bytes
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read and verify: format version, presence and sha256 of every part.

    IsoglossError for a missing file, anything that is not a model file, a newer format, a missing or altered part.
    """
    path = Path(path)
    if path.is_dir():
        raise IsoglossError(f"{path}: a directory; expected one model file (x.isogloss)")
    try:
        archive = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    except FileNotFoundError:
        raise IsoglossError(f"{path}: no such model file; `isogloss pack` writes one") from None
    except OSError as error:
        raise IsoglossError(f"{path}: cannot be opened ({error.strerror}); may you read it?") from None
    except Exception:  # BadZipFile, and what zipfile lets through for a damaged directory
        raise IsoglossError(
            f"{path}: not a model file (not a sound zip archive); was the download cut short, or is it another file?"
        ) from None
    with archive:
        manifest = _read_manifest(path, archive)
        wanted = [NETWORK, BACKEND] + [CALIBRATION] * (CALIBRATION in manifest.parts)
        parts = {name: _read_part(path, archive, name) for name in wanted}
    for name, data in parts.items():
        if _sha256(data) != manifest.parts.get(name):
            raise _damaged(path, name)
    calibration = _arrays(path, CALIBRATION, parts[CALIBRATION]) if CALIBRATION in parts else None
    return ModelFile(manifest, parts[NETWORK], _arrays(path, BACKEND, parts[BACKEND]), calibration)


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    if MANIFEST not in archive.namelist():
        raise IsoglossError(f"{path}: a zip without {MANIFEST}; expected a model file written by `isogloss pack`")
    try:
        values = json.loads(_read_part(path, archive, MANIFEST))
    except ValueError:
        values = None
    if not isinstance(values, dict) or values.get("format") != "isogloss-model":
        raise IsoglossError(f"{path}: its {MANIFEST} is not that of an isogloss model; is it another tool's file?")
    # Before anything else is looked at: a newer manifest may have other fields.
    version = values.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        wanted = values.get("isogloss_version", "?")
        raise IsoglossError(
            f"{path}: written by isogloss {wanted} in format {version}; isogloss {__version__} reads up to format "
            f"{FORMAT_VERSION}: pip install 'isogloss>={wanted}'"
        )
    try:
        return parse(Manifest, values)
    except IsoglossError as error:
        raise IsoglossError(f"{path}: {error}") from None


def _read_part(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        raise IsoglossError(f"{path}: {name} is missing; the file is incomplete: pack or fetch it again") from None
    except Exception:  # BadZipFile, zlib.error, unknown compression …: the bytes are no longer what was written
        raise _damaged(path, name) from None


def _arrays(path: Path, name: str, data: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except ValueError as error:
        raise IsoglossError(f"{path}: {name} holds more than plain arrays ({error}); not loaded") from None


def _damaged(path: Path, name: str) -> IsoglossError:
    return IsoglossError(f"{path}: {name} does not match its checksum; altered or damaged: fetch the file again")


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise IsoglossError(f"back end array {name!r} holds Python objects; expected numbers or fixed-width text")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
