"""`isogloss import …`: models that others trained, as folders that extract and pack can use. A thin cover of the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from isogloss.cli_options import Out, Set, epilog, wrote
from isogloss.config import FrontEndConfig, override

app = typer.Typer(help="Models trained elsewhere.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """A group also while it has one command only."""


@app.command("asv-subtools", epilog=epilog(FrontEndConfig))
def asv_subtools(
    checkpoint: Annotated[
        Path, typer.Argument(help="N.params: the state dict of an E-TDNN or x-vector, one task or two")
    ],
    out: Out,
    languages: Annotated[
        str, typer.Option(help="names of the output layer's classes in their order: a,b,c or a file with one a line")
    ],
    margin: Annotated[
        Literal["am", "aam"], typer.Option(help="loss of a margin network; makes no difference to scores")
    ] = "am",
    set_: Set = [],
) -> None:
    """A checkpoint of ASV-Subtools as a trained model; --set says what front end it was trained on."""
    from isogloss.stages.asv_subtools import import_asv_subtools

    names = Path(languages).read_text(encoding="utf-8").split() if Path(languages).is_file() else languages.split(",")
    wrote(import_asv_subtools(checkpoint, out, names, override(FrontEndConfig(), set_), margin))
