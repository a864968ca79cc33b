"""What the tables of the page say, as text ready to be typeset."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from isogloss.report.results import Error, OperatingPoint, Result
from isogloss.report.summary import RunSummary, SystemRun
from isogloss.report.table1 import METRICS, MISSING, OPEN_METRICS, Metric, condition_name
from isogloss.types import OUT_OF_SET

SHOWN = ("cavg_min", "cavg_actual", "cavg_olr", "cavg_olr_floored", "eer", "accuracy", "cllr", "ece")
MOVED = 0.002  # by outlying scores: where the official Cavg is further from the floored one, both are shown


@dataclass(frozen=True)
class ConditionTable:
    """The closed-set metrics of one condition: a group of rows per back end, and recall per language."""

    condition: str
    material: str
    notes: list[str]
    metrics: list[Metric]  # the columns
    # back end, its rows: system, (value, spread, interval) per metric
    groups: list[tuple[str, list[tuple[SystemRun, list[tuple[str, str, str]]]]]]
    recall_languages: list[tuple[str, str]]  # language, number of utterances
    recall: list[tuple[SystemRun, list[str]]]


@dataclass(frozen=True)
class ErrorTable:
    """The surest errors of one system under one condition."""

    condition: str
    rows: list[tuple[Error, str, str, str]]  # error, spoken, path below the folder, link to the file


def condition_table(run: RunSummary, condition: str, backend: str) -> ConditionTable:
    results = [r for name in run.backends for s in run.rows(name) if (r := s.result(name, condition))]
    hidden = set() if any(_moved(result) for result in results) else {"cavg_olr_floored"}
    shown = [METRICS[name] for name in SHOWN if name not in hidden and any(r.metric(name) for r in results)]
    groups = []
    for name in run.backends:
        rows = [
            (system, [_texts(result, metric) for metric in shown])
            for system in run.rows(name)
            if (result := system.result(name, condition))
        ]
        if rows:
            groups.append((name, rows))
    recalls = [(s, r.per_language) for s in run.systems if (r := s.result(backend, condition)) and r.per_language]
    num = {language: one.num for _, recall in reversed(recalls) for language, one in recall.items()}
    languages = list(dict.fromkeys(language for _, recall in recalls for language in recall))
    return ConditionTable(
        condition=condition,
        material=_material(results),
        notes=_enrolment_notes(results),
        metrics=shown,
        groups=groups,
        recall_languages=[(x, MISSING if num[x] is None else f"{num[x]:,}") for x in languages],
        recall=[(s, [_rounded(r[x].recall, 1, 100) if x in r else MISSING for x in languages]) for s, r in recalls],
    )


def error_tables(run: RunSummary, system: SystemRun, backend: str) -> list[ErrorTable]:
    """One for each condition with errors; the recordings' common folder is left out of their paths."""
    found = [(c, r.worst) for c in run.conditions if (r := system.result(backend, c)) and r.worst]
    below = recordings_folder(run)
    tables = []
    for condition, errors in found:
        rows = []
        for error in errors:
            spoken = error.spoken if error.spoken != OUT_OF_SET else f"{error.language or 'unknown'} (not enrolled)"
            path = error.path or error.recording or error.clip
            short = os.path.relpath(path, below) if below and error.path else path
            link = PurePath(error.path).as_uri() if error.path and os.path.isabs(error.path) else ""
            if link and error.start:
                link += f"#t={error.start:.2f}"
                short += f" from {error.start:.2f} s"
            rows.append((error, spoken, short, link))
        tables.append(ErrorTable(condition, rows))
    return tables


def recordings_folder(run: RunSummary) -> str:
    """The folder that all recordings of errors lie under; empty where there is none."""
    results = [r for s in run.systems for of in s.backends.values() for r in of.values() if r]
    paths = {os.path.dirname(e.path) for r in results for e in r.worst if e.path and os.path.isabs(e.path)}
    common = os.path.commonpath(paths) if paths else ""
    return "" if common == os.sep else common


def open_set_rows(
    run: RunSummary,
) -> list[tuple[str, list[tuple[SystemRun, OperatingPoint | None, list[tuple[str, str, str]]]]]]:
    """Back end, its systems with what their thresholds do to unknown languages, and (value, spread, interval) of the
    metrics of these."""
    found = []
    for name in run.backends:
        rows = [
            (system, result.operating_point, [_texts(result, metric) for metric in OPEN_METRICS.values()])
            for system in run.rows(name)
            for result in system.results(name).values()
            if result and result.metric("auroc_out_of_set")
        ]
        if rows:
            found.append((name, rows))
    return found


