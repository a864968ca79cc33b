"""log.jsonl of a training, as columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.types import IsoglossError

LOG_COLUMNS = (
    "step", "epoch", "loss", "loss_language", "loss_phone", "phone_accuracy", "learning_rate",
    "p_mean", "beta_p_mean", "beta_p_max", "beta_p_q05", "beta_p_median", "beta_p_q95", "margin_mean",
    "valid_loss", "valid_accuracy",
)  # fmt: skip
LANGUAGE_COLUMNS = ("p_by_language", "beta_p_by_language")  # lists, a number or null for each language


def read_log(path: Path) -> dict[str, np.ndarray]:
    """log.jsonl → float64 arrays, NaN where not logged: [num_lines] for each of LOG_COLUMNS, [num_lines, C] for each of
    LANGUAGE_COLUMNS, C the most languages that any line has.
    """
    columns: dict[str, list[float]] = {name: [] for name in LOG_COLUMNS}
    lists: dict[str, list[list[float]]] = {name: [] for name in LANGUAGE_COLUMNS}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            if not isinstance(line, dict):
                raise ValueError("expected an object")
        except ValueError as error:
            raise IsoglossError(
                f"{path}: line {number} is no JSON object ({error}); a killed training leaves half a line: delete it"
            ) from None
        where = f"{path}: line {number}"
        for name, values in columns.items():
            values.append(_number(line.get(name), name, where))
        for name, rows in lists.items():
            seen = line.get(name)
            if seen is not None and not isinstance(seen, list):
                raise IsoglossError(f"{where}: {name}: expected a list or null, seen {str(seen)[:60]!r}")
            rows.append([_number(one, name, where) for one in seen or []])
    return {name: np.asarray(values) for name, values in columns.items()} | {
        name: _padded(rows) for name, rows in lists.items()
    }


def _number(seen: Any, name: str, where: str) -> float:
    if seen is not None and (isinstance(seen, bool) or not isinstance(seen, int | float)):
        raise IsoglossError(f"{where}: {name}: expected a number or null, seen {str(seen)[:60]!r}")
    return np.nan if seen is None else float(seen)


def _padded(rows: list[list[float]]) -> np.ndarray:
    """[len(rows), most of them], NaN where a row is shorter."""
    array = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for values, row in zip(rows, array, strict=True):
        row[: len(values)] = values
    return array
