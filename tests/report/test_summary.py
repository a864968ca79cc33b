"""What is read is what was written; what is malformed is named."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isogloss.report import load_run
from isogloss.types import IsoglossError

FakeRun = Callable[..., Path]


def test_everything_written_is_read(fake_run: FakeRun) -> None:
    path = fake_run(systems=["2", "5"], conditions=["short", "open"])
    written = json.loads(path.read_text())
    run = load_run(path)
    for system, raw in zip(run.systems, written["systems"], strict=True):
        assert (system.id, system.label, system.m, system.beta) == (raw["id"], raw["label"], raw["m"], raw["beta"])
        for backend, conditions in raw["backends"].items():
            for condition, result in conditions.items():
                read = system.result(backend, condition)
                assert read is not None
                assert read.model_dump(exclude_unset=True) == result
    log = [json.loads(line) for line in (path.parent / "system_2/log.jsonl").read_text().splitlines()]
    assert run.logs["2"]["loss"].tolist() == [line["loss"] for line in log]
    assert np.isnan(run.logs["2"]["valid_loss"]).tolist() == [line["valid_loss"] is None for line in log]
    assert run.margins["5"].mean == json.loads((path.parent / "system_5/margins.json").read_text())["mean"]
    assert set(run.margins) == {"5"}  # a constant margin has none


def test_olr2020_is_the_first_back_end(fake_run: FakeRun) -> None:
    run = load_run(fake_run(systems=["2"], conditions=["short"], backends=("cosine", "head", "olr2020")))
    assert run.backends == ["olr2020", "cosine", "head"]


def test_almost_nothing_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"conditions": ["short"], "systems": [{"id": "5", "backends": null}], "warnings": null}')
    run = load_run(path)
    assert run.systems[0].label == "MT, APM (AM) m=0.2 β=10"  # Table 1 knows it
    assert run.backends == [] and run.warnings == []


def test_nan_means_not_measured(fake_run: FakeRun) -> None:
    def spoil(metrics: dict[str, Any]) -> None:
        metrics["systems"][0]["backends"]["head"]["short"]["eer"] = {"value": math.nan, "low": math.nan, "high": 0.2}

    run = load_run(fake_run(systems=["2"], conditions=["short"], change=spoil))
    result = run.systems[0].result("head", "short")
    assert result is not None
    assert result.metric("eer") is None
    assert result.metric("cavg_min") is not None


def _result(metrics: dict[str, Any]) -> dict[str, Any]:
    return metrics["systems"][1]["backends"]["olr2020"]["short"]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda m: m.pop("systems"), "systems"),
        (lambda m: m.update(conditions=[]), "conditions"),
        (lambda m: _result(m)["cavg_min"].update(value="low"), "systems.1.backends.olr2020.short.cavg_min.value"),
        (lambda m: _result(m)["accuracy"].update(value=91.2), "systems.1.backends.olr2020.short.accuracy.value"),
        (lambda m: _result(m)["confusion"]["counts"].pop(), "systems.1.backends.olr2020.short.confusion"),
        (lambda m: _result(m)["det"]["p_fa"].pop(), "systems.1.backends.olr2020.short.det"),
        (lambda m: m["systems"][0].update(id="../x"), "systems.0.id"),
        (lambda m: m["systems"][0].update(id="5"), "repeats"),
        (lambda m: m.update(conditions=["open"]), "short"),
    ],
)
def test_malformed_metrics_name_file_and_key(
    fake_run: FakeRun, spoil: Callable[[dict[str, Any]], None], named: str
) -> None:
    path = fake_run(systems=["2", "5"], conditions=["short"], change=spoil)
    with pytest.raises(IsoglossError, match=re.escape(named)) as error:
        load_run(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_half_a_file_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with pytest.raises(IsoglossError, match="cannot be read"):
        load_run(path)
    path.write_text('{"conditions": ["sh')
    with pytest.raises(IsoglossError, match="not JSON"):
        load_run(path)
    path.write_text("[1, 2]")
    with pytest.raises(IsoglossError, match=r"metrics\.json"):
        load_run(path)


@pytest.mark.parametrize("line", ['{"step": 1, "loss": "high"}', '{"step": 1, "lo', "7"])
def test_malformed_log_names_file_and_line(fake_run: FakeRun, line: str) -> None:
    path = fake_run(systems=["2"], conditions=["short"])
    log = path.parent / "system_2/log.jsonl"
    log.write_text('{"step": 0}\n' + line)
    with pytest.raises(IsoglossError, match=r"log\.jsonl: line 2"):
        load_run(path)


def test_malformed_margins_name_the_key(fake_run: FakeRun) -> None:
    path = fake_run(systems=["5"], conditions=["short"])
    margins = path.parent / "system_5/margins.json"
    raw = json.loads(margins.read_text())
    raw["histogram"]["edges"].pop()
    margins.write_text(json.dumps(raw))
    with pytest.raises(IsoglossError, match=r"margins\.json: histogram"):
        load_run(path)


def test_a_missing_log_is_a_warning(fake_run: FakeRun) -> None:
    path = fake_run(systems=["2", "5"], conditions=["short"])
    (path.parent / "system_2/log.jsonl").unlink()
    run = load_run(path)
    assert set(run.logs) == {"5"}
    assert "training log of system 2" in run.warnings[-1]
