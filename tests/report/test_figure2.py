"""Figure 2 draws each mini-batch's β·p in a colour of its own beside the run's histogram."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isogloss.report import load_run
from isogloss.report.figure2 import definition_text, figure2_panels

FakeRun = Callable[..., Path]


def _rewrite(path: Path, **changes: Any) -> dict[str, Any]:
    margins: dict[str, Any] = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(margins))
    return margins


def test_batches_and_histogram_are_those_of_the_file(fake_run: FakeRun) -> None:
    path = fake_run(systems=["2", "5", "8"], conditions=["short"])
    written = json.loads((path.parent / "system_5/margins.json").read_text())
    panels = figure2_panels(load_run(path))
    assert [panel.key for panel in panels] == ["figure2-5", "figure2-8"]
    figure = Figure()
    panels[0].draw(figure)
    left, right = figure.axes
    lines = left.get_lines()
    for line, batch in zip(lines, written["batches"], strict=False):
        x, y = line.get_data()
        assert np.asarray(x).tolist() == list(range(len(batch["beta_p"])))
        assert np.asarray(y).tolist() == batch["beta_p"]
        assert line.get_label() == f"step {batch['step']}"
    assert len({line.get_color() for line in lines[:3]}) == 3
    assert [bar.get_width() for bar in right.patches] == written["histogram"]["counts"]
    assert [bar.get_y() for bar in right.patches] == written["histogram"]["edges"][:-1]


def test_definition_is_told(fake_run: FakeRun) -> None:
    run = load_run(fake_run(systems=["5"], conditions=["short"]))
    text = definition_text(run.margins["5"])
    for part in ("mean_max_posterior", "batch_softmax", "target_mean 0.002", "β = 10", "0.0206"):
        assert part in text


def test_missing_parts_are_left_out(fake_run: FakeRun) -> None:
    path = fake_run(systems=["5", "8"], conditions=["short"])
    nothing: dict[str, Any] = {"batches": [], "histogram": None, "mean": None, "definition": None}
    _rewrite(path.parent / "system_5/margins.json", **nothing)
    _rewrite(path.parent / "system_8/margins.json", histogram=None, mean=None, max=None)
    panels = figure2_panels(load_run(path))
    assert [panel.key for panel in panels] == ["figure2-8"]
    figure = Figure()
    panels[0].draw(figure)
    assert len(figure.axes[0].get_lines()) == 3
