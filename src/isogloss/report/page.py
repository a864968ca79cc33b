"""The report: one HTML file that needs nothing else, and the same pictures as PNG files beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from isogloss.report import curves, dashboard, embeddings, figure2, in_short, intervals, sections, style, table1
from isogloss.report.breakdown import breakdown
from isogloss.report.channel import best_accuracy
from isogloss.report.reliability import reliability_panels
from isogloss.report.summary import RunSummary, SystemRun
from isogloss.report.table1 import METRICS, MISSING, OPEN_METRICS, Table
from isogloss.report.verdict import Lead, Verdict, verdicts

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

T = TypeVar("T")
TABLE_METRICS = ("cavg_min", "accuracy", "eer", "cavg_olr")


def write_report(run: RunSummary, out_dir: Path) -> Path:
    """Write report.html and its pictures: table1, figure2, margins, training, det_<condition>, confusion_<system> and, of
    the leading system, reliability and embeddings.png.

    The page holds its pictures itself; the PNG files are for slides and papers. A picture without data is not written.
    Returns the page's path.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    backend = run.backends[0] if run.backends else "olr2020"
    metric = "cavg_olr" if run.paper_data else "cavg_min"
    table = table1.build_table(run, metric, backend)
    found = verdicts(run, table)
    leader = found[0].best if found else run.systems[0]
    panels = _Panels(run, table, backend)
    panels.write_png(out_dir, leader)
    page = out_dir / "report.html"
    style.write_beside(page, _render(run, table, panels, found, leader).encode("utf-8"))
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
        self.reliability = {s.id: panels for s in run.systems if (panels := reliability_panels(run, s, backend))}
        self.embeddings = embeddings.embedding_panels(run)

    def write_png(self, out_dir: Path, leader: SystemRun) -> None:
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
        if leader.id in self.reliability:
            style.png(self.reliability[leader.id], out_dir / "reliability.png", columns=4)
        if leader.id in self.embeddings:
            style.png([self.embeddings[leader.id]], out_dir / "embeddings.png", columns=1)


def _render(run: RunSummary, table: Table, panels: _Panels, found: list[Verdict], leader: SystemRun) -> str:
    from markupsafe import Markup

    def picture(panel: style.Panel) -> Markup:
        return Markup(style.svg(panel))

    backend = table.backend
    others = [table1.build_table(run, name, backend) for name in TABLE_METRICS if name != table.metric.name]
    first = partial(_first, leader)
    return _template().render(
        run=run,
        backend=backend,
        table=table,
        others=[other for other in others if other.measured],
        verdicts=found,
        leader=leader,
        in_short=in_short.in_short(run, leader, backend) if found else [],
        against=_against(run, found),
        metrics=METRICS,
        open_metrics=OPEN_METRICS,
        conditions=[sections.condition_table(run, condition, backend) for condition in run.conditions],
        breakdowns=first([(s, one) for s in run.systems if (one := breakdown(run, s, backend))]),
        errors=first([(s, tables) for s in run.systems if (tables := sections.error_tables(run, s, backend))]),
        recordings_folder=sections.recordings_folder(run),
        open_set=sections.open_set_rows(run),
        language_counts=sections.language_counts(run, backend),
        enrolment=in_short.enrolment_lines(run),
        leaks_line=in_short.leaks_line(run.leaks, best_accuracy(run)),
        facts=sections.facts(run),
        settings=sections.flatten(run.config or {}),
        colours=style.COLOURS,
        heat=style.HEAT,
        table1_picture=picture(panels.table1) if panels.table1 else None,
        figure2_pictures=[(panel, picture(panel)) for panel in panels.figure2],
        margin_pictures=[(panel, picture(panel)) for panel in panels.margins.values()],
        det_pictures=[picture(panel) for panel in panels.det.values()],
        training_pictures=[picture(panel) for panel in panels.training],
        confusion_pictures=first(_drawn(run, panels.confusion, picture)),
        reliability_pictures=first(_drawn(run, panels.reliability, picture)),
        embedding_pictures=first(_drawn(run, {name: [panel] for name, panel in panels.embeddings.items()}, picture)),
        legend=_legend(run),
        name=table1.condition_name,
        definitions={system: figure2.definition_text(margins) for system, margins in run.margins.items()},
        several_seeds=any(len(system.seeds or []) > 1 for system in run.systems),
        missing=MISSING,
    )


def _template() -> jinja2.Template:
    import jinja2

    folder = resources.files("isogloss.report")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
    )
    return environment.get_template("page.html")


def _first(leader: SystemRun, rows: list[tuple[SystemRun, T]]) -> list[tuple[SystemRun, T, bool]]:
    """The leading system in front, marked to be shown unfolded."""
    ordered = sorted(rows, key=lambda row: row[0].id != leader.id)
    return [(system, content, number == 0) for number, (system, content) in enumerate(ordered)]


def _drawn(
    run: RunSummary, panels: Mapping[str, Sequence[style.Panel]], picture: Callable[[style.Panel], Markup]
) -> list[tuple[SystemRun, list[Markup]]]:
    return [(s, [picture(panel) for panel in panels[s.id]]) for s in run.systems if s.id in panels]


def _against(run: RunSummary, found: list[Verdict]) -> list[tuple[SystemRun, list[Verdict | Lead | None]]]:
    """Row of every system: under each condition the best's lead, the verdict itself where it is the best, or None."""
    if not any(verdict.leads for verdict in found):
        return []
    rows = []
    for system in run.systems:
        cells: list[Verdict | Lead | None] = []
        for verdict in found:
            lead = next((lead for lead in verdict.leads if lead.other.id == system.id), None)
            cells.append(verdict if system.id == verdict.best.id else lead)
        rows.append((system, cells))
    return rows


def _legend(run: RunSummary) -> list[tuple[SystemRun, style.LineStyle]]:
    styles = style.line_styles(run.systems)
    return [(system, styles[system.id]) for system in run.systems]
