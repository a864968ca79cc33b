"""Accuracy by language, duration and channel: one table for each system."""

from __future__ import annotations

from dataclasses import dataclass

from isogloss.report.results import Duration, Result
from isogloss.report.summary import RunSummary, SystemRun
from isogloss.report.table1 import METRICS, MISSING, condition_name

FEW = 5  # utterances; with fewer a cell is faint
FOR_INTERVAL = 20


@dataclass(frozen=True)
class Cell:
    text: str  # percent, or MISSING
    num: int
    share: float  # 0 … 1, for the shade
    interval: str = ""

    @property
    def few(self) -> bool:
        return self.num < FEW


@dataclass(frozen=True)
class Column:
    condition: str
    title: str  # all, ≤ 1 s, …
    num: int


@dataclass(frozen=True)
class Breakdown:
    """Rows: all languages together, then each; columns: conditions, each whole and by voiced seconds."""

    system: SystemRun
    columns: list[Column]
    rows: list[tuple[str, list[Cell]]]

    @property
    def conditions(self) -> list[tuple[str, int]]:
        """(condition, its number of columns)"""
        names = dict.fromkeys(column.condition for column in self.columns)
        return [(condition_name(name), sum(column.condition == name for column in self.columns)) for name in names]


def breakdown(run: RunSummary, system: SystemRun, backend: str) -> Breakdown | None:
    """None where no condition has counts by language. `open` is left out beside others: its known clips are theirs."""
    found: list[tuple[Column, Duration | Result]] = []
    for condition in run.conditions:
        result = system.result(backend, condition)
        if result is None or not result.per_language or (condition == "open" and found):
            continue
        total = sum(one.num or 0 for one in result.per_language.values())
        found.append((Column(condition, "all", total), result))
        if len(result.durations) > 1:
            found += [(Column(condition, seconds(part), part.num), part) for part in result.durations]
    if not found:
        return None
    languages = list(dict.fromkeys(language for _, part in found for language in part.per_language))
    rows = [
        ("all", [_cell(part.accuracy.value if part.accuracy else None, column.num, part) for column, part in found])
    ]
    for language in languages:
        cells = []
        for _, part in found:
            one = part.per_language.get(language)
            cells.append(_cell(one.recall if one else None, (one.num or 0) if one else 0))
        rows.append((language, cells))
    return Breakdown(system, [column for column, _ in found], rows)


def seconds(part: Duration) -> str:
    """`≤ 1 s`, `1–3 s`, `> 10 s`"""
    if part.up_to_seconds is None:
        return f"> {part.above_seconds:g} s"
    return (
        f"≤ {part.up_to_seconds:g} s" if not part.above_seconds else f"{part.above_seconds:g}–{part.up_to_seconds:g} s"
    )


def _cell(value: float | None, num: int, part: Duration | Result | None = None) -> Cell:
    if value is None:
        return Cell(MISSING, num, 0.0)
    interval = METRICS["accuracy"].interval_text(part.accuracy) if part and num >= FOR_INTERVAL else ""
    return Cell(f"{100 * value:.0f}", num, value, interval)
