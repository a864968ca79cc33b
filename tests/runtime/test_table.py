"""Every kind of result has a row and a line."""

import io
import json
from pathlib import Path

from rich.console import Console

from isogloss.runtime import Answer
from isogloss.runtime.table import answers_table, json_line
from isogloss.types import IsoglossError

RESULTS = [
    (Path("a[bold].wav"), Answer("ok", "kaz", 0.75, {"kaz": 0.75, "eng": 0.2, "cmn": 0.05}, 2.5, 3.0)),
    ("b.wav", Answer("too_short", None, None, {"kaz": 0.5, "eng": 0.5}, 0.1, 3.0)),
    ("c.wav", IsoglossError("c.wav: no such file [red]here[/red]")),
]


def test_one_row_per_result():
    console = Console(file=io.StringIO(), width=200)
    console.print(answers_table(RESULTS))
    header, *rows = console.file.getvalue().splitlines()
    assert header.split() == ["file", "language", "probability", "next", "speech"]
    assert rows[0].split() == ["a[bold].wav", "kaz", "0.75", "eng", "0.20,", "cmn", "0.05", "2.5", "s"]
    assert rows[1].split() == ["b.wav", "too_short", "0.1", "s"]
    assert "no such file [red]here[/red]" in rows[2]


def test_one_json_line_per_result():
    ok, short, error = (json.loads(json_line(path, result)) for path, result in RESULTS)
    assert ok["path"] == "a[bold].wav" and ok["language"] == "kaz" and ok["probabilities"]["eng"] == 0.2
    assert short["status"] == "too_short" and short["language"] is None
    assert error == {"path": "c.wav", "status": "error", "message": "c.wav: no such file [red]here[/red]"}
