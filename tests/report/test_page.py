"""The page stands alone, can be read without seeing it, and says no more than was measured."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from isogloss.report import load_run, write_report
from isogloss.systems import TABLE_1

FakeRun = Callable[..., Path]
LOADS = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background"}


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += " " + data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, write_run: FakeRun) -> Path:
    folder = tmp_path_factory.mktemp("report")
    metrics = write_run(folder / "run", systems=["2", "5"], conditions=["short", "open"])
    return write_report(load_run(metrics), folder / "out")


def test_pictures_are_written(report: Path) -> None:
    names = {path.name for path in report.parent.iterdir()}
    pictures = {"table1.png", "figure2.png", "training.png", "det_short.png", "det_open.png"}
    assert names == {"report.html", "confusion_2.png", "confusion_5.png"} | pictures
    for name in names - {"report.html"}:
        content = (report.parent / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 5000, name


def test_nothing_is_loaded_from_elsewhere(report: Path) -> None:
    html = report.read_text()
    for tag, attributes in _Page(html).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "img")
        for name in LOADS & set(attributes):
            assert re.match(r"#|data:", attributes[name] or ""), (tag, name, attributes[name])
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_page_is_well_formed_for_assistive_technology(report: Path) -> None:
    tags = _Page(report.read_text()).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags:
        if tag == "th":
            assert attributes.get("scope") in ("row", "col", "rowgroup")
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        for name in ("aria-labelledby", "href"):
            if name in attributes:
                assert (attributes[name] or "").removeprefix("#") in ids
    headings = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))


def test_every_measured_number_stands_on_the_page(report: Path) -> None:
    text = _Page(report.read_text()).text
    for system in load_run(report.parent.parent / "run/metrics.json").systems:
        for results in system.backends.values():
            for result in results.values():
                assert result is not None
                for metric in ("cavg_olr", "cavg_min", "cavg_actual"):
                    interval = result.metric(metric)
                    assert interval is not None and f"{interval.value:.4f}" in text
                for metric in ("eer", "accuracy"):
                    interval = result.metric(metric)
                    assert interval is not None and interval.value is not None
                    assert f"{100 * interval.value:.1f}" in text


@pytest.mark.parametrize("moved", [0.0, 0.18])
def test_both_official_cavgs_are_shown_where_an_outlier_moved_one(
    fake_run: FakeRun, tmp_path: Path, moved: float
) -> None:
    def with_floor(metrics: dict[str, Any]) -> None:
        result = metrics["systems"][0]["backends"]["head"]["full"]
        result["cavg_olr_floored"] = {"value": result["cavg_olr"]["value"]}
        result["cavg_olr"]["value"] += moved

    run = load_run(fake_run(systems=["2"], conditions=["full"], backends=("head",), change=with_floor))
    page = _Page(write_report(run, tmp_path / "out").read_text()).text
    assert ("Cavg (OLR rule, floored)" in page) == (moved > 0)


def test_run_is_named_and_warnings_come_before_numbers(report: Path) -> None:
    metrics = json.loads((report.parent.parent / "run/metrics.json").read_text())
    page = _Page(report.read_text()).text
    for said in ("title", "corpus", "command", "commit", "machine"):
        assert metrics[said] in page
    assert page.index(metrics["warnings"][0]) < page.index("95 % interval")
    assert "train.batch_size" in page
    assert "not with published tables" in page


def test_enrolled_and_tested_languages_are_compared(fake_run: FakeRun, tmp_path: Path) -> None:
    run = load_run(fake_run(systems=["2"], conditions=["channel"], backends=("head",)))
    assert "Enrolled but not tested: ta, vi." in write_report(run, tmp_path / "out").read_text()


def test_missing_everything(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"conditions": ["full"], "systems": [{"id": "2"}, {"id": "mine"}]}))
    page = _Page(write_report(load_run(path), tmp_path / "out").read_text()).text
    assert "No system has been measured yet." in page
    assert "–" in page and "None" not in page and "nan" not in page.split()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.html"]


def test_missing_here_and_there(fake_run: FakeRun, tmp_path: Path) -> None:
    def spoil(metrics: dict[str, Any]) -> None:
        for key in ("command", "commit", "machine", "created", "config", "figures", "curves"):
            metrics[key] = None
        result = metrics["systems"][0]["backends"]["olr2020"]["short"]
        for key in ("cavg_olr", "eer", "det", "confusion", "per_language", "num_trials", "languages_enrolled"):
            result[key] = None
        metrics["systems"][1].update(p_mean=None, folds=None, seeds=None, seconds_train=None, m=None, beta=None)
        metrics["systems"][1]["backends"]["olr2020"]["short"]["per_language"]["vi"] = {"recall": None, "num": None}

    run = load_run(fake_run(systems=["2", "5"], conditions=["short"], change=spoil))
    page = _Page(write_report(run, tmp_path / "out").read_text()).text
    assert "None" not in page and "nan" not in page.split()
    assert not (tmp_path / "out/training.png").exists() and not (tmp_path / "out/figure2.png").exists()


def test_text_from_the_run_cannot_become_markup(fake_run: FakeRun, tmp_path: Path) -> None:
    def spoil(metrics: dict[str, Any]) -> None:
        metrics.update(title="<script>x</script>", corpus='"><blink>', warnings=["<img src=http://x>"])
        metrics["systems"][0]["label"] = "<script>y</script>"

    run = load_run(fake_run(systems=["2"], conditions=["short"], backends=("head",), change=spoil))
    html = write_report(run, tmp_path / "out").read_text()
    assert "<script" not in html and "<img" not in html and "<blink" not in html


@pytest.mark.parametrize("paper_data", [False, True])
def test_the_papers_numbers_need_the_papers_data(fake_run: FakeRun, tmp_path: Path, paper_data: bool) -> None:
    def clear(metrics: dict[str, Any]) -> None:  # nothing measured here may look like a number of the paper
        metrics.update(curves={}, figures={})
        for system in metrics["systems"]:
            system["backends"]["head"]["short"] = {"cavg_olr": {"value": 0.3, "low": 0.29, "high": 0.31}}

    path = fake_run(
        systems=["2", "7", "8"], conditions=["short"], backends=("head",), paper_data=paper_data, change=clear
    )
    page = _Page(write_report(load_run(path), tmp_path / "out").read_text()).text
    for name, mark in (("2", ""), ("7", "?"), ("8", "")):
        assert (f"{TABLE_1[name].published_cavg[0]:.4f}{mark}" in page) == paper_data
    assert ("not with published tables" in page) != paper_data


def test_import_is_light() -> None:
    code = (
        "import sys, isogloss.report; "
        "sys.exit(' '.join(m for m in ('matplotlib', 'jinja2', 'torch') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
