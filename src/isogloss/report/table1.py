"""Table 1 of the paper for our own runs: systems in rows, conditions in columns, one metric with its interval."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from statistics import stdev

from isogloss.report.results import Interval
from isogloss.report.summary import RunSummary, SystemRun
from isogloss.types import IsoglossError

MISSING = "–"


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    meaning: str
    percent: bool = False
    digits: int = 4  # behind the point, of what is no percentage
    higher_is_better: bool = False

    @property
    def direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"

    def text(self, value: float | None) -> str:
        """`0.0463`, or `91.2` for a percentage."""
        if value is None:
            return MISSING
        shown, digits = (100 * value, 1) if self.percent else (value, self.digits)
        return f"{round(shown, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no negative zero

    def interval_text(self, interval: Interval | None) -> str:
        """`[0.0431, 0.0498]`, empty where no interval was computed."""
        if interval is None or interval.low is None or interval.high is None:
            return ""
        return f"[{self.text(interval.low)}, {self.text(interval.high)}]"

    def spread_text(self, interval: Interval | None) -> str:
        """`± 0.0060`, the standard deviation over the seeds; empty where there are not two."""
        if interval is None or interval.by_seed is None or len(interval.by_seed) < 2:
            return ""
        return f"± {self.text(stdev(interval.by_seed))}"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "cavg_olr",
            "Cavg (OLR rule)",
            "the average detection cost as the OLR challenges compute it: the lowest over 21 evenly spread thresholds, "
            "a coarse minimum that a single outlying score can move",
        ),
        Metric(
            "cavg_olr_floored",
            "Cavg (OLR rule, floored)",
            "the same with outlying scores raised to a floor, so that one utterance cannot stretch the thresholds of all",
        ),
        Metric(
            "cavg_min",
            "Cavg (minimum)",
            "the average detection cost (misses and false alarms in equal shares, averaged over languages) at the best "
            "of all thresholds, one threshold for all languages",
        ),
        Metric(
            "cavg_actual",
            "Cavg (actual)",
            "the average detection cost at the Bayes threshold, set without looking at the answers: it also charges "
            "for miscalibrated scores",
        ),
        Metric(
            "eer",
            "EER, %",
            "the equal error rate, pooled over all trials of an utterance against a language",
            percent=True,
        ),
        Metric(
            "accuracy",
            "Accuracy, %",
            "the share of utterances whose highest-scoring language is the right one",
            percent=True,
            higher_is_better=True,
        ),
        Metric(
            "macro_f1",
            "Macro F1, %",
            "the harmonic mean of recall and precision, averaged over languages, each counting the same",
            percent=True,
            higher_is_better=True,
        ),
        Metric(
            "cllr",
            "Cllr",
            "the cost of the posteriors in bits, over all languages: what is still to be learnt of an utterance's language "
            "after hearing the system; log₂ of the number of languages for one that says nothing",
            digits=3,
        ),
        Metric(
            "ece",
            "ECE",
            "the expected calibration error: how far, on average, the confidence is from the share that is right",
            digits=3,
        ),
    )
}

OPEN_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "auroc_out_of_set",
            "AUROC",
            "the share of pairs of a known and an unknown language in which the system is surer of the known one; "
            "0.5 is chance",
            digits=3,
            higher_is_better=True,
        ),
        Metric(
            "fpr95_out_of_set",
            "FPR95, %",
            "the share of unknown languages taken for known ones where 95 % of the known are accepted",
            percent=True,
        ),
        Metric(
            "oscr_out_of_set",
            "OSCR",
            "AUROC in which a known utterance counts only if its language is named rightly",
            digits=3,
            higher_is_better=True,
        ),
    )
}
"""Only of a condition with languages that are not enrolled."""

CONDITION_NAMES = {"full": "Full length", "short": "Short", "channel": "Cross-channel", "open": "Open set"}

PAPER_CONDITIONS = {"short": 0, "channel": 1, "open": 2}
"""Condition → position in System.published_cavg."""


def condition_name(condition: str) -> str:
    return CONDITION_NAMES.get(condition, condition)


@dataclass(frozen=True)
class Cell:
    measured: Interval | None
    text: str  # the value, or MISSING
    interval: str  # "[low, high]" or ""
    spread: str  # "± 0.0060", the standard deviation over several seeds, or ""
    best: bool
    published: float | None  # the paper's number; only where the data are the paper's
    published_text: str


@dataclass(frozen=True)
class Row:
    id: str
    label: str
    network: str
    loss: str
    m: str
    beta: str
    p_mean: str
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    metric: Metric
    backend: str
    conditions: list[str]
    published: list[bool]  # per condition: does the paper's column stand beside ours?
    rows: list[Row]
    notes: list[str]

    @property
    def measured(self) -> bool:
        return any(cell.measured for row in self.rows for cell in row.cells)


def build_table(run: RunSummary, metric: str, backend: str) -> Table:
    """Arrange one metric of one back end as Table 1. The best of a column is judged at the digits that are printed.

    The paper's Cavg (Table 1) stands beside ours only where the run used the paper's data and the OLR rule.
    """
    chosen = _metric(metric)
    if run.backends and backend not in run.backends:
        raise IsoglossError(f"back end {backend!r} is not among this run's results: it has {', '.join(run.backends)}")
    measured = [[_measured(system, metric, backend, c) for c in run.conditions] for system in run.systems]
    best = [_best(chosen, [row[column] for row in measured]) for column in range(len(run.conditions))]
    published = [run.paper_data and metric == "cavg_olr" and c in PAPER_CONDITIONS for c in run.conditions]
    rows = []
    for system, values in zip(run.systems, measured, strict=True):
        cells = []
        for column, interval in enumerate(values):
            text = chosen.text(interval.value if interval else None)
            paper, paper_text = _published(system, run.conditions[column]) if published[column] else (None, "")
            cells.append(
                Cell(
                    measured=interval,
                    text=text,
                    interval=chosen.interval_text(interval),
                    spread=chosen.spread_text(interval),
                    best=text == best[column] != MISSING,
                    published=paper,
                    published_text=paper_text,
                )
            )
        rows.append(_row(system, cells))
    return Table(chosen, backend, run.conditions, published, rows, _notes(run, published))


def table1_markdown(run: RunSummary, metric: str, backend: str, notes: bool = True) -> str:
    """The table as Markdown, caption above and, unless they follow elsewhere, notes below; for RESULTS.md."""
    table = build_table(run, metric, backend)
    heads = ["No.", "System", "Loss", "m", "β", "mean p"]
    for condition, published in zip(table.conditions, table.published, strict=True):
        heads += [condition_name(condition)] + ["paper"] * published
    lines = [
        f"**{table.metric.title}** ({table.metric.direction}) on {run.corpus}, back end `{backend}`",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "|".join([" --- "] * 3 + [" ---: "] * (len(heads) - 3)) + "|",
    ]
    for row in table.rows:
        fields = [row.id, row.network, row.loss, row.m, row.beta, row.p_mean]
        for cell, published in zip(row.cells, table.published, strict=True):
            value = f"**{cell.text}**" if cell.best else cell.text
            fields += [" ".join(part for part in (value, cell.spread, cell.interval) if part)] + [
                cell.published_text
            ] * published
        lines.append("| " + " | ".join(field.replace("|", r"\|") for field in fields) + " |")
    return "\n".join([*lines, "", *([" ".join(table.notes), ""] if notes else [])])


def rivals(table: Table, column: int) -> tuple[list[Row], int]:
    """The best rows of a column, and how many other rows have an interval that overlaps the first of them."""
    leaders = [row for row in table.rows if row.cells[column].best]
    if not leaders or not (top := leaders[0].cells[column].measured):
        return [], 0
    spans = [row.cells[column].measured for row in table.rows if row is not leaders[0]]
    return leaders, sum(span is not None and _overlap(span, top) for span in spans)


def _metric(name: str) -> Metric:
    known = METRICS | OPEN_METRICS
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        raise IsoglossError(
            f"unknown metric {name!r}: there are {', '.join(known)}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    return known[name]


def _measured(system: SystemRun, metric: str, backend: str, condition: str) -> Interval | None:
    result = system.result(backend, condition)
    return None if result is None else result.metric(metric)


def _best(metric: Metric, column: list[Interval | None]) -> str:
    values = [interval.value for interval in column if interval is not None and interval.value is not None]
    if not values:
        return MISSING
    return metric.text(max(values) if metric.higher_is_better else min(values))


def _overlap(a: Interval, b: Interval) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low <= b.high and b.low <= a.high


def _published(system: SystemRun, condition: str) -> tuple[float | None, str]:
    known = system.of_table_1
    if known is None or (value := known.published_cavg[PAPER_CONDITIONS[condition]]) is None:
        return None, MISSING
    return value, f"{value:.4f}" + "?" * known.published_doubtful[PAPER_CONDITIONS[condition]]


def _row(system: SystemRun, cells: list[Cell]) -> Row:
    known = system.of_table_1
    network, loss = system.label, MISSING
    if known is not None:
        if system.label.startswith(known.label):  # the other columns say the rest
            network = ("MT x-vector" if known.multitask else "x-vector") + system.label.removeprefix(known.label)
        head = {"softmax": "Softmax", "a": "A", "am": "AM", "aam": "AAM"}.get(known.head, known.head)
        loss = f"APM ({head})" if known.beta else head
    return Row(
        id=system.id,
        label=system.label,
        network=network,
        loss=loss,
        m=f"{system.m:g}" if system.m else MISSING,
        beta=f"{system.beta:g}" if system.beta else MISSING,
        p_mean=f"{system.p_mean:.3g}" if system.p_mean is not None else MISSING,
        cells=cells,
    )


def _notes(run: RunSummary, published: list[bool]) -> list[str]:
    notes = [
        "Bold: the best number of its column; where intervals overlap that is not evidence of a difference.",
        "Brackets: 95 % intervals over the tested material; they leave out what another training seed would change.",
    ]
    if any(len(system.seeds or []) > 1 for system in run.systems):
        notes.append("Numbers are means over the seeds; ±: their standard deviation over the seeds.")
    if own := [system.id for system in run.systems if system.scored_by]:
        notes.append(f"Without a network and back end of their own: {', '.join(own)}.")
    if any(system.system in ("4p", "7p") for system in run.systems):
        notes.append("Rows 4 and 7 have m = 0.22, standing for 0.2 + β·p; rows 4p and 7p the printed 0.02.")
    if any(published):
        notes.append(
            "“paper”: the number printed in the paper's Table 1; “?” marks those that its own text contradicts."
        )
    return notes
