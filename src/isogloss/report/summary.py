"""What one run measured: metrics.json, the margins and the training logs beside it, checked, in one RunSummary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from isogloss.systems import SYSTEMS
from isogloss.types import IsoglossError

LOG_COLUMNS = (
    "step", "epoch", "loss", "loss_language", "loss_phone", "phone_accuracy", "learning_rate",
    "p_mean", "beta_p_mean", "beta_p_max", "beta_p_q05", "beta_p_median", "beta_p_q95", "margin_mean",
    "valid_loss", "valid_accuracy",
)  # fmt: skip
LANGUAGE_COLUMNS = ("p_by_language", "beta_p_by_language")  # lists, a number or null for each language

FileStem = Annotated[str, Field(pattern=r"^[\w.+-]+$")]  # becomes part of a file name


def _none_as_empty(value: Any) -> Any:
    return {} if value is None else value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


class Interval(_Part):
    """A measured number and its 95 % interval. Cavg, EER and accuracy are fractions, never percentages."""

    value: float | None = Field(default=None, ge=0, le=1)
    low: float | None = None
    high: float | None = None


class Confusion(_Part):
    languages: list[str]
    counts: list[list[int]]  # [truth][decision]

    @model_validator(mode="after")
    def _is_square(self) -> Confusion:
        shape = [len(row) for row in self.counts]
        if shape != [len(self.languages)] * len(self.languages):
            raise ValueError(f"counts has rows of {shape} numbers for {len(self.languages)} languages")
        return self


class Det(_Part):
    p_miss: list[float]
    p_fa: list[float]

    @model_validator(mode="after")
    def _is_paired(self) -> Det:
        if len(self.p_miss) != len(self.p_fa):
            raise ValueError(f"{len(self.p_miss)} values of p_miss for {len(self.p_fa)} of p_fa")
        return self


class LanguageRecall(_Part):
    recall: float | None = None
    num: int | None = None


class Result(_Part):
    """One system with one back end under one condition."""

    cavg_olr: Interval | None = None
    cavg_min: Interval | None = None
    cavg_actual: Interval | None = None
    eer: Interval | None = None
    accuracy: Interval | None = None
    num_utterances: int | None = None
    num_trials: int | None = None
    num_out_of_set: int | None = None
    num_no_speech: int | None = None
    languages_enrolled: list[str] | None = None
    languages_tested: list[str] | None = None
    confusion: Confusion | None = None
    per_language: Annotated[dict[str, LanguageRecall], BeforeValidator(_none_as_empty)] = {}
    auroc_out_of_set: float | None = None
    det: Det | None = None

    def metric(self, name: str) -> Interval | None:
        """The metric of that name, or None where it was not measured."""
        interval: Interval | None = getattr(self, name)
        return None if interval is None or interval.value is None else interval


class SystemRun(_Part):
    id: FileStem
    label: str = ""
    m: float | None = None
    beta: float | None = None
    p_mean: float | None = None
    folds: list[int | str] | None = None
    seeds: list[int] | None = None
    seconds_train: float | None = None
    backends: Annotated[dict[str, dict[str, Result | None]], BeforeValidator(_none_as_empty)] = {}

    @model_validator(mode="before")
    @classmethod
    def _label_of_table_1(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("label"):
            return raw
        known = SYSTEMS.get(str(raw.get("id")))
        return {**raw, "label": known.label if known else str(raw.get("id", ""))}

    def result(self, backend: str, condition: str) -> Result | None:
        return self.backends.get(backend, {}).get(condition)


class MarginBatch(_Part):
    step: int
    beta_p: list[float]  # one per training sample of the mini-batch


class Histogram(_Part):
    edges: list[float]
    counts: list[int]

    @model_validator(mode="after")
    def _edges_enclose_counts(self) -> Histogram:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"{len(self.edges)} edges for {len(self.counts)} counts; expected one edge more")
        return self


class Margins(_Part):
    """β·p of a few mini-batches and of the whole training: Figure 2 of the paper."""

    system: str = ""
    beta: float | None = None
    definition: Annotated[dict[str, Any], BeforeValidator(_none_as_empty)] = {}
    batches: list[MarginBatch] = []
    histogram: Histogram | None = None
    mean: float | None = None
    max: float | None = None
    languages: list[str] = []  # the names of what log.jsonl counts by language


class RunSummary(_Part):
    """Everything the page shows. `margins` and `logs` are keyed by system id."""

    title: str = "isogloss report"
    corpus: str = "an unnamed corpus"
    paper_data: bool = False
    command: str | None = None
    commit: str | None = None
    machine: str | None = None
    created: str | None = None
    config: dict[str, Any] | None = None
    conditions: list[FileStem] = Field(min_length=1)
    backend: str | None = None  # the one that the headline and Table 1 show
    backend_chosen_by: str | None = None
    languages: list[str] = []
    systems: list[SystemRun] = Field(min_length=1)
    figures: Annotated[dict[str, dict[str, str | None] | None], BeforeValidator(_none_as_empty)] = {}
    curves: Annotated[dict[str, str | None], BeforeValidator(_none_as_empty)] = {}
    warnings: list[str] = []
    margins: dict[str, Margins] = Field(default={}, exclude=True)
    logs: dict[str, dict[str, np.ndarray]] = Field(default={}, exclude=True)  # as `_read_log` has them

    @model_validator(mode="after")
    def _names_agree(self) -> RunSummary:
        ids = [system.id for system in self.systems]
        if len(set(ids)) != len(ids):
            raise ValueError(f"systems repeats an id: {', '.join(ids)}")
        for system in self.systems:
            for backend, results in system.backends.items():
                if strange := set(results) - set(self.conditions):
                    raise ValueError(
                        f"system {system.id}, back end {backend}: {sorted(strange)} not in conditions {self.conditions}"
                    )
        return self

    @property
    def backends(self) -> list[str]:
        """Every back end that any system was tested with; the main one first, else `olr2020`, the paper's."""
        found = list(dict.fromkeys(name for system in self.systems for name in system.backends))
        return sorted(found, key=lambda name: name != (self.backend or "olr2020"))


