"""Embeddings of test clips in the plane, every clip drawn as the name of its language: no legend, no colour to be told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from isogloss.report.style import COLOURS, Panel, light
from isogloss.report.summary import EmbeddingMap, RunSummary
from isogloss.types import OUT_OF_SET

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

SERIES = [name for name in COLOURS if name.startswith("series-")]


def embedding_panels(run: RunSummary) -> dict[str, Panel]:
    """System id → its panel."""
    return {
        system.id: Panel(
            key=f"embeddings-{system.id}",
            alt=f"System {system.id}: embeddings of {len(places.x)} test clips in the plane. Of the five nearest clips in "
            f"the whole space {100 * places.neighbours:.0f} % are of a clip's own language; by chance it would be "
            f"{100 * places.chance:.0f} %.",
            draw=partial(_draw, system.id, places),
            width=9.0,
            height=5.6,
        )
        for system in run.systems
        if (places := system.embeddings)
    }


def _draw(system: str, places: EmbeddingMap, figure: FigureBase) -> None:
    ax = figure.subplots()
    of = {language: index for index, language in enumerate(x for x in places.languages if x != OUT_OF_SET)}
    strangers = [(x, y) for x, y, index in _points(places) if places.languages[index] == OUT_OF_SET]
    if strangers:
        ax.plot(*zip(*strangers, strict=True), "x", color=light("muted"), markersize=3, markeredgewidth=0.7)
    for x, y, index in _points(places):
        language = places.languages[index]
        if language != OUT_OF_SET:
            ax.text(
                x, y, language, fontsize=7.5, ha="center", va="center", color=light(SERIES[of[language] % len(SERIES)])
            )
    room = 0.03 * (max(places.x) - min(places.x)), 0.03 * (max(places.y) - min(places.y))
    ax.set_xlim(min(places.x) - room[0], max(places.x) + room[0])
    ax.set_ylim(min(places.y) - room[1], max(places.y) + room[1])
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(light("rule"))
    ax.set_title(f"System {system}: embeddings of {len(places.x)} test clips", loc="left")


def _points(places: EmbeddingMap) -> Iterator[tuple[float, float, int]]:
    return zip(places.x, places.y, places.language, strict=True)
