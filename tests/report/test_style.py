"""Colours can be read, line styles tell systems apart, pictures keep to themselves."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import matplotlib
import pytest
from matplotlib import _pylab_helpers
from matplotlib.figure import FigureBase

from isogloss.report.style import COLOURS, Panel, line_styles, png, svg
from isogloss.report.summary import SystemRun
from isogloss.systems import TABLE_1


def _luminance(colour: str) -> float:
    """Relative luminance of sRGB, WCAG 2.1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("name", [name for name in COLOURS if name not in ("page", "rule")])
def test_text_colours_have_enough_contrast(name: str, scheme: int) -> None:
    bright, dark = sorted((_luminance(COLOURS[name][scheme]), _luminance(COLOURS["page"][scheme])), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5  # WCAG AA


def test_every_light_colour_is_its_own() -> None:
    assert len({light for light, _ in COLOURS.values()}) == len(COLOURS)


def test_no_two_systems_look_alike() -> None:
    systems = [SystemRun(id=name) for name in [*TABLE_1, "mine", "yours", "third", "fourth"]]
    styles = line_styles(systems)
    for a, b in itertools.combinations(systems, 2):
        assert styles[a.id] != styles[b.id], (a.id, b.id)


def _dot(figure: FigureBase) -> None:
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=COLOURS["series-1"][0])
    ax.plot([0.5], [0.5], "o", color=COLOURS["muted"][0])
    ax.set_title("a < b")


def test_svg_takes_its_colours_from_the_page() -> None:
    text = svg(Panel(key="dots", alt='a "dot" < & more', draw=_dot))
    assert text.startswith('<svg role="img" aria-label="a &quot;dot&quot; &lt; &amp; more"')
    assert "var(--series-1)" in text and "var(--muted)" in text
    assert not any(light in text for light, _ in COLOURS.values())
    assert "a &lt; b" in text  # text stays text
    assert "http" not in text.replace("http://www.w3.org/1999/xlink", "")
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids) and all(name.startswith("dots-") for name in ids)
    for target in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text):
        assert "".join(target) in ids


def test_drawing_leaves_no_trace(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    managers = len(_pylab_helpers.Gcf.figs)
    panel = Panel(key="dots", alt="dots", draw=_dot)
    assert svg(panel) == svg(panel)
    png([panel, panel, panel], tmp_path / "a.png", columns=2, legend=[SystemRun(id="5")])
    assert dict(matplotlib.rcParams) == before
    assert len(_pylab_helpers.Gcf.figs) == managers
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]  # nothing half-written stays
