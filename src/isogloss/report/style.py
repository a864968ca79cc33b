"""How the pictures look: colours for light and dark, line styles of the systems, and a Panel's way to SVG and PNG.

An SVG stands inside the page and takes its colours from the page's CSS variables, so one drawing serves light, dark and
print. matplotlib draws with the light colours below; each is replaced by `var(--name)` afterwards, which works because
every name has a colour of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.report.summary import SystemRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

COLOURS: dict[str, tuple[str, str]] = {  # name: (light, dark); at least 4.5 : 1 against the page, but for the rules
    "page": ("#fdfdfb", "#14171b"),
    "ink": ("#1d2228", "#e4e6e8"),
    "muted": ("#5b6470", "#a0a8b2"),
    "rule": ("#d3d7dc", "#363c44"),
    "series-1": ("#1f5fa8", "#7ab3f5"),  # blue: AM
    "series-2": ("#b4470f", "#f59b62"),  # vermilion: AAM
    "series-3": ("#1d7a50", "#62c996"),  # green
    "series-4": ("#7a4399", "#c99ae6"),  # purple
    "series-5": ("#a61e5d", "#f490bb"),  # raspberry
    "series-6": ("#6b6100", "#cfc257"),  # olive
}
HEAT = "#2563b0"
"""Colour of the confusion matrices, laid over the page with the rate as its opacity: it serves light and dark alike."""

DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.2, 1.6), (7, 2, 1.2, 2))  # on, off, in points


def light(name: str) -> str:
    return COLOURS[name][0]


@dataclass(frozen=True)
class LineStyle:
    colour: str  # a name of COLOURS
    dash: tuple[float, ...]  # on, off, in points; empty: solid
    width: float  # points

    def matplotlib(self) -> dict[str, Any]:
        return {
            "color": light(self.colour),
            "linewidth": self.width,
            "linestyle": (0, self.dash) if self.dash else "-",
            "zorder": 1.9 if self.width > 2 else 2.0,  # a thick line must not hide the thin ones
        }


def line_styles(systems: Sequence[SystemRun]) -> dict[str, LineStyle]:
    """Colour: the loss head; dashes: the constant margins of one head; a thick line: a phoneme-aware margin."""
    heads = {"softmax": "muted", "am": "series-1", "aam": "series-2"}
    others = ("series-3", "series-4")
    styles: dict[str, LineStyle] = {}
    seen: dict[str, int] = {}
    for system in systems:
        known = system.of_table_1
        phoneme_aware = known is not None and known.beta > 0
        colour = heads.get(known.head, "ink") if known else others[seen.get("other", 0) % len(others)]
        family = f"{colour}, phoneme-aware" if phoneme_aware else colour if known else "other"
        order = seen.get(family, 0)
        seen[family] = order + 1
        dash = DASHES[(order if known else order // len(others)) % len(DASHES)]
        styles[system.id] = LineStyle(colour, dash, 2.1 if phoneme_aware else 1.2)
    return styles


@dataclass(frozen=True)
class Panel:
    """One picture: `draw` fills an empty figure, or part of one, of `width` × `height` inches."""

    key: str  # unique within a page: it prefixes the ids inside the SVG
    alt: str  # what a reader who cannot see it should know
    draw: Callable[[FigureBase], None]
    width: float = 3.5
    height: float = 2.9


def svg(panel: Panel) -> str:
    """The panel as an `<svg>` element without a size of its own (CSS decides) and without any outside reference."""
    with _drawing():
        figure = _figure(panel.width, panel.height)
        panel.draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ((?:\w+ )*)([\d.]+)px [^;\"]*", r"font: \1\2px sans-serif", text)
    text = _smaller(text)
    text = re.sub(r' id="([^"]+)"', rf' id="{panel.key}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{panel.key}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{panel.key}-\1)", text)
    for name, (colour, _) in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    alt = panel.alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    head = f'<svg role="img" aria-label="{alt}" style="--width: {panel.width:g}" '
    body = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', lambda match: f"{head}{match[1]}>", text)
    return re.sub(r"\n\s*", "\n", body).strip()


def _smaller(text: str) -> str:
    """The same picture in a third of the characters: hundredths of a point, no name that nothing refers to, styles once."""
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", lambda x: f"{float(x[0]):.2f}", tag[0]), text)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r"font-family: [^;\"]*(; |(?=\"))", "", text)  # the page has one for all
    for style, times in Counter(re.findall(r'style="([^"]*)"', text)).items():
        if times > 7:  # the same style has the same name in every picture
            name = f"s{hashlib.sha256(style.encode()).hexdigest()[:6]}"
            text = text.replace("</style>", f" .{name} {{{style}}}</style>", 1)
            text = text.replace(f'style="{style}"', f'class="{name}"')
    used = set(re.findall(r"#([\w.:-]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"<g/>\s*", "", text)
    return re.sub(r"<g>\s*(<text[^>]*>[^<]*</text>|<use[^>]*/>)\s*</g>", r"\1", text)


def png(panels: Sequence[Panel], path: Path, columns: int, legend: Sequence[SystemRun] = ()) -> None:
    """The panels in a grid on a light ground, the systems' line styles below; written beside and renamed."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width, height = columns * max(p.width for p in panels), rows * max(p.height for p in panels)
    below = 0.1 + 0.2 * -(-len(legend) // _legend_columns(width)) if legend else 0.0
    with _drawing():
        figure = _figure(width, height + below)
        upper: FigureBase = figure
        if legend:
            parts: Any = figure.subfigures(2, 1, height_ratios=[height, below])
            upper = parts[0]
            _draw_legend(parts[1], legend, _legend_columns(width))
        cells: Any = upper.subfigures(rows, columns, squeeze=False)
        for cell, panel in zip(cells.ravel(), panels, strict=False):
            panel.draw(cell)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160, facecolor=light("page"))
    write_beside(path, buffer.getvalue())


def write_beside(path: Path, content: bytes) -> None:
    """Write next to `path`, then rename: a reader never meets half a file."""
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)


def _legend_columns(width: float) -> int:
    return max(1, int(width / 2.6))


def _draw_legend(figure: FigureBase, systems: Sequence[SystemRun], columns: int) -> None:
    from matplotlib.lines import Line2D

    styles = line_styles(systems)
    handles = [Line2D([], [], label=f"{s.id}  {s.label}", **styles[s.id].matplotlib()) for s in systems]
    figure.legend(handles=handles, loc="center", ncols=columns, frameon=False, handlelength=2.6)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # Agg without pyplot: nothing is registered anywhere
    return figure


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """matplotlib's settings for our pictures, put back afterwards."""
    import matplotlib

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "isogloss",  # the same picture gives the same file
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 8,
        "axes.titlesize": 9,
        "axes.labelsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.facecolor": "none",
        "axes.edgecolor": light("muted"),
        "axes.labelcolor": light("muted"),
        "axes.titlecolor": light("ink"),
        "text.color": light("ink"),
        "xtick.color": light("muted"),
        "ytick.color": light("muted"),
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "grid.color": light("rule"),
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
        "legend.fontsize": 8,
        "path.simplify": True,
    }
    with matplotlib.rc_context(settings):
        yield
