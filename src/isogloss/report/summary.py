"""What one run measured: metrics.json, the margins and the training logs beside it, checked, in one RunSummary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from isogloss.report.margins import Margins
from isogloss.report.results import Part, Result, none_as_empty
from isogloss.report.training_log import read_log
from isogloss.systems import SYSTEMS, System
from isogloss.types import IsoglossError

FileStem = Annotated[str, Field(pattern=r"^[\w.+-]+$")]  # becomes part of a file name


class Enrolment(Part):
    """What the back ends were fitted on."""

    by_language: dict[str, int] = Field(default={})
    num_seen: int | None = None  # utterances that the network was trained on, too
    copies: bool = False  # their training copies too
    how: str | None = None  # in the back end's words
    calibrated: list[str] | None = None  # back ends, on the validation utterances


class EmbeddingMap(Part):
    """Embeddings of test clips as points in the plane."""

    x: list[float]
    y: list[float]
    language: list[int]  # index into `languages`
    languages: list[str]
    num_clips: int
    neighbours: float  # share of the five nearest in the whole space that are of a clip's own language
    chance: float

    @model_validator(mode="after")
    def _is_of_equal_length(self) -> EmbeddingMap:
        if not len(self.x) == len(self.y) == len(self.language):
            raise ValueError(
                f"{len(self.x)} x, {len(self.y)} y and {len(self.language)} languages; expected one a clip"
            )
        return self


class SystemRun(Part):
    """A row of the tables: a system, with one or several seeds."""

    id: FileStem
    system: str = ""  # of Table 1; default: the id
    label: str = ""
    m: float | None = None
    beta: float | None = None
    p_mean: float | None = None
    folds: list[int | str] | None = None
    seeds: list[int] | None = None
    scored_by: str | None = None  # its only back end, of a row that is no single network: it stands beside all others
    seconds_train: float | None = None
    enrolment: Enrolment | None = None
    embeddings: EmbeddingMap | None = None
    backends: Annotated[dict[str, dict[str, Result | None]], BeforeValidator(none_as_empty)] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _label_of_table_1(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        name = str(raw.get("system") or raw.get("id", ""))
        label = raw.get("label") or (SYSTEMS[name].label if name in SYSTEMS else name)
        return {**raw, "system": name, "label": label}

    @property
    def of_table_1(self) -> System | None:
        return SYSTEMS.get(self.system)

    def results(self, backend: str) -> dict[str, Result | None]:
        """Condition → figures."""
        return self.backends.get(self.scored_by or backend, {})

    def result(self, backend: str, condition: str) -> Result | None:
        return self.results(backend).get(condition)


class Difference(Part):
    """a less b, of the same recordings; the mean over the seeds."""

    condition: str
    metric: str
    a: str
    b: str
    value: float
    low: float
    high: float
    p_value: float


class Shared(Part):
    """What two parts of the data have in common."""

    recordings: int = 0
    speakers: int = 0
    duplicates: int = 0
    examples: list[Any] = Field(default=[])


class ChannelProbe(Part):
    """How well a classifier tells the languages by what is not speech."""

    accuracy: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    num_utterances: int | None = None


class Leaks(Part):
    """What the leak check found."""

    shared: Annotated[dict[str, Shared], BeforeValidator(none_as_empty)] = Field(default={})
    channel_probe: ChannelProbe | None = None


class Made(Part):
    """How something was made."""

    command: str
    commit: str | None = None
    machine: str | None = None
    created: str | None = None


class RunSummary(Part):
    """Everything the page shows. `margins` and `logs` are keyed by system id."""

    title: str = "isogloss report"
    corpus: str = "an unnamed corpus"
    paper_data: bool = False
    command: str | None = None
    commit: str | None = None
    machine: str | None = None
    created: str | None = None
    trained_by: list[Made] = Field(default=[])  # where that was another command than the one that measured
    versions: dict[str, str] = Field(default={})
    config: dict[str, Any] | None = None
    conditions: list[FileStem] = Field(min_length=1)
    backend: str | None = None  # the one that the headline and Table 1 show
    backend_chosen_by: str | None = None
    languages: list[str] = Field(default=[])
    unknown_languages: dict[str, int] = Field(default={})  # clips
    leaks: Leaks | None = None
    differences: list[Difference] = Field(default=[])  # of the main back end
    systems: list[SystemRun] = Field(min_length=1)
    figures: Annotated[dict[str, dict[str, str | None] | None], BeforeValidator(none_as_empty)] = Field(default={})
    curves: Annotated[dict[str, str | None], BeforeValidator(none_as_empty)] = Field(default={})
    warnings: list[str] = Field(default=[])
    margins: dict[str, Margins] = Field(default={}, exclude=True)
    logs: dict[str, dict[str, np.ndarray]] = Field(default={}, exclude=True)  # as `read_log` has them

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
        """Every back end that any network was tested with; the main one first, else `olr2020`, the paper's."""
        found = dict.fromkeys(name for system in self.systems if not system.scored_by for name in system.backends)
        some = list(found) or [system.scored_by for system in self.systems if system.scored_by][:1]
        return sorted(some, key=lambda name: name != (self.backend or "olr2020"))

    def rows(self, backend: str) -> list[SystemRun]:
        """The systems of a table with a part for each back end: those that have but one stand in the first part."""
        return [system for system in self.systems if not system.scored_by or backend == self.backends[0]]


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
            logs[system] = read_log(path)
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
