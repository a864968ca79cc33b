"""The report: one HTML file that needs nothing else, and the same pictures as PNG files beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.report import curves, dashboard, figure2, intervals, style, table1
from isogloss.report.summary import Result, RunSummary, SystemRun
from isogloss.report.table1 import METRICS, MISSING, Table

if TYPE_CHECKING:
    from markupsafe import Markup

TABLE_METRICS = ("cavg_min", "cavg_olr", "eer", "accuracy")


@dataclass(frozen=True)
class Headline:
    """The best number of one condition, in words."""

    condition: str
    what: str
    number: str
    interval: str
    system: str
    rivals: str


@dataclass(frozen=True)
class ConditionTable:
    """All metrics of one condition: a group of rows per back end, and recall per language."""

    condition: str
    material: str
    notes: list[str]
    # back end, its rows: system, (value, interval) per metric, AUROC
    groups: list[tuple[str, list[tuple[SystemRun, list[tuple[str, str]], str]]]]
    has_auroc: bool
    recall_languages: list[tuple[str, str]]  # language, number of utterances
    recall: list[tuple[SystemRun, list[str]]]


def write_report(run: RunSummary, out_dir: Path) -> Path:
    """Write report.html and its pictures (table1, figure2, margins, training, det_<condition>, confusion_<system>.png).

    The page holds its pictures itself; the PNG files are for slides and papers. A picture without data is not written.
    Returns the page's path.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    backend = run.backends[0] if run.backends else "olr2020"
    metric = "cavg_olr" if run.paper_data else "cavg_min"
    table = table1.build_table(run, metric, backend)
    panels = _Panels(run, table, backend)
    panels.write_png(out_dir)
    page = out_dir / "report.html"
    style.write_beside(page, _render(run, table, panels).encode("utf-8"))
    return page


class _Panels:
    """Every picture of the run, drawn once for the page and once for the PNG files."""

    def __init__(self, run: RunSummary, table: Table, backend: str) -> None:
        self.run = run
        self.table1 = intervals.table1_panel(table)
        self.figure2 = figure2.figure2_panels(run)
        self.margins = dashboard.margin_panels(run)
        self.det = {c: panel for c in run.conditions if (panel := curves.det_panel(run, c, backend))}
        self.training = curves.training_panels(run)
        self.confusion = {s.id: panels for s in run.systems if (panels := curves.confusion_panels(run, s, backend))}

    def write_png(self, out_dir: Path) -> None:
        if self.table1:
            style.png([self.table1], out_dir / "table1.png", columns=1)
        if self.figure2:
            style.png(self.figure2, out_dir / "figure2.png", columns=1)
        if self.margins:
            style.png(list(self.margins.values()), out_dir / "margins.png", columns=1)
        if self.training:
            with_log = [system for system in self.run.systems if system.id in self.run.logs]
            style.png(self.training, out_dir / "training.png", columns=3, legend=with_log)
        for condition, panel in self.det.items():
            style.png([panel], out_dir / f"det_{condition}.png", columns=1, legend=self.run.systems)
        for system, panels in self.confusion.items():
            style.png(panels, out_dir / f"confusion_{system}.png", columns=2)


def _render(run: RunSummary, table: Table, panels: _Panels) -> str:
    import jinja2
    from markupsafe import Markup

    def picture(panel: style.Panel) -> Markup:
        return Markup(style.svg(panel))

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = resources.files("isogloss.report").joinpath("page.html").read_text(encoding="utf-8")
    template = environment.from_string(source)
    backend = table.backend
    others = [table1.build_table(run, name, backend) for name in TABLE_METRICS if name != table.metric.name]
    return template.render(
        run=run,
        backend=backend,
        table=table,
        others=[other for other in others if other.measured],
        headlines=_headlines(table),
        metrics=METRICS,
        conditions=[_condition_table(run, condition, backend) for condition in run.conditions],
        facts=_facts(run),
        settings=_flatten(run.config or {}),
        colours=style.COLOURS,
        table1_picture=picture(panels.table1) if panels.table1 else None,
        figure2_pictures=[(panel, picture(panel)) for panel in panels.figure2],
        margin_pictures=[(panel, picture(panel)) for panel in panels.margins.values()],
        det_pictures=[picture(panel) for panel in panels.det.values()],
        training_pictures=[picture(panel) for panel in panels.training],
        confusion_pictures=_confusion_pictures(run, table, panels, picture),
        legend=_legend(run),
        name=table1.condition_name,
        definitions={system: figure2.definition_text(margins) for system, margins in run.margins.items()},
        missing=MISSING,
    )


