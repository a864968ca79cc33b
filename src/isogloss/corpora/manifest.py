"""A table of clips: TSV, CSV or JSONL with a line per clip. The licence is that of your recordings.

Columns: `path` (relative to the table's folder, or absolute) and `language`; optional `id`, `speaker`, `recording`,
`start` and `end` (seconds), `split` (train, dev, enrol or test), `fold` (integer), `condition` (a test clip recorded for it,
such as channel or noisy: it is tested under that condition alone), `use` (`out_of_set` marks an unknown
language; anything else is a target) and, in JSONL, `phones` ([[symbol, start, end], …]). Other columns are ignored.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isogloss.corpora.item import Item, utterance_id
from isogloss.types import IsoglossError

COLUMNS = (
    "path",
    "language",
    "id",
    "speaker",
    "recording",
    "start",
    "end",
    "split",
    "fold",
    "condition",
    "use",
    "phones",
)
SPLITS = ("train", "dev", "enrol", "test")


def items(path: Path, columns: dict[str, str] | None = None) -> list[Item]:
    """The clips of a manifest; `columns` maps our column names to the file's, such as `{"recording": "video"}`."""
    path = Path(path)
    names = {column: column for column in COLUMNS} | (columns or {})
    found = [_item(row, line, path, names) for line, row in rows(path)]
    if not found:
        raise IsoglossError(f"manifest {path} has no line of data")
    return found


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) of a table of clips; IsoglossError if it cannot be read."""
    if not path.is_file():
        raise IsoglossError(f"manifest {path} is not a file; expected a .tsv, .csv or .jsonl table of clips")
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            if path.suffix == ".jsonl":
                for line_number, line in enumerate(file, 1):
                    if line.strip():
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise IsoglossError(
                                f"{path}, line {line_number}: {line.strip()[:40]!r}; expected an object {{…}}"
                            )
                        yield line_number, row
            else:
                reader = csv.DictReader(
                    file, delimiter="," if path.suffix == ".csv" else "\t", quoting=csv.QUOTE_MINIMAL
                )
                for row in reader:
                    yield reader.line_num, row
        except (json.JSONDecodeError, UnicodeDecodeError, csv.Error) as error:
            raise IsoglossError(
                f"manifest {path} cannot be read: {error}; is it a UTF-8 {path.suffix or 'TSV'} table?"
            ) from None


def clip(
    row: dict[str, Any], required: tuple[str, ...], names: dict[str, str], manifest: Path, where: str
) -> tuple[str, Path, float, float | None]:
    """(id, audio file, start, end in seconds) of a row; IsoglossError where a required column has no value, or for a bad span."""
    for column in required:
        if not row.get(names[column]):
            near = difflib.get_close_matches(names[column], [str(key) for key in row], n=1)
            hint = f"; is it called {near[0]!r}?" if near else f"; the columns are {', '.join(map(str, row))}"
            raise IsoglossError(f"{where}: no {names[column]!r}{hint}")
    audio = manifest.parent / str(row[names["path"]])
    start, end = number(row.get(names["start"]), "start", where) or 0.0, number(row.get(names["end"]), "end", where)
    if start < 0 or (end is not None and end <= start):
        raise IsoglossError(f"{where}: span {start} to {end} s; expected 0 ≤ start < end, in seconds")
    given = row.get(names["id"])
    name = "_".join(str(given).split()).replace("#", "_") if given else utterance_id(audio, manifest.parent, start, end)
    return name, audio, start, end


def _item(row: dict[str, Any], line: int, manifest: Path, names: dict[str, str]) -> Item:
    where = f"{manifest}, line {line}"
    name, audio, start, end = clip(row, ("path", "language"), names, manifest, where)
    value = {column: row.get(name) or None for column, name in names.items()}
    split, fold = value["split"], number(row.get(names["fold"]), "fold", where)
    if split is not None and split not in SPLITS:
        raise IsoglossError(f"{where}: split {split!r}; expected one of {', '.join(SPLITS)}")
    if value["condition"] and split != "test":
        raise IsoglossError(
            f"{where}: condition {value['condition']!r} of a clip of split {split}; only a test clip has one"
        )
    out_of_set = value["use"] == "out_of_set"
    return Item(
        id=name,
        path=audio,
        language=str(value["language"]),
        recording=str(value["recording"] or value["speaker"] or utterance_id(audio, manifest.parent)),
        speaker=value["speaker"],
        start_seconds=start,
        end_seconds=end,
        split=split,
        fold=None if fold is None or out_of_set else int(fold),
        condition=value["condition"],
        out_of_set=out_of_set,
        phones=[(symbol, float(begin), float(stop)) for symbol, begin, stop in value["phones"] or []],
    )


def number(value: Any, column: str, where: str) -> float | None:
    """The number in a column, None if it is empty; IsoglossError if it is none."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise IsoglossError(f"{where}: {column} {value!r} is not a number") from None
