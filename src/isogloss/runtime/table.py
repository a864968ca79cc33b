"""Answers for people (a rich table) and for programs (JSON lines)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from isogloss.runtime.identifier import Answer
from isogloss.types import IsoglossError

NUM_RUNNERS_UP = 2

Result = tuple[str | os.PathLike[str], Answer | IsoglossError]
"""What `Identifier.identify_many` yields."""


def answers_table(results: Iterable[Result]) -> Table:
    """One row per file: language or status, probability, the next best, seconds of speech; for a bad file its error."""
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")  # cut short, names of one folder look alike
    for head in ("language", "probability", "next", "speech"):
        table.add_column(head)
    for path, result in results:
        # Text, because rich would take brackets in a file name or message for markup.
        name = Text(os.fspath(path))
        if isinstance(result, IsoglossError):
            table.add_row(name, Text("error", "red"), "", Text(str(result)), "")
            continue
        best, *others = result.probabilities.items()
        if result.status == "ok":
            following = ", ".join(f"{language} {probability:.2f}" for language, probability in others[:NUM_RUNNERS_UP])
            cells = [Text(best[0], "bold"), Text(f"{best[1]:.2f}"), Text(following)]
        else:
            cells = [Text(result.status, "yellow"), Text(), Text()]
        table.add_row(name, *cells, f"{result.speech_seconds:.1f} s")
    return table


def json_line(path: str | os.PathLike[str], result: Answer | IsoglossError) -> str:
    """One line of JSON: the path and either the answer's fields or `"status": "error"` and the message."""
    fields = {"status": "error", "message": str(result)} if isinstance(result, IsoglossError) else result.to_dict()
    return json.dumps({"path": os.fspath(path), **fields}, ensure_ascii=False)