def _headlines(table: Table) -> list[Headline]:
    word = "highest" if table.metric.higher_is_better else "lowest"
    headlines = []
    for column, condition in enumerate(table.conditions):
        leaders, num_overlapping = table1.rivals(table, column)
        if not leaders:
            continue
        cell = leaders[0].cells[column]
        num_others = sum(row.cells[column].measured is not None for row in table.rows) - 1
        rivals = ""
        if num_others and cell.interval:
            overlapping = f"{num_overlapping or 'none'} overlap{'s' if num_overlapping <= 1 else ''} it"
            rivals = f"of the intervals of the other {num_others} systems, {overlapping}"
        tied = f" (with {', '.join(row.id for row in leaders[1:])})" if leaders[1:] else ""
        headlines.append(
            Headline(
                condition=table1.condition_name(condition),
                what=f"{word} {table.metric.title}",
                number=cell.text,
                interval=cell.interval,
                system=f"System {leaders[0].id}{tied}: {leaders[0].label}",
                rivals=rivals,
            )
        )
    return headlines


def _condition_table(run: RunSummary, condition: str, backend: str) -> ConditionTable:
    groups = []
    results: list[Result] = []
    for name in run.backends:
        rows = []
        for system in run.systems:
            if result := system.result(name, condition):
                results.append(result)
                cells = [_texts(result, metric) for metric in METRICS]
                rows.append((system, cells, _rounded(result.auroc_out_of_set, 3)))
        if rows:
            groups.append((name, rows))
    recalls = [(s, r.per_language) for s in run.systems if (r := s.result(backend, condition)) and r.per_language]
    num = {language: one.num for _, recall in reversed(recalls) for language, one in recall.items()}
    languages = list(dict.fromkeys(language for _, recall in recalls for language in recall))
    return ConditionTable(
        condition=condition,
        material=_material(results),
        notes=_enrolment_notes(results),
        groups=groups,
        has_auroc=any(result.auroc_out_of_set is not None for result in results),
        recall_languages=[(x, MISSING if num[x] is None else f"{num[x]:,}") for x in languages],
        recall=[(s, [_rounded(r[x].recall, 1, 100) if x in r else MISSING for x in languages]) for s, r in recalls],
    )


def _texts(result: Result, metric: str) -> tuple[str, str]:
    interval = result.metric(metric)
    return METRICS[metric].text(interval.value if interval else None), METRICS[metric].interval_text(interval)


def _rounded(value: float | None, digits: int, scale: float = 1.0) -> str:
    return MISSING if value is None else f"{scale * value:.{digits}f}"


def _material(results: list[Result]) -> str:
    """`2,400 utterances, 19,200 trials, …`; where systems differ, both numbers."""
    parts = []
    for field, noun in (
        ("num_utterances", "utterances"),
        ("num_trials", "trials"),
        ("num_out_of_set", "out of set"),
        ("num_no_speech", "without speech"),
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


def _facts(run: RunSummary) -> list[tuple[str, str]]:
    def distinct(field: str) -> str:
        return ", ".join(dict.fromkeys(str(x) for s in run.systems for x in getattr(s, field) or []))

    seconds = [s.seconds_train for s in run.systems if s.seconds_train is not None]
    facts = [
        ("Corpus", run.corpus),
        ("Languages", f"{len(run.languages)}: {', '.join(run.languages)}" if run.languages else ""),
        ("Systems", str(len(run.systems))),
        ("Back ends", ", ".join(run.backends)),
        ("Folds", distinct("folds")),
        ("Training seeds", distinct("seeds")),
        ("Training time", f"{_duration(sum(seconds))} for {len(seconds)} systems" if seconds else ""),
        ("Made", (run.created or "").replace("T", " ")),
        ("Commit", run.commit or ""),
        ("Machine", run.machine or ""),
    ]
    return [(name, text or MISSING) for name, text in facts]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _flatten(config: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """`{"train": {"lr": 1}}` → `[("train.lr", "1")]`."""
    rows = []
    for name, value in config.items():
        if isinstance(value, dict) and value:
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", MISSING if value is None else str(value)))
    return rows


def _confusion_pictures(
    run: RunSummary, table: Table, panels: _Panels, picture: Callable[[style.Panel], Markup]
) -> list[tuple[SystemRun, list[Markup], bool]]:
    """The pictures of every system; the best of the first condition stands first, marked to be shown unfolded."""
    leaders = [row.id for row in table1.rivals(table, 0)[0]] or list(panels.confusion)
    systems = sorted((s for s in run.systems if s.id in panels.confusion), key=lambda system: system.id != leaders[0])
    return [(s, [picture(panel) for panel in panels.confusion[s.id]], s.id == leaders[0]) for s in systems]


def _legend(run: RunSummary) -> list[tuple[SystemRun, style.LineStyle]]:
    styles = style.line_styles(run.systems)
    return [(system, styles[system.id]) for system in run.systems]
