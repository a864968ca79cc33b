"""Curves and matrices show what was measured: read back from the axes they were drawn on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from isogloss.report import load_run
from isogloss.report.curves import CURVE_POINTS, confusion_panels, det_panel, thin, training_panels
from isogloss.report.style import Panel

FakeRun = Callable[..., Path]


def _axes(panel: Panel) -> Any:
    figure = Figure()
    panel.draw(figure)
    return figure.axes[0]


def test_det_axes_are_probits_of_the_rates(fake_run: FakeRun) -> None:
    run = load_run(fake_run(systems=["2", "5"], conditions=["short"]))
    panel = det_panel(run, "short", "olr2020")
    assert panel is not None
    lines = _axes(panel).get_lines()
    for system, line in zip(run.systems, lines, strict=False):
        result = system.result("olr2020", "short")
        assert result is not None and result.det is not None
        x, y = line.get_data()
        inside = [i for i, p in enumerate(result.det.p_fa) if 0.01 < p < 0.99]
        for i in inside:
            assert x[i] == pytest.approx(NormalDist().inv_cdf(result.det.p_fa[i]))
        # Gaussian scores of equal variance: the deviates add up to minus their distance, a straight line
        both = [i for i in inside if 0.01 < result.det.p_miss[i] < 0.99]
        assert len(both) > 10
        assert np.ptp([x[i] + y[i] for i in both]) < 1e-6


def test_perfect_system_has_a_det_curve(fake_run: FakeRun) -> None:
    def perfect(metrics: dict[str, Any]) -> None:
        metrics["systems"][0]["backends"]["olr2020"]["short"]["det"] = {"p_miss": [0, 0, 1], "p_fa": [1, 0, 0]}

    run = load_run(fake_run(systems=["2"], conditions=["short"], change=perfect))
    panel = det_panel(run, "short", "olr2020")
    assert panel is not None
    ax = _axes(panel)
    assert np.isfinite([line.get_data() for line in ax.get_lines()[:1]]).all()
    assert ax.get_xlim()[0] < ax.get_xlim()[1]


def test_no_det_no_panel(fake_run: FakeRun) -> None:
    def drop(metrics: dict[str, Any]) -> None:
        metrics["systems"][0]["backends"]["olr2020"]["short"].update(det=None, confusion=None)

    run = load_run(fake_run(systems=["2"], conditions=["short"], change=drop))
    assert det_panel(run, "short", "olr2020") is None
    assert det_panel(run, "short", "head") is not None
    assert confusion_panels(run, run.systems[0], "olr2020") == []


def test_confusion_shade_is_the_share_of_the_row_and_counts_are_printed(fake_run: FakeRun) -> None:
    languages = ["aa", "bb", "cc"]
    counts = [[8, 2, 0], [0, 0, 0], [1, 0, 3]]

    def three(metrics: dict[str, Any]) -> None:
        confusion = {"languages": languages, "counts": counts}
        metrics["systems"][0]["backends"]["olr2020"]["short"]["confusion"] = confusion

    run = load_run(fake_run(systems=["2"], conditions=["short"], change=three))
    (panel,) = confusion_panels(run, run.systems[0], "olr2020")
    assert "25 % of cc is taken for aa" in panel.alt
    ax = _axes(panel)
    opacity = ax.get_images()[0].get_array()[..., 3]
    assert opacity.tolist() == [[0.8, 0.2, 0.0], [0.0, 0.0, 0.0], [0.25, 0.0, 0.75]]
    printed = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in ax.texts}
    assert printed == {(0, 0): "8", (0, 1): "2", (2, 0): "1", (2, 2): "3"}
    assert [t.get_text() for t in ax.get_yticklabels()] == languages


def test_many_languages_print_no_counts(fake_run: FakeRun) -> None:
    def many(metrics: dict[str, Any]) -> None:
        confusion = {"languages": [f"l{i}" for i in range(90)], "counts": np.eye(90, dtype=int).tolist()}
        metrics["systems"][0]["backends"]["olr2020"]["short"]["confusion"] = confusion

    run = load_run(fake_run(systems=["2"], conditions=["short"], change=many))
    ax = _axes(confusion_panels(run, run.systems[0], "olr2020")[0])
    assert len(ax.texts) == 0
    assert len(ax.get_yticks()) <= 40


def test_training_curves_show_only_what_was_logged(fake_run: FakeRun) -> None:
    run = load_run(fake_run(systems=["1", "5"], conditions=["short"]))
    panels = {panel.key.removeprefix("training-"): panel for panel in training_panels(run)}
    assert len(_axes(panels["loss_language"]).get_lines()) == 2
    assert len(_axes(panels["phone_accuracy"]).get_lines()) == 1  # system 1 has no phoneme head
    assert len(_axes(panels["beta_p_mean"]).get_lines()) == 1
    valid = run.logs["1"]["valid_accuracy"]
    x, y = _axes(panels["valid_accuracy"]).get_lines()[0].get_data()
    assert y.tolist() == pytest.approx((100 * valid[np.isfinite(valid)]).tolist())
    assert x.tolist() == run.logs["1"]["epoch"][np.isfinite(valid)].tolist()
    single = load_run(fake_run(systems=["1"], conditions=["short"]))
    assert "training-beta_p_mean" not in [panel.key for panel in training_panels(single)]


def test_thinning_is_the_mean_of_equal_stretches() -> None:
    x = np.arange(4.0 * CURVE_POINTS)
    thin_x, thin_y = thin(x, x**2)
    assert len(thin_x) == CURVE_POINTS
    for i in range(CURVE_POINTS):
        assert thin_x[i] == pytest.approx(np.mean([4 * i + k for k in range(4)]))
        assert thin_y[i] == pytest.approx(np.mean([(4 * i + k) ** 2 for k in range(4)]))
    short = np.arange(5.0)
    assert thin(short, short)[1] is short
