"""Corpus → cuts.jsonl.gz (checked lhotse CutSet), splits.json, left_out.tsv."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from isogloss.config import PrepareConfig
from isogloss.corpora.check import check
from isogloss.corpora.item import Item
from isogloss.corpora.splits import Split, left_out_part, splits
from isogloss.stages.ledger import done, is_done, replacing, stamp, write_json
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from lhotse import CutSet

logger = logging.getLogger(__name__)


def prepare(items: list[Item], out: Path, config: PrepareConfig) -> Path:
    """Check every clip, fold the rest; returns `out`.

    Writes out/cuts.jsonl.gz, out/splits.json (split name → use → utterance ids), out/left_out.tsv (path, reason).
    """
    work = stamp("prepare", config, items=[_seen(item) for item in items])
    if is_done(out, work):
        return out
    checked = check(items, config)
    made = splits(checked.cuts, config)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "cuts.jsonl.gz") as part:
        checked.cuts.to_file(part)
    write_json(out / "splits.json", {name: split.to_dict() for name, split in made.items()})
    with replacing(out / "left_out.tsv") as part:
        part.write_text(
            "path\treason\n" + "".join(f"{path}\t{reason}\n" for path, reason in checked.left_out), encoding="utf-8"
        )
    languages = Counter(cut.supervisions[0].language for cut in checked.cuts)
    logger.info("%s: %s", out, checked.summary())
    return done(out, work, summary=checked.summary(), languages=dict(sorted(languages.items())))


def read_cuts(prepared: Path) -> CutSet:
    """The CutSet of a prepared corpus."""
    from lhotse import CutSet

    path = prepared / "cuts.jsonl.gz"
    if not path.exists():
        raise IsoglossError(f"{path} is not there; run `isogloss prepare` first")
    return CutSet.from_file(path).to_eager()


def read_splits(prepared: Path) -> dict[str, Split]:
    """Split name → Split."""
    path = prepared / "splits.json"
    if not path.exists():
        raise IsoglossError(f"{path} is not there; run `isogloss prepare` first")
    return {name: Split(**lists) for name, lists in json.loads(path.read_text(encoding="utf-8")).items()}


def part_name(split: str, number: int, total: int) -> str:
    """The split of fold model `number` (from 1) of `total`."""
    return f"{split}.part{number}of{total}"


def read_split(prepared: Path, name: str) -> Split:
    """The Split of that name, or what a fold model of it trains on and leaves out (`part_name`)."""
    found = read_splits(prepared)
    if name in found:
        return found[name]
    part = re.fullmatch(r"(.+)\.part(\d+)of(\d+)", name)
    if part is None or part[1] not in found:
        raise IsoglossError(f"no split {name!r} in {prepared}; it has {', '.join(found)}")
    return left_out_part(found[part[1]], read_cuts(prepared), int(part[2]), int(part[3]))


def _seen(item: Item) -> list[object]:
    """What an item's stamp depends on: what the corpus says, and the file's size and time."""
    status = item.path.stat() if item.path.exists() else None
    about = [
        item.id,
        str(item.path.resolve()),
        item.language,
        item.recording,
        item.speaker,
        item.start_seconds,
        item.end_seconds,
    ]
    file = [status.st_size, status.st_mtime_ns] if status else []
    condition = [item.condition] if item.condition else []
    return [*about, item.split, item.fold, *condition, item.out_of_set, len(item.phones), *file]
