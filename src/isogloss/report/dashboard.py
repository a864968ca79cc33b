"""The margins over training: how β·p and its spread within a mini-batch moved, and what each language was given."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from isogloss.report.curves import thin
from isogloss.report.style import Panel, light
from isogloss.report.summary import RunSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

COLUMNS = 8
MAX_LANGUAGES = 24  # more are cut down to the highest and the lowest
SMALL_POINTS = 60  # of a line in a small picture
LATE = 0.25  # share of the log, its end, that languages are ranked by
DRAWN = 0.75  # share of the log, its end, that the small pictures have room for: a warm-up would flatten the rest

Log = dict[str, np.ndarray]


def margin_panels(run: RunSummary) -> dict[str, Panel]:
    """One panel for each system whose log has β·p by language: system id → panel."""
    panels = {}
    for system in run.systems:
        log, margins = run.logs.get(system.id), run.margins.get(system.id)
        if log is not None and (panel := _panel(system.id, log, margins.languages if margins else [])):
            panels[system.id] = panel
    return panels


def _panel(system: str, log: Log, names: list[str]) -> Panel | None:
    by_language = log["beta_p_by_language"]  # [num_lines, C]
    num = by_language.shape[1]
    names = names if len(names) >= num else [f"language {index}" for index in range(num)]
    late = {index: value for index in range(num) if np.isfinite(value := _late_mean(by_language[:, index]))}
    if not late:
        return None
    ranked = sorted(late, key=lambda index: -late[index])
    shown = ranked
    if len(ranked) > MAX_LANGUAGES:
        shown = ranked[: MAX_LANGUAGES // 2] + ranked[-MAX_LANGUAGES // 2 :]
    rows = -(-len(shown) // COLUMNS)
    highest, lowest = ranked[0], ranked[-1]
    return Panel(
        key=f"margins-{system}",
        alt=f"System {system}: β·p over training, all samples and {len(shown)} of {num} languages. In the last quarter "
        f"{names[highest]} was given most, {late[highest]:.3g} on average, and {names[lowest]} least, {late[lowest]:.3g}.",
        draw=partial(_draw, system, log, {index: names[index] for index in shown}),
        width=9.0,
        height=2.4 + 1.05 * rows,
    )


def _draw(system: str, log: Log, shown: dict[int, str], figure: FigureBase) -> None:
    rows = -(-len(shown) // COLUMNS)
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.4, 1.05 * rows])
    has_epochs = bool(np.isfinite(log["epoch"]).all())
    x = log["epoch" if has_epochs else "step"]
    _draw_all(parts[0].subplots(), system, x, log)
    parts[0].axes[0].set_xlabel("epoch" if has_epochs else "step")
    cells = parts[1].subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    logged = np.isfinite(log["beta_p_by_language"]).any(axis=1)
    everyone = thin(x[logged], np.nanmean(log["beta_p_by_language"][logged], axis=1), SMALL_POINTS)
    for cell, (index, name) in zip(cells, shown.items(), strict=False):
        cell.plot(*everyone, color=light("muted"), linewidth=0.7, zorder=1.9)
        own = log["beta_p_by_language"][:, index]
        heard = np.isfinite(own)
        cell.plot(*thin(x[heard], own[heard], SMALL_POINTS), color=light("series-1"), linewidth=1.1)
        cell.set_title(name, loc="left", fontsize=8, pad=2)
        cell.set_title(f"{_late_mean(own):#.3g}", loc="right", fontsize=7, pad=2, color=light("muted"))
        cell.margins(x=0.02)
        cell.locator_params(axis="x", nbins=3)
        cell.locator_params(axis="y", nbins=4)
    drawn = log["beta_p_by_language"][-max(1, round(DRAWN * len(x))) :, list(shown)]
    low, high = np.nanquantile(drawn, [0.005, 0.995])
    room = 0.08 * (high - low) + 0.01 * abs(high)
    if room:
        cells[0].set_ylim(low - room, high + room)
    for cell in cells[len(shown) :]:
        cell.set_axis_off()


def _draw_all(ax: Axes, system: str, x: np.ndarray, log: Log) -> None:
    spread = np.isfinite(log["beta_p_q05"])
    if spread.any():
        where, low = thin(x[spread], log["beta_p_q05"][spread])
        _, high = thin(x[spread], log["beta_p_q95"][spread])
        ax.fill_between(
            where, low, high, color=light("series-1"), alpha=0.22, linewidth=0, label="5 to 95 % of a mini-batch"
        )
    lines: list[tuple[str, str, dict[str, Any]]] = [
        ("beta_p_median", "median of a mini-batch", {"color": light("series-1"), "linewidth": 1.3}),
        ("beta_p_mean", "mean", {"color": light("ink"), "linewidth": 0.9, "dashes": (4, 3)}),
    ]
    for column, label, style in lines:
        logged = np.isfinite(log[column])
        if logged.any():
            ax.plot(*thin(x[logged], log[column][logged]), label=label, **style)
    ax.set_title(f"System {system}: β·p over training", loc="left", pad=20)
    ax.set_ylabel("additive margin β·p")
    ax.margins(x=0.01)
    ax.grid(True, axis="y")
    ax.legend(
        frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, borderpad=0.2, handlelength=1.6
    )  # fmt: skip


def _late_mean(values: np.ndarray) -> float:
    """Mean of the last quarter, of what was measured there; NaN for nothing."""
    late = values[-max(1, round(LATE * len(values))) :]
    measured = late[np.isfinite(late)]
    return float(measured.mean()) if len(measured) else float("nan")
