"""DET curves, confusion matrices and training curves, each as panels that the page and the PNG files share."""

from __future__ import annotations

from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from isogloss.report.results import Confusion, Det
from isogloss.report.style import HEAT, Panel, light, line_styles
from isogloss.report.summary import RunSummary, SystemRun
from isogloss.report.table1 import condition_name
from isogloss.types import OUT_OF_SET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
ANNOTATED_LANGUAGES = 20
"""Up to this many languages a confusion matrix prints its counts."""

CURVE_POINTS = 200
"""A training curve is averaged down to this many points: more cannot be seen and would swell the page."""

TRAINING_CURVES = {  # column of log.jsonl: title
    "loss_language": "Language loss",
    "loss_phone": "Phoneme loss",
    "valid_loss": "Validation loss",
    "valid_accuracy": "Validation accuracy, %",
    "phone_accuracy": "Phoneme accuracy, %",
    "beta_p_mean": "Mean β·p",
    "beta_p_max": "Largest β·p",
    "margin_mean": "Mean margin m + β·p",
    "learning_rate": "Learning rate",
}


def det_panel(run: RunSummary, condition: str, backend: str) -> Panel | None:
    """Miss against false-alarm rate of every system under one condition, both axes on the probit scale."""
    curves = [(s, r.det) for s in run.systems if (r := s.result(backend, condition)) and r.det and r.det.p_miss]
    if not curves:
        return None

    def draw(figure: FigureBase) -> None:
        ax = figure.subplots()
        styles = line_styles(run.systems)
        low, high = _det_limits([det for _, det in curves])
        for system, det in curves:
            ax.plot(_probit(det.p_fa, low), _probit(det.p_miss, low), **styles[system.id].matplotlib())
        span = _probit([low, high], low)
        ax.plot(span, span, color=light("rule"), linewidth=0.8, zorder=0)
        ticks = _det_ticks(low, high)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(list(_probit(ticks, low)), labels=[f"{100 * t:g}" for t in ticks])
        ax.set_xlim(*span)
        ax.set_ylim(*span)
        ax.grid(True)
        ax.set_aspect("equal")
        ax.set_xlabel("false alarms, %")
        ax.set_ylabel("misses, %")
        ax.set_title(condition_name(condition), loc="left")

    return Panel(
        key=f"det-{condition}",
        alt=f"DET curves of {len(curves)} systems, condition {condition_name(condition)}: misses against false alarms. "
        "The equal error rates, where the curves meet the diagonal, stand in the table of the condition.",
        draw=draw,
        width=3.5,
        height=3.5,
    )


def confusion_panels(run: RunSummary, system: SystemRun, backend: str) -> list[Panel]:
    """Decisions against truth of one system, one panel per condition that has a matrix with at least one utterance."""
    return [
        _confusion_panel(system, condition, confusion)
        for condition in run.conditions
        if (r := system.result(backend, condition)) and (confusion := r.confusion) and any(map(any, confusion.counts))
    ]


def training_panels(run: RunSummary) -> list[Panel]:
    """One panel per logged quantity, all systems in it; quantities that no system logged are left out."""
    return [
        Panel(
            key=f"training-{column}",
            alt=f"{title} of {len(logs)} systems over the course of training.",
            draw=partial(_draw_training, run, column, title, logs),
            width=3.5,
            height=2.4,
        )
        for column, title in TRAINING_CURVES.items()
        if (logs := [s.id for s in run.systems if s.id in run.logs and np.isfinite(run.logs[s.id][column]).any()])
    ]


def _draw_training(run: RunSummary, column: str, title: str, logs: list[str], figure: FigureBase) -> None:
    ax = figure.subplots()
    styles = line_styles(run.systems)
    has_epochs = all(np.isfinite(run.logs[system]["epoch"]).all() for system in logs)
    scale = 100 if title.endswith("%") else 1
    for system in logs:
        log = run.logs[system]
        measured = np.isfinite(log[column])
        x, y = thin(log["epoch" if has_epochs else "step"][measured], scale * log[column][measured])
        ax.plot(x, y, marker="o" if len(x) == 1 else "", markersize=3, **styles[system].matplotlib())
    ax.set_title(title, loc="left")
    ax.set_xlabel("epoch" if has_epochs else "step")
    ax.grid(True, axis="y")
    ax.locator_params(axis="x", nbins=5, steps=[1, 2, 5, 10])
    if column == "learning_rate":
        ax.set_yscale("log")
    else:
        ax.ticklabel_format(axis="y", useOffset=False)
        low, high = ax.get_ylim()
        least = 0.02 * max(abs(low), abs(high))  # rounding noise of a constant is no curve
        if high - low < least:
            ax.set_ylim((low + high - least) / 2, (low + high + least) / 2)
    ax.margins(x=0.02)


