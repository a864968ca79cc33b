"""What the commands share: their common arguments, how a stage's options are shown and overridden, how warnings look."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from isogloss.config import StageConfig
from isogloss.types import IsoglossError

Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="any option of the stage, see below; may be repeated")
]
Split = Annotated[str, typer.Option(help="fold0 … of a cross-validated corpus, or given")]
Prepared = Annotated[Path, typer.Argument(help="folder that `prepare` made")]
Frames = Annotated[Path, typer.Argument(help="folder that `features` made")]
Out = Annotated[Path, typer.Argument(help="folder to write")]


def _parsed_priors(text: str) -> dict[str, float]:
    """`eng=0.5,deu=0.3` → {"eng": 0.5, "deu": 0.3}, for `Identifier`, which checks names and sum."""
    priors: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (field.strip() for field in part.rpartition("="))
        try:
            if not name or name in priors:
                raise ValueError
            priors[name] = float(value)
        except ValueError:
            raise IsoglossError(
                f"--priors {text}: {part!r} is not understood; expected each language once, such as eng=0.5,deu=0.3"
            ) from None
    return priors


Priors = Annotated[
    dict[str, float] | None,
    typer.Option(
        parser=_parsed_priors,
        metavar="LANG=P,…",
        help="prior probabilities, such as eng=0.5,deu=0.3; the languages not named share the rest of 1 evenly",
    ),
]


def epilog(model: type[StageConfig], *only: str) -> str:
    """The options of a stage (or only these) with defaults and units, for the end of its --help."""
    return "--set takes (default shown):\n\n" + _options(model(), "", only)


def _options(config: StageConfig, prefix: str, only: tuple[str, ...] = ()) -> str:
    lines = []
    for name, field in type(config).model_fields.items():
        if only and name not in only:
            continue
        value = getattr(config, name)
        if isinstance(value, StageConfig):
            lines.append(_options(value, f"{prefix}{name}."))
        else:
            text = f"  {field.description}" if field.description else ""
            default = config.model_dump(mode="json", include={name})[name]
            lines.append(f"  {prefix}{name}={json.dumps(default)}{text}")
    return "\n\n".join(lines)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Within it a warning is one line `warning: …` on stderr, each text once, without Python's line of source."""
    said: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        if text not in said:
            said.add(text)
            print(f"warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def wrote(path: Path) -> None:
    if os.environ.get("RANK", "0") == "0":  # torchrun's name for the first of several processes
        print(f"wrote {path}")
