"""What the page says of languages, durations, calibration, unknown languages, errors, embeddings and leaks is the file's."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from isogloss.report import load_run, write_report
from isogloss.report.breakdown import breakdown
from isogloss.report.embeddings import embedding_panels
from isogloss.report.in_short import enrolment_lines, in_short, leaks_line
from isogloss.report.reliability import reliability_panels, wilson
from isogloss.report.sections import error_tables, language_counts, recordings_folder
from isogloss.report.summary import Leaks
from isogloss.types import OUT_OF_SET, IsoglossError

FakeRun = Callable[..., Path]
RELIABILITY = {"num": [0, 8, 2], "confidence": [None, 0.5, 0.9], "accuracy": [None, 0.25, 1.0]}
DURATIONS = [
    {"above_seconds": 0, "up_to_seconds": 1, "num": 30, "accuracy": {"value": 0.2, "low": 0.1, "high": 0.3},
     "per_language": {"ca": {"recall": 0.25, "num": 4}}},
    {"above_seconds": 10, "up_to_seconds": None, "num": 7, "accuracy": {"value": 0.6},
     "per_language": {"ca": {"recall": 0.5, "num": 6}, "vi": {"recall": 1.0, "num": 1}}},
]  # fmt: skip
ERRORS = [
    {"clip": "a-1", "recording": "vid1", "spoken": "ca", "called": "vi", "posterior": 0.97, "log_odds": 4.5,
     "voiced_seconds": 3.25, "path": "/data/talks/ca/1.opus", "start": 0.0, "duration": 4.0, "language": "ca"},
    {"clip": "a-2", "recording": "vid2", "spoken": OUT_OF_SET, "called": "el", "posterior": 0.6, "log_odds": -0.25,
     "voiced_seconds": None, "path": "/data/talks/xx/2 b.opus", "start": 61.5, "duration": 4.0, "language": "isl"},
]  # fmt: skip
EMBEDDINGS = {
    "x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 3.0], "language": [1, 2, 0], "languages": [OUT_OF_SET, "ca", "vi"],
    "num_clips": 9, "neighbours": 0.31, "chance": 0.12,
}  # fmt: skip
LEAKS = {
    "shared": {
        "train-test": {"recordings": 0, "speakers": 3, "duplicates": 1, "examples": [["a", "b"]]},
        "train-enrol": {"recordings": 40, "speakers": 40, "duplicates": 0, "examples": []},
    },
    "channel_probe": {"accuracy": 0.4, "low": 0.3, "high": 0.5, "chance": 0.125, "num_utterances": 90, "seconds": 1.0},
}


def enrich(metrics: dict[str, Any]) -> None:
    """Everything that a run of several seeds measures besides."""
    metrics |= {
        "leaks": LEAKS,
        "unknown_languages": {"isl": 4},
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "trained_by": [{"command": "isogloss recipe vl16 --seed 7", "commit": "abc1234"}],
    }
    for system in metrics["systems"]:
        system["enrolment"] = {"by_language": {"ca": 20, "vi": 22}, "num_seen": 42, "how": None}
        system["embeddings"] = EMBEDDINGS
        for results in system["backends"].values():
            for condition, result in results.items():
                result |= {"reliability": RELIABILITY, "durations": DURATIONS, "worst": ERRORS}
                if condition == "open":
                    result["operating_point"] = {"at_most": 0.05, "num_validation": 76, "known_rejected": 0.111,
                                                 "known_right": 0.654, "unknown_accepted": 0.777}  # fmt: skip


@pytest.fixture
def rich(fake_run: FakeRun) -> Path:
    return fake_run(systems=["2", "5"], conditions=["full", "short", "open"], backends=("olr2020",), change=enrich)


def test_the_whole_page(fake_run: FakeRun, tmp_path: Path) -> None:
    rich = fake_run(systems=["2"], conditions=["full", "open"], backends=("head",), change=enrich)
    html = write_report(load_run(rich), tmp_path / "out").read_text()
    text = re.sub(r"<[^>]+>", " ", html)
    for said in ("77.7", "65.4", "11.1", "isl (not enrolled)", "−0.25", "4.50", "31 % of the five nearest", "≤ 1 s",
                 "&gt; 10 s", "isl (4) clips", "a = b", "python 3.11.7", "isogloss recipe vl16 --seed 7", "commit abc1234",
                 "ca/1.opus", "xx/2 b.opus from 61.50 s"):  # fmt: skip
        assert said in text, said
    assert 'href="file:///data/talks/xx/2%20b.opus#t=61.50"' in html
    assert "None" not in text and "nan" not in text.split()
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(set(ids)) == len(ids)
    for target in re.findall(r'href="#([^"]+)"', html):
        assert target in ids
    assert {"reliability.png", "embeddings.png"} < {path.name for path in (tmp_path / "out").iterdir()}


def test_languages_durations_and_conditions(rich: Path) -> None:
    run = load_run(rich)
    table = breakdown(run, run.systems[0], "olr2020")
    assert table is not None
    assert table.conditions == [("Full length", 3), ("Short", 3)]  # the known clips of the open set are those of full
    assert [column.title for column in table.columns] == ["all", "≤ 1 s", "> 10 s"] * 2
    rows = dict(table.rows)
    result = run.systems[0].result("olr2020", "full")
    assert result is not None and result.accuracy is not None and result.accuracy.value is not None
    assert rows["all"][0].text == f"{100 * result.accuracy.value:.0f}" and rows["all"][0].num == 8 * 150
    assert (rows["all"][1].text, rows["all"][1].interval) == ("20", "[10.0, 30.0]")
    assert (rows["all"][2].text, rows["all"][2].interval) == ("60", "")  # seven clips have no interval worth the name
    assert [(cell.text, cell.num, cell.few) for cell in rows["vi"][1:3]] == [("–", 0, True), ("100", 1, True)]
    assert not rows["ca"][2].few


def test_reliability_is_drawn_where_it_lies(rich: Path) -> None:
    run = load_run(rich)
    panels = reliability_panels(run, run.systems[0], "olr2020")
    assert [panel.key for panel in panels] == ["reliability-2-full", "reliability-2-short"]
    assert "Mean confidence 58 %, 40 % right." in panels[0].alt
    figure = Figure()
    panels[0].draw(figure)
    above, below = figure.axes
    (dots,) = above.collections[1:]
    assert np.asarray(dots.get_offsets()).tolist() == [[0.5, 0.25], [0.9, 1.0]]
    assert [bar.get_height() for bar in below.patches] == RELIABILITY["num"]


def test_wilson_interval_is_that_of_the_equation() -> None:
    low, high = wilson(np.array([0.0, 2.0, 10.0]), np.array([5.0, 8.0, 10.0]))
    for p, n, bounds in zip((0.0, 0.25, 1.0), (5, 8, 10), zip(low, high, strict=True), strict=True):
        for bound in bounds:  # |p − bound| = 1.96·√(bound(1 − bound)/n)
            assert abs(p - bound) == pytest.approx(1.96 * (max(bound * (1 - bound), 0) / n) ** 0.5, abs=1e-9)


def test_clips_are_drawn_as_their_language(rich: Path) -> None:
    panel = embedding_panels(load_run(rich))["2"]
    assert "31 %" in panel.alt and "12 %" in panel.alt
    figure = Figure()
    panel.draw(figure)
    (ax,) = figure.axes
    assert {(t.get_text(), *t.get_position()) for t in ax.texts} == {("ca", 0.0, 1.0), ("vi", 1.0, 0.0)}
    assert [line.get_data() for line in ax.get_lines()] == [((2.0,), (3.0,))]


def test_paths_of_recordings(rich: Path) -> None:
    run = load_run(rich)
    assert recordings_folder(run) == "/data/talks"
    tables = error_tables(run, run.systems[0], "olr2020")
    assert [table.condition for table in tables] == ["full", "short", "open"]
    _, spoken, path, link = tables[0].rows[0]
    assert (spoken, path, link) == ("ca", "ca/1.opus", "file:///data/talks/ca/1.opus")


def test_errors_without_a_corpus_are_named_by_recording(fake_run: FakeRun) -> None:
    def forget(metrics: dict[str, Any]) -> None:
        error = {
            name: value for name, value in ERRORS[1].items() if name not in ("path", "start", "duration", "language")
        }
        metrics["systems"][0]["backends"]["head"]["full"]["worst"] = [error]

    run = load_run(fake_run(systems=["2"], conditions=["full"], change=forget))
    ((_, spoken, path, link),) = error_tables(run, run.systems[0], "head")[0].rows
    assert (spoken, path, link) == ("unknown (not enrolled)", "vid2", "")


def test_languages_that_are_never_tested_are_marked(fake_run: FakeRun) -> None:
    def untest(metrics: dict[str, Any]) -> None:
        enrich(metrics)
        del metrics["systems"][0]["backends"]["head"]["full"]["per_language"]["vi"]

    run = load_run(fake_run(systems=["2"], conditions=["full"], change=untest))
    heads, rows = language_counts(run, "head")
    assert heads == ["Enrolled", "Full length"]
    marked = {language: (counts, untested) for language, counts, untested in rows}
    assert marked["vi"] == (["22", "0"], True) and marked["ca"] == (["20", "150"], False)


def test_in_short_says_what_was_measured(rich: Path) -> None:
    run = load_run(rich)
    lines = "\n".join(in_short(run, run.systems[0], "olr2020"))
    result = run.systems[0].result("olr2020", "full")
    assert result is not None and result.accuracy is not None and result.accuracy.value is not None
    assert (
        f"names the language of {100 * result.accuracy.value:.0f} % of the clips (full length, 8 languages; chance is 12 %)"
        in lines
    )
    assert "11 % of them are, and 78 % of the unknown are taken for known" in lines
    assert "Each system was trained once" in lines
    assert "42 utterances, all of which the network was trained on" in lines
    assert "train and test share 3 speakers, 1 duplicates" in lines and "40 recordings" not in lines
    assert "(chance 12 %): the languages differ in microphone, room or codec" in lines


def test_enrolment_that_differs_is_said_of_each(rich: Path) -> None:
    raw = json.loads(rich.read_text())
    raw["systems"][1]["enrolment"] = {"by_language": {"ca": 20}, "num_seen": 0}
    rich.write_text(json.dumps(raw))
    first, second = enrolment_lines(load_run(rich))
    assert first.startswith("System 2: ") and second.startswith("System 5: ") and "was not trained on" in second


def test_leaks_in_words() -> None:
    assert "No leak check was run" in leaks_line(None, 1.0)
    clean: dict[str, Any] = copy.deepcopy(LEAKS)
    clean["shared"]["train-test"] |= {"speakers": 0, "duplicates": 0}
    clean["channel_probe"] |= {"accuracy": 0.14, "low": 0.08}
    text = leaks_line(Leaks.model_validate(clean), 0.4)
    assert "Nothing that is tested was found in training too." in text and "no more than guessing does" in text
    assert leaks_line(Leaks(channel_probe=None), 1.0) == "Nothing that is tested was found in training too."


def test_bins_of_unequal_length_are_named(fake_run: FakeRun) -> None:
    def spoil(metrics: dict[str, Any]) -> None:
        metrics["systems"][0]["backends"]["head"]["full"]["reliability"] = RELIABILITY | {"num": [1]}

    with pytest.raises(IsoglossError, match=r"full\.reliability: bins: 1 counts, 3 confidences"):
        load_run(fake_run(systems=["2"], conditions=["full"], change=spoil))