def load_run(metrics_json: Path) -> RunSummary:
    """Read metrics.json and the margins.json and log.jsonl files it names (relative to its own folder).

    A named file that does not exist becomes a warning on the page. Raises IsoglossError, naming file and key, for
    anything malformed.
    """
    metrics_json = Path(metrics_json)
    raw = _read_json(metrics_json)
    if isinstance(raw, dict):
        raw = {k: v for k, v in raw.items() if v is not None and k not in ("margins", "logs")}
    run = _validated(RunSummary, raw, metrics_json)
    warnings = list(run.warnings)
    margins: dict[str, Margins] = {}
    logs: dict[str, dict[str, np.ndarray]] = {}
    for system, name in (run.figures.get("margins") or {}).items():
        if path := _existing(metrics_json, name, f"margins of system {system}", warnings):
            margins[system] = _validated(Margins, _read_json(path), path)
    for system, name in run.curves.items():
        if path := _existing(metrics_json, name, f"training log of system {system}", warnings):
            logs[system] = _read_log(path)
    return run.model_copy(update={"margins": margins, "logs": logs, "warnings": warnings})


def _existing(metrics_json: Path, name: str | None, what: str, warnings: list[str]) -> Path | None:
    if name is None:
        return None
    if (path := metrics_json.parent / name).is_file():
        return path
    warnings.append(f"The {what} ({name}) is not there, so its figure is missing.")
    return None


def _read_json(path: Path) -> Any:
    try:
        # NaN and Infinity, which JSON does not know but Python writes, mean "not measured"
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except OSError as error:
        raise IsoglossError(f"{path}: cannot be read ({error.strerror}); run the stage that writes it first") from None
    except ValueError as error:
        raise IsoglossError(
            f"{path}: not JSON ({error}); was it cut off while being written? Run the stage that writes it again"
        ) from None


def _validated(kind: type[Any], raw: Any, path: Path) -> Any:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
        seen = "" if first["type"] in ("missing", "value_error") else f", seen {str(first['input'])[:60]!r}"
        raise IsoglossError(
            f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}{seen}; "
            "was the file edited by hand or written by another version? Run the stage that writes it again"
        ) from None


def _read_log(path: Path) -> dict[str, np.ndarray]:
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
