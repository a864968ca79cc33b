"""Reliability diagrams: is a system that says 80 % right four times in five?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from isogloss.report.results import Reliability
from isogloss.report.style import Panel, light
from isogloss.report.summary import RunSummary, SystemRun
from isogloss.report.table1 import METRICS, condition_name

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

NORMAL_95 = 1.96
ECE = ("ece", "ece_if_calibrated")


def reliability_panels(run: RunSummary, system: SystemRun, backend: str) -> list[Panel]:
    """One panel for each condition that has a diagram with at least one utterance."""
    panels = []
    for condition in [
        c for c in run.conditions if c != "open"
    ] or run.conditions:  # the known clips of `open` are theirs
        result = system.result(backend, condition)
        if result is None or result.reliability is None or not any(result.reliability.num):
            continue
        found = [METRICS["ece"].text(of.value) if (of := result.metric(name)) else "" for name in ECE]
        ece = f"{found[0]} (by chance {found[1]})" if all(found) else found[0]
        panels.append(
            Panel(
                key=f"reliability-{system.id}-{condition}",
                alt=f"Reliability of system {system.id}, {condition_name(condition)}. {_in_words(result.reliability)}"
                + (f" Expected calibration error {ece}." if ece else ""),
                draw=partial(_draw, f"{system.id} · {condition_name(condition)}", ece, result.reliability),
                width=3.1,
                height=3.5,
            )
        )
    return panels


def wilson(right: np.ndarray, num: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share (Wilson, JASA 1927), for utterances that fail or succeed independently."""
    z2 = NORMAL_95**2
    middle = (right + z2 / 2) / (num + z2)
    half = NORMAL_95 / (num + z2) * np.sqrt(right * (num - right) / num + z2 / 4)
    return middle - half, middle + half


def _draw(title: str, ece: str, bins: Reliability, figure: FigureBase) -> None:
    above, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    num = np.asarray(bins.num)
    filled = num > 0
    confidence, accuracy = (
        np.array([np.nan if x is None else x for x in of])[filled] for of in (bins.confidence, bins.accuracy)
    )
    above.plot([0, 1], [0, 1], color=light("muted"), linewidth=0.8, dashes=(4, 3), zorder=1)
    low, high = wilson(accuracy * num[filled], num[filled])
    above.vlines(confidence, low, high, color=light("series-1"), linewidth=1.0, zorder=2)
    above.scatter(confidence, accuracy, s=6 + 60 * num[filled] / num.max(), color=light("series-1"), linewidths=0,
                  clip_on=False, zorder=3)  # fmt: skip
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_ylabel("share right")
    above.set_title(title, loc="left")
    if ece:
        text = f"ECE {ece}".replace(" (", "\n(")  # two lines stay clear of the points
        above.text(0.03, 0.95, text, transform=above.transAxes, va="top")
    edges = np.linspace(0, 1, len(num) + 1)
    below.bar(edges[:-1], num, width=np.diff(edges), align="edge", color=light("muted"), linewidth=0)
    below.set_xlabel("confidence")
    below.set_ylabel("clips")
    below.locator_params(axis="y", nbins=2, integer=True)


def _in_words(bins: Reliability) -> str:
    num = np.asarray(bins.num)
    filled = num > 0
    confidence, accuracy = (
        (np.array([0 if x is None else x for x in of])[filled] * num[filled]).sum() / num.sum()
        for of in (bins.confidence, bins.accuracy)
    )
    return f"Mean confidence {100 * confidence:.0f} %, {100 * accuracy:.0f} % right."
