"""Table 1 as a picture: every number with its interval drawn to scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isogloss.report.style import Panel, light
from isogloss.report.table1 import MISSING, Table, condition_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


def table1_panel(table: Table) -> Panel | None:
    """The table as a picture: every number with its interval drawn to scale, and the paper's as a diamond.

    None where nothing was measured.
    """
    if not table.measured:
        return None
    id_width = 0.12 + 0.085 * max(len(row.id) for row in table.rows)  # inches, at the pictures' 8 points
    names_width = id_width + 0.068 * max(len(table.metric.title), *(len(row.label) for row in table.rows))

    def draw(figure: FigureBase) -> None:
        num_columns = len(table.conditions)
        axes = figure.subplots(1, num_columns + 1, sharey=True, width_ratios=[names_width] + [1.6] * num_columns)
        _draw_names(axes[0], table, label_at=id_width / names_width)
        for column, ax in enumerate(axes[1:]):
            _draw_column(ax, table, column)

    return Panel(
        key="table1",
        alt=f"{table.metric.title} of {len(table.rows)} systems under {len(table.conditions)} conditions, each with "
        "its 95 % interval; the same numbers stand in the table.",
        draw=draw,
        width=names_width + 1.75 * len(table.conditions),
        height=0.9 + 0.27 * len(table.rows),
    )


def _draw_names(ax: Axes, table: Table, label_at: float) -> None:
    ax.set_xlim(0, 1)
    ax.set_ylim(len(table.rows) - 0.4, -0.6)
    ax.axis("off")
    for y, row in enumerate(table.rows):
        ax.text(0.0, y, row.id, va="center", ha="left", weight="bold")
        ax.text(label_at, y, row.label, va="center", ha="left")
    ax.set_title(table.metric.title, loc="left", weight="bold")


def _draw_column(ax: Axes, table: Table, column: int) -> None:
    cells = [row.cells[column] for row in table.rows]
    for y, cell in enumerate(cells):
        if cell.measured is None or cell.measured.value is None:
            ax.annotate(MISSING, (1.03, y), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
            continue
        ax.axhline(y, color=light("rule"), linewidth=0.5, zorder=0)
        scale = 100 if table.metric.percent else 1
        colour = light("series-1") if cell.best else light("muted")
        if cell.measured.low is not None and cell.measured.high is not None:
            ax.plot(
                [scale * cell.measured.low, scale * cell.measured.high],
                [y, y],
                color=colour,
                linewidth=1.4,
                solid_capstyle="butt",
            )
        if len(seeds := cell.measured.by_seed or []) > 1:
            ax.plot([scale * one for one in seeds], [y + 0.28] * len(seeds), "|", color=colour, markersize=3.5)
        ax.plot([scale * cell.measured.value], [y], "o", color=colour, markersize=4.5)
        if cell.published is not None:
            ax.plot(
                [cell.published], [y], "D", markerfacecolor="none", markeredgecolor=light("series-2"), markersize=4.5
            )
        ax.annotate(cell.text, (1.03, y), xycoords=("axes fraction", "data"), va="center", annotation_clip=False,
                    weight="bold" if cell.best else "normal")  # fmt: skip
    ax.set_title(condition_name(table.conditions[column]), loc="left")
    ax.tick_params(left=False, labelleft=False)
    ax.spines["left"].set_visible(False)
    if any(cell.measured for cell in cells):
        ax.locator_params(axis="x", nbins=3)
    else:
        ax.set_xticks([])
