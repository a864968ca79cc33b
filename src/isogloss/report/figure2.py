"""Figure 2 of the paper: the margins β·p of a few mini-batches, and how β·p was distributed over the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isogloss.report.margins import Margins
from isogloss.report.style import Panel, light
from isogloss.report.summary import RunSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


def figure2_panels(run: RunSummary) -> list[Panel]:
    """One panel per system that trained with a phoneme-aware margin and left its margins."""
    found = [(system.id, run.margins.get(system.id)) for system in run.systems]
    return [_panel(name, margins) for name, margins in found if margins and (margins.batches or margins.histogram)]


def definition_text(margins: Margins) -> str:
    """The definition of p in words: `statistic mean_max_posterior, normalise batch_softmax, β = 10, mean β·p 0.020`."""
    parts = [f"{name} {value}" for name, value in margins.definition.items() if value is not None]
    for name, value in (("β =", margins.beta), ("mean β·p of the run", margins.mean), ("largest", margins.max)):
        if value is not None:
            parts.append(f"{name} {value:.3g}")
    return ", ".join(parts)


def _panel(system: str, margins: Margins) -> Panel:
    def draw(figure: FigureBase) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
        _draw_batches(left, system, margins)
        _draw_histogram(right, margins)

    values = [v for batch in margins.batches for v in batch.beta_p]
    spread = f" between {min(values):.3g} and {max(values):.3g}" if values else ""
    return Panel(
        key=f"figure2-{system}",
        alt=f"System {system}: β·p of {len(margins.batches)} mini-batches{spread}, beside the histogram of the run. "
        f"{definition_text(margins)}.",
        draw=draw,
        width=9.0,
        height=3.1,
    )


def _draw_batches(ax: Axes, system: str, margins: Margins) -> None:
    for index, batch in enumerate(margins.batches):
        ax.plot(
            np.arange(len(batch.beta_p)),
            batch.beta_p,
            color=light(f"series-{index % 4 + 1}"),
            linewidth=0.9,
            alpha=0.9,
            label=f"step {batch.step}",
        )
    if margins.mean is not None:
        ax.axhline(margins.mean, color=light("ink"), linewidth=0.8, dashes=(4, 3), label="mean of the run")
    ax.set_title(f"System {system}: β·p within {len(margins.batches)} mini-batches", loc="left", pad=20)
    ax.set_xlabel("training sample in the mini-batch")
    ax.set_ylabel("additive margin β·p")
    ax.margins(x=0.01)
    ax.set_ylim(bottom=0)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            frameon=False,
            ncols=4,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0,
            borderpad=0.2,
            handlelength=1.6,
        )


def _draw_histogram(ax: Axes, margins: Margins) -> None:
    ax.set_title("Whole run", loc="left", pad=20)
    if margins.histogram is None or not any(margins.histogram.counts):
        ax.set_axis_off()
        return
    edges, counts = np.asarray(margins.histogram.edges), np.asarray(margins.histogram.counts)
    # a little higher than their bin: where bars only touch, browsers show the ground between them
    ax.barh(edges[:-1], counts, height=1.05 * np.diff(edges), align="edge", color=light("muted"), linewidth=0)
    if counts.max() > 50 * counts[counts > 0].min():
        ax.set_xscale("log")
        ax.set_xlim(left=0.8)
    ax.set_xlabel("samples (log scale)" if ax.get_xscale() == "log" else "samples")
    ax.tick_params(labelleft=False)