def language_counts(run: RunSummary, backend: str) -> tuple[list[str], list[tuple[str, list[str], bool]]]:
    """(heads, rows: language, utterances enrolled and under each condition, whether it is enrolled but never tested)."""
    enrolled = next((s.enrolment.by_language for s in run.systems if s.enrolment), {})
    results = {c: r for c in run.conditions for s in run.systems[:1] if (r := s.result(backend, c)) and r.per_language}
    languages = sorted({*run.languages, *enrolled, *(x for r in results.values() for x in r.per_language)})
    heads = (["Enrolled"] if enrolled else []) + [condition_name(c) for c in results]
    rows = []
    for language in languages:
        counts = [f"{enrolled.get(language, 0):,}"] if enrolled else []
        tested = [r.per_language[language].num if language in r.per_language else 0 for r in results.values()]
        rows.append((language, counts + [_count(num) for num in tested], bool(tested) and not any(tested)))
    return heads, rows if heads else []


def facts(run: RunSummary) -> list[tuple[str, str]]:
    def distinct(field: str) -> str:
        return ", ".join(dict.fromkeys(str(x) for s in run.systems for x in getattr(s, field) or []))

    seconds = [s.seconds_train for s in run.systems if s.seconds_train is not None]
    unknown = [f"{language} ({num})" for language, num in run.unknown_languages.items()]
    calibrated = [s.enrolment.calibrated for s in run.systems if s.enrolment and s.enrolment.calibrated is not None]
    rows = [
        ("Corpus", run.corpus),
        ("Languages", f"{len(run.languages)}: {', '.join(run.languages)}" if run.languages else ""),
        *([("Not enrolled", f"{', '.join(unknown)} clips, of the open set")] if unknown else []),
        ("Systems", str(len(run.systems))),
        ("Back ends", ", ".join(run.backends)),
        *([("Calibrated", _calibrated(calibrated))] if calibrated else []),
        ("Folds", distinct("folds")),
        ("Training seeds", distinct("seeds")),
        ("Training time", f"{_duration(sum(seconds))} for {len(seconds)} systems" if seconds else ""),
        ("Made", (run.created or "").replace("T", " ")),
        ("Commit", run.commit or ""),
        ("Machine", run.machine or ""),
        *([("Versions", ", ".join(f"{name} {of}" for name, of in run.versions.items()))] if run.versions else []),
    ]
    return [(name, text or MISSING) for name, text in rows]


def flatten(config: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """`{"train": {"lr": 1}}` → `[("train.lr", "1")]`."""
    rows = []
    for name, value in config.items():
        if isinstance(value, dict) and value:
            rows += flatten(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", MISSING if value is None else str(value)))
    return rows


def _texts(result: Result, metric: Metric) -> tuple[str, str, str]:
    interval = result.metric(metric.name)
    return (
        metric.text(interval.value if interval else None),
        metric.spread_text(interval),
        metric.interval_text(interval),
    )


def _rounded(value: float | None, digits: int, scale: float = 1.0) -> str:
    return MISSING if value is None else f"{scale * value:.{digits}f}"


def _count(num: int | None) -> str:
    return MISSING if num is None else f"{num:,}"


def _moved(result: Result) -> bool:
    """Whether a few outlying scores have moved the official Cavg."""
    both = [one.value for one in (result.cavg_olr, result.cavg_olr_floored) if one and one.value is not None]
    return len(both) == 2 and abs(both[0] - both[1]) > MOVED


def _material(results: list[Result]) -> str:
    """`2,400 utterances, 19,200 trials, …`; where systems differ, both numbers."""
    parts = []
    for field, noun in (
        ("num_utterances", "utterances"),
        ("num_trials", "trials"),
        ("num_out_of_set", "out of set"),
        ("num_no_speech", "without speech"),
        ("num_without_answer", "without an answer (counted as missed)"),
    ):
        seen = sorted({getattr(r, field) for r in results} - {None})
        if seen and seen != [0]:
            parts.append(" or ".join(f"{number:,}" for number in seen) + f" {noun}")
    return ", ".join(parts)


def _enrolment_notes(results: list[Result]) -> list[str]:
    """A sentence per way in which the enrolled and the tested languages differ."""
    pairs = {
        (tuple(r.languages_enrolled), tuple(r.languages_tested))
        for r in results
        if r.languages_enrolled is not None and r.languages_tested is not None
    }
    notes = ["Systems differ in the languages enrolled or tested: their numbers do not compare."] * (len(pairs) > 1)
    for enrolled, tested in sorted(pairs):
        if untested := [x for x in enrolled if x not in tested]:
            notes.append(f"Enrolled but not tested: {', '.join(untested)}.")
        if unknown := [x for x in tested if x not in enrolled]:
            notes.append(f"Tested but not enrolled: {', '.join(unknown)}.")
    return notes


def _calibrated(names: list[list[str]]) -> str:
    some = list(dict.fromkeys(name for one in names for name in one))
    return f"{', '.join(some)}, on the validation utterances" if some else "none"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
