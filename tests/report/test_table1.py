"""The numbers are the file's, bold is the best, and the paper's numbers stand beside the paper's data only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isogloss.report import load_run
from isogloss.report.table1 import METRICS, build_table, rivals, table1_markdown
from isogloss.systems import SYSTEMS
from isogloss.types import IsoglossError

FakeRun = Callable[..., Path]


def _cells(markdown: str) -> list[list[str]]:
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize("metric", list(METRICS))
def test_numbers_and_intervals_are_those_of_the_file(fake_run: FakeRun, metric: str) -> None:
    path = fake_run(systems=["1", "5", "8"])
    written = json.loads(path.read_text())
    rows = _cells(table1_markdown(load_run(path), metric, "olr2020"))
    head, body = rows[0], rows[2:]
    assert head[6:] == ["Full length", "Short", "Cross-channel", "Open set"]
    for raw, row in zip(written["systems"], body, strict=True):
        assert row[0] == raw["id"]
        for condition, cell in zip(written["conditions"], row[6:], strict=True):
            result = raw["backends"]["olr2020"][condition][metric]
            digits, scale = (1, 100) if METRICS[metric].percent else (3 if metric in ("cllr", "ece") else 4, 1)
            value, low, high = (f"{scale * result[key]:.{digits}f}" for key in ("value", "low", "high"))
            assert cell.replace("**", "") == f"{value} [{low}, {high}]"


def test_bold_is_the_lowest_cost_and_the_highest_accuracy(fake_run: FakeRun) -> None:
    path = fake_run(systems=["2", "3", "5", "6"])
    run = load_run(path)
    for metric in METRICS:
        table = build_table(run, metric, "head")
        for column, condition in enumerate(run.conditions):
            values = {}
            for system in run.systems:
                result = system.result("head", condition)
                assert result is not None
                values[system.id] = getattr(result, metric).value
            best = (max if metric in ("accuracy", "macro_f1") else min)(values, key=lambda name: values[name])
            assert best in [row.id for row in table.rows if row.cells[column].best]


def test_equal_printed_numbers_are_both_bold(fake_run: FakeRun) -> None:
    def tie(metrics: dict[str, Any]) -> None:
        for system, value in zip(metrics["systems"], (0.10001, 0.10003, 0.2), strict=True):
            system["backends"]["olr2020"]["short"]["cavg_min"] = {"value": value, "low": value, "high": value}

    run = load_run(fake_run(systems=["2", "3", "5"], conditions=["short"], change=tie))
    assert [row.cells[0].best for row in build_table(run, "cavg_min", "olr2020").rows] == [True, True, False]


def test_overlap_counts_intervals_that_share_a_point(fake_run: FakeRun) -> None:
    spans = {"2": (0.10, 0.08, 0.12), "3": (0.13, 0.12, 0.14), "5": (0.15, 0.1201, 0.18), "6": (0.2, None, None)}

    def set_spans(metrics: dict[str, Any]) -> None:
        for system in metrics["systems"]:
            value, low, high = spans[system["id"]]
            system["backends"]["olr2020"]["short"]["eer"] = {"value": value, "low": low, "high": high}

    run = load_run(fake_run(systems=list(spans), conditions=["short"], change=set_spans))
    leaders, num_overlapping = rivals(build_table(run, "eer", "olr2020"), 0)
    assert [row.id for row in leaders] == ["2"]
    assert num_overlapping == 1  # 3 touches it at 0.12, 5 does not reach it, 6 has no interval


def test_missing_values_are_dashes(fake_run: FakeRun) -> None:
    def spoil(metrics: dict[str, Any]) -> None:
        metrics["systems"][0]["backends"]["olr2020"]["short"]["eer"] = None
        metrics["systems"][1]["backends"]["olr2020"]["short"] = None
        del metrics["systems"][2]["backends"]["olr2020"]
        metrics["systems"][3]["backends"]["olr2020"]["short"]["eer"] = {"value": 0.05}

    run = load_run(fake_run(systems=["2", "3", "5", "6"], conditions=["short"], change=spoil))
    rows = _cells(table1_markdown(run, "eer", "olr2020"))[2:]
    assert [row[6] for row in rows] == ["–", "–", "–", "**5.0**"]


def test_constant_margins_have_no_beta_and_p(fake_run: FakeRun) -> None:
    rows = {row[0]: row for row in _cells(table1_markdown(load_run(fake_run()), "cavg_min", "olr2020"))[2:]}
    assert rows["1"][1:6] == ["x-vector", "Softmax", "–", "–", "–"]
    assert rows["4"][1:6] == ["MT x-vector", "AM", "0.22", "–", "–"]
    assert rows["8"][1:6] == ["MT x-vector", "APM (AAM)", "0.2", "10", "0.00206"]


def test_a_row_without_the_phoneme_task_says_its_network_and_loss(fake_run: FakeRun) -> None:
    rows = _cells(table1_markdown(load_run(fake_run(systems=["4", "4s"])), "cavg_min", "head"))
    assert [row[:4] for row in rows[2:]] == [["4", "MT x-vector", "AM", "0.22"], ["4s", "x-vector", "AM", "0.22"]]


def test_the_papers_numbers_stand_beside_the_papers_data_only(fake_run: FakeRun) -> None:
    path = fake_run(paper_data=True)
    run = load_run(path)
    rows = _cells(table1_markdown(run, "cavg_olr", "olr2020"))
    assert rows[0][6:] == ["Full length", "Short", "paper", "Cross-channel", "paper", "Open set", "paper"]
    for row in rows[2:]:
        system = SYSTEMS[row[0]]
        for cell, value, doubtful in zip(row[8::2], system.published_cavg, system.published_doubtful, strict=True):
            assert cell == ("–" if value is None else f"{value:.4f}" + "?" * doubtful)
    for metric in set(METRICS) - {"cavg_olr"}:
        assert "paper |" not in table1_markdown(run, metric, "olr2020")  # the paper prints one metric


def test_other_data_never_show_the_papers_numbers(fake_run: FakeRun) -> None:
    run = load_run(fake_run())
    for metric in METRICS:
        table = build_table(run, metric, "olr2020")
        assert not any(table.published)
        assert all(cell.published is None and cell.published_text == "" for row in table.rows for cell in row.cells)
    assert "paper |" not in table1_markdown(run, "cavg_olr", "olr2020")


def test_unknown_names_are_errors_that_help(fake_run: FakeRun) -> None:
    run = load_run(fake_run(systems=["2"], conditions=["short"]))
    with pytest.raises(IsoglossError, match="did you mean 'accuracy'"):
        build_table(run, "acuracy", "olr2020")
    with pytest.raises(IsoglossError, match="olr2020, head"):
        build_table(run, "eer", "plda")
