"""What the commands share: their common arguments, and how a stage's options are shown and overridden."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from isogloss.config import StageConfig

Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="any option of the stage, see below; may be repeated")
]
Split = Annotated[str, typer.Option(help="fold0 … of a cross-validated corpus, or given")]
Prepared = Annotated[Path, typer.Argument(help="folder that `prepare` made")]
Frames = Annotated[Path, typer.Argument(help="folder that `features` made")]
Out = Annotated[Path, typer.Argument(help="folder to write")]


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


def wrote(path: Path) -> None:
    if os.environ.get("RANK", "0") == "0":  # torchrun's name for the first of several processes
        print(f"wrote {path}")
