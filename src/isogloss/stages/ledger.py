"""Which work is done: every stage leaves a `stage.json` in its folder, written last, that says what it was made from.

A stage whose stamp (its options and the stamps of its inputs) has not changed is skipped; anything else is made again.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isogloss import __version__
from isogloss.config import StageConfig, fingerprint
from isogloss.types import IsoglossError

STAMP = "stage.json"


def stamp(stage: str, config: StageConfig | dict[str, Any], *inputs: Path, **more: Any) -> str:
    """Fingerprint of a stage's work: its options, and what each input folder says it was made from."""
    options = config.model_dump(mode="json") if isinstance(config, StageConfig) else config
    return fingerprint([__version__, stage, options, [made_from(path) for path in inputs], more])


def made_from(folder: Path) -> str:
    """The stamp of a finished stage's folder; an IsoglossError where it is unfinished."""
    path = folder / STAMP
    if not path.exists():
        raise IsoglossError(f"{folder} holds no finished stage (no {STAMP}); run the stage that makes it again")
    return str(json.loads(path.read_text(encoding="utf-8"))["stamp"])


def is_done(folder: Path, stamp: str) -> bool:
    """True if `folder` holds the finished work of exactly this stamp."""
    return (folder / STAMP).exists() and made_from(folder) == stamp


def done(folder: Path, stamp: str, **about: Any) -> Path:
    """Mark the work in `folder` as finished; `about` is for people who open the file."""
    write_json(folder / STAMP, {"stamp": stamp, "isogloss": __version__, **about})
    return folder


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as part:
        part.write_text(json_text(value) + "\n", encoding="utf-8")


def json_text(value: Any) -> str:
    """JSON for people and for any reader: NaN and infinities, which JSON has no word for, are null."""
    return json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """`with replacing(path) as part`: write to `part`; it becomes `path` if the block ends well, and vanishes if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # before the ending, so that writers that look at it (np.savez, torch.save) do not add another
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise IsoglossError(
                f"disk full while writing {path}; nothing was replaced: free some space and run it again"
            ) from error
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise
