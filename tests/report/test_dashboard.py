"""The margins over training are those of the log, by language and by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from isogloss.report import load_run, write_report
from isogloss.report.dashboard import COLUMNS, MAX_LANGUAGES, margin_panels
from isogloss.types import IsoglossError

FakeRun = Callable[..., Path]
NUM_LINES = 40


def log_languages(metrics: Path, by_language: list[list[float | None]], names: list[str] | None = None) -> None:
    """Write a log of system 5 that has these means by language, and the names beside."""
    lines = []
    for number, means in enumerate(by_language):
        known = [mean for mean in means if mean is not None]
        lines.append(
            {
                "step": 20 * (number + 1),
                "epoch": (number + 1) / 8,
                "beta_p_mean": sum(known) / max(len(known), 1),
                "beta_p_q05": 0.01,
                "beta_p_median": 0.02 + number / 1000,
                "beta_p_q95": 0.09,
                "beta_p_by_language": means,
            }
        )
    folder = metrics.parent / "system_5"
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    margins = json.loads((folder / "margins.json").read_text()) | ({"languages": names} if names else {})
    (folder / "margins.json").write_text(json.dumps(margins))


def means_of(num_languages: int) -> list[list[float | None]]:
    """Language 0 is given most; the last is not spoken in the first line, which is shorter by it."""
    rows: list[list[float | None]] = [
        [0.01 + 0.02 * (num_languages - language) + 0.0001 * line for language in range(num_languages)]
        for line in range(NUM_LINES)
    ]
    rows[0].pop()
    rows[5][0] = None
    return rows


def axes_of(metrics: Path) -> list[Any]:
    figure = Figure()
    margin_panels(load_run(metrics))["5"].draw(figure)
    return [ax for part in figure.subfigs for ax in part.axes]


def test_lines_and_band_are_those_of_the_log(fake_run: FakeRun) -> None:
    metrics, rows = fake_run(systems=["2", "5"], conditions=["short"]), means_of(3)
    log_languages(metrics, rows, ["cs", "sw", "vi"])
    assert list(margin_panels(load_run(metrics))) == ["5"]
    top, *cells = axes_of(metrics)
    median, mean = top.get_lines()
    assert median.get_xdata() == pytest.approx([(n + 1) / 8 for n in range(NUM_LINES)])
    assert median.get_ydata() == pytest.approx([0.02 + n / 1000 for n in range(NUM_LINES)])
    assert mean.get_ydata()[1] == pytest.approx(sum(rows[1]) / 3)
    (band,) = top.collections
    assert band.get_paths()[0].get_extents().ymin == pytest.approx(0.01)
    assert band.get_paths()[0].get_extents().ymax == pytest.approx(0.09)
    assert [cell.get_title("left") for cell in cells[:3]] == ["cs", "sw", "vi"]
    for language, cell in enumerate(cells[:3]):
        everyone, own = cell.get_lines()
        heard = [n for n, row in enumerate(rows) if language < len(row) and row[language] is not None]
        assert own.get_xdata() == pytest.approx([(n + 1) / 8 for n in heard])
        assert own.get_ydata() == pytest.approx([rows[n][language] for n in heard])
        assert everyone.get_ydata()[1] == pytest.approx(sum(rows[1]) / 3)
        late = np.mean([rows[n][language] for n in range(30, 40)])
        assert cell.get_title("right") == f"{late:#.3g}"
    assert len(cells) == COLUMNS and not any(cell.get_lines() for cell in cells[3:])


def test_they_are_ordered_by_what_they_were_given_late(fake_run: FakeRun) -> None:
    metrics = fake_run(systems=["5"], conditions=["short"])
    rows = [[0.5, 0.1, 0.2]] * 30 + [[0.1, 0.3, 0.2]] * 10
    log_languages(metrics, rows, ["cs", "sw", "vi"])
    assert [cell.get_title("left") for cell in axes_of(metrics)[1:4]] == ["sw", "vi", "cs"]
    assert "sw was given most, 0.3 on average, and cs least, 0.1" in margin_panels(load_run(metrics))["5"].alt


def test_of_very_many_languages_the_highest_and_the_lowest_are_shown(fake_run: FakeRun) -> None:
    metrics, num = fake_run(systems=["5"], conditions=["short"]), MAX_LANGUAGES + 6
    log_languages(metrics, means_of(num))
    shown = [cell.get_title("left") for cell in axes_of(metrics)[1:]]
    half = MAX_LANGUAGES // 2
    assert shown == [f"language {n}" for n in (*range(half), *range(num - half, num))]
    assert f"{MAX_LANGUAGES} of {num} languages" in margin_panels(load_run(metrics))["5"].alt


@pytest.mark.parametrize("rows", [[[0.02]], [[0.02, 0.02]] * 3, [[None, 0.02]], [[0.0, 0.0]]])
def test_little_and_constant_logs_can_be_drawn(fake_run: FakeRun, rows: list[list[float | None]]) -> None:
    metrics = fake_run(systems=["5"], conditions=["short"])
    log_languages(metrics, rows)
    assert axes_of(metrics)


def test_without_languages_in_the_log_there_is_no_picture(fake_run: FakeRun) -> None:
    metrics = fake_run(systems=["2", "5"], conditions=["short"])
    assert margin_panels(load_run(metrics)) == {}
    log_languages(metrics, [[], [None, None]])
    assert margin_panels(load_run(metrics)) == {}


def test_a_list_that_is_none_is_an_error(fake_run: FakeRun) -> None:
    metrics = fake_run(systems=["5"], conditions=["short"])
    for wrong in ('{"step": 1, "beta_p_by_language": 0.1}', '{"step": 1, "beta_p_by_language": ["much"]}'):
        (metrics.parent / "system_5/log.jsonl").write_text(wrong)
        with pytest.raises(IsoglossError, match=r"line 1: beta_p_by_language: expected a (list|number) or null"):
            load_run(metrics)


def test_the_page_has_them(fake_run: FakeRun, tmp_path: Path) -> None:
    metrics = fake_run(systems=["5"], conditions=["short"])
    log_languages(metrics, means_of(4), ["cs", "sw", "vi", "ta"])
    page = write_report(load_run(metrics), tmp_path / "out").read_text()
    assert '<h2 id="margins">' in page and 'href="#margins"' in page
    assert "ta least" in page and ">vi<" in page
    assert (tmp_path / "out" / "margins.png").read_bytes().startswith(b"\x89PNG")
