"""`isogloss calibrate` and `isogloss fuse`: any system's score files into log-likelihoods. A thin cover of the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from isogloss.cli_options import Out, wrote
from isogloss.types import IsoglossError

Trials = Annotated[
    Path, typer.Option(help="development set: lines `language utterance target|nontarget`, or a NIST key")
]
Recordings = Annotated[
    Path | None, typer.Option(help="lines `utterance recording` (utt2spk), kept together in cross-validation")
]


def calibrate(
    out: Out,
    trials: Trials,
    scores: Annotated[Path, typer.Option(help="the system's scores of it: pairs or a matrix")],
    form: Annotated[
        str, typer.Option(help="affine, temperature, or duration (affine, scale by voiced frames)")
    ] = "affine",
    apply: Annotated[list[Path], typer.Option(help="score file to calibrate besides; may be repeated")] = [],
    frames: Annotated[
        Path | None, typer.Option(help="duration: lines `utterance voiced-frames`, of every score file")
    ] = None,
    recordings: Recordings = None,
    enrolled: Annotated[
        Path | None,
        typer.Option(help="lines `utterance language` of the enrolment, if scores are posteriors with its shares"),
    ] = None,
    reject: Annotated[
        float | None, typer.Option(help="open set: threshold that calls at most this share of known languages unknown")
    ] = None,
    accept: Annotated[
        float | None, typer.Option(help="open set: threshold that takes at most this share of unknown ones for known")
    ] = None,
) -> None:
    """Scores to calibrated log-likelihoods, fitted on development scores; and a threshold for unknown languages.

    OUT/calibration.npz for `pack`, OUT/calibration.json, OUT/dev.scores (cross-validated), OUT/NAME of every --apply file.
    """
    from isogloss.backends.calibration import Form
    from isogloss.stages.calibrate import calibrate

    if form not in get_args(Form):
        raise IsoglossError(f"--form {form}: expected {', '.join(get_args(Form))}")
    if reject is not None and accept is not None:
        raise IsoglossError("--reject and --accept: a threshold keeps one rate; give one of them")
    rate: tuple[Literal["reject", "accept"], float] | None = None
    if reject is not None:
        rate = ("reject", reject)
    elif accept is not None:
        rate = ("accept", accept)
    made = calibrate(
        trials,
        scores,
        out,
        form=form,  # type: ignore[arg-type]  # checked above
        apply=apply,
        frames=frames,
        recordings=recordings,
        enrolled=enrolled,
        rate=rate,
    )
    wrote(made)


def fuse(
    out: Out,
    trials: Trials,
    scores: Annotated[list[Path], typer.Option(help="a system's scores of it; repeat for every system")],
    apply: Annotated[
        list[str], typer.Option(metavar="FILE,FILE,…", help="another test set: a score file of every system, in order")
    ] = [],
    recordings: Recordings = None,
) -> None:
    """Several systems' scores to one system's calibrated log-likelihoods, a weight each, fitted on development scores.

    OUT/fusion.npz, OUT/fusion.json, OUT/dev.scores (cross-validated), and of every --apply OUT/NAME of its first file.
    """
    from isogloss.stages.fuse import fuse

    sets = [[Path(name) for name in files.split(",")] for files in apply]
    wrote(fuse(trials, scores, out, apply=sets, recordings=recordings))


def add_to(app: typer.Typer) -> None:
    """Commands of the top level, but of a file of their own."""
    app.command()(calibrate)
    app.command()(fuse)