def _confusion_panel(system: SystemRun, condition: str, confusion: Confusion) -> Panel:
    counts = np.asarray(confusion.counts)  # [truth, decision]
    num_per_truth = counts.sum(axis=1, keepdims=True)
    rates = counts / np.maximum(num_per_truth, 1)
    side = float(np.clip(0.3 * len(counts) + 1.1, 3.0, 8.0))
    title = f"Confusion matrix, system {system.id}, {condition_name(condition)}."
    return Panel(
        key=f"confusion-{system.id}-{condition}",
        alt=f"{title} {_worst_confusion(confusion.languages, rates)}",
        draw=partial(_draw_confusion, system, condition, confusion.languages, counts, rates),
        width=side,
        height=side + 0.2,
    )


def _draw_confusion(
    system: SystemRun, condition: str, languages: list[str], counts: np.ndarray, rates: np.ndarray, figure: FigureBase
) -> None:
    from matplotlib.colors import to_rgb

    ax = figure.subplots()
    pixels = np.empty((*rates.shape, 4))
    pixels[..., :3] = to_rgb(HEAT)
    pixels[..., 3] = rates
    ax.imshow(pixels, interpolation="none")
    names = ["out of set" if language == OUT_OF_SET else language for language in languages]
    every = -(-len(names) // 40)
    ax.set_xticks(range(0, len(names), every), labels=names[::every], rotation=90 if max(map(len, names)) > 2 else 0)
    ax.set_yticks(range(0, len(names), every), labels=names[::every])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if len(names) <= ANNOTATED_LANGUAGES:
        _annotate(ax, counts, rates)
    ax.set_xlabel("decided")
    ax.set_ylabel("spoken")
    ax.set_title(f"{system.id} · {condition_name(condition)}", loc="left")


def _annotate(ax: Axes, counts: np.ndarray, rates: np.ndarray) -> None:
    for truth, decision in np.argwhere(counts > 0):
        rate = rates[truth, decision]
        ax.text(decision, truth, str(counts[truth, decision]), ha="center", va="center", fontsize=6.5,
                color="#ffffff" if rate > 0.8 else light("ink"))  # fmt: skip


def _worst_confusion(languages: list[str], rates: np.ndarray) -> str:
    wrong = rates * (1 - np.eye(len(rates)))
    truth, decision = np.unravel_index(int(wrong.argmax()), wrong.shape)
    if wrong[truth, decision] == 0:
        return "No utterance was decided wrongly."
    share = f"{100 * wrong[truth, decision]:.0f} %"
    return f"Most frequent error: {share} of {languages[truth]} is taken for {languages[decision]}."


def _det_limits(curves: list[Det]) -> tuple[float, float]:
    """Both axes run from the smallest rate that was resolved to well above the largest equal error rate."""
    resolved = [p for det in curves for p in (*det.p_miss, *det.p_fa) if p > 0]
    equal = max(min(max(pair) for pair in zip(det.p_miss, det.p_fa, strict=True)) for det in curves)
    low = min(max(min(resolved, default=0.01), 0.001), equal / 2 if equal > 0.002 else 0.001)
    return low, min(max(4 * equal, 0.05), 0.9)


def _det_ticks(low: float, high: float) -> list[float]:
    """Those of DET_TICKS inside the limits whose labels do not run into each other."""
    inside = [rate for rate in DET_TICKS if low <= rate <= high]
    apart = 0.06 * np.ptp(_probit([low, high], low))
    ticks: list[float] = []
    for rate in inside:
        if not ticks or np.ptp(_probit([ticks[-1], rate], low)) >= apart:
            ticks.append(rate)
    return ticks


def _probit(rates: list[float], floor: float) -> np.ndarray:
    """Φ⁻¹(rate), with 0 and 1 moved just outside the drawn range instead of to ±∞."""
    inside = np.clip(np.asarray(rates, dtype=np.float64), floor / 10, 1 - 1e-4)
    return np.array([NormalDist().inv_cdf(p) for p in inside])


def thin(x: np.ndarray, y: np.ndarray, points: int = CURVE_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Averages over consecutive stretches, at most `points` of them."""
    if len(x) <= points:
        return x, y
    starts = np.linspace(0, len(x), points, endpoint=False).astype(int)
    lengths = np.diff([*starts, len(x)])
    return np.add.reduceat(x, starts) / lengths, np.add.reduceat(y, starts) / lengths
