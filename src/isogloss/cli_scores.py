"""`isogloss calibrate`, `fuse`, `evaluate`, `report`, `compare`: what is done with scores. A thin cover of the stages."""

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


def evaluate(
    trials: Annotated[
        Path,
        typer.Option(
            help="lines `language utterance target|nontarget`, every utterance with every language; or a NIST LRE key"
        ),
    ],
    scores: Annotated[
        Path, typer.Option(help="lines `language utterance score`, or a matrix with a header line (OLR, NIST LRE)")
    ],
    json_out: Annotated[Path | None, typer.Option("--json", help="file to write; default: print")] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="lines `utterance recording` (utt2spk): 95 % intervals over recordings")
    ] = None,
    missing: Annotated[
        str, typer.Option(help="trials without score: reject (counted as missed, with a warning) or error")
    ] = "reject",
    extra: Annotated[
        str,
        typer.Option(
            help="scores of utterances or languages without trials: error, or ignore (counted, with a warning)"
        ),
    ] = "error",
    against: Annotated[
        Path | None, typer.Option(help="another system's scores of the trials: adds the differences, with p-values")
    ] = None,
) -> None:
    """Cavg (as OLR and NIST define it, minimum, actual), EER, Cllr, accuracy … of any system's scores."""
    from isogloss.stages.evaluate import evaluate_trials
    from isogloss.stages.ledger import json_text, write_json

    if missing not in ("reject", "error"):
        raise IsoglossError(f"--missing {missing}: expected reject or error")
    if extra not in ("ignore", "error"):
        raise IsoglossError(f"--extra {extra}: expected ignore or error")
    figures = evaluate_trials(trials, scores, recordings, missing, extra, against)  # type: ignore[arg-type]  # checked above
    if json_out is None:
        print(json_text(figures))
    else:
        write_json(json_out, figures)
        wrote(json_out)


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="folders of a recipe's runs, such as OUT/seed1024 OUT/seed1025 OUT/scored, measured anew; or one metrics.json "
            "as it is"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="folder to write; default: the run's report/, or one beside the runs; beside metrics.json"),
    ] = None,
) -> None:
    """One page that needs nothing else: tables with intervals over all seeds, curves, confusions, worst errors, provenance."""
    from isogloss.stages.report import report_runs

    wrote(report_runs(runs, out))


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="folders of a recipe's runs, such as OUT/seed1024 OUT/seed1025-gmm OUT/scored/networks"),
    ],
    condition: Annotated[list[str], typer.Option(help="full, short, channel, open …; may be repeated")] = ["full"],
    backend: Annotated[list[str], typer.Option(help="head, olr2020 …; may be repeated")] = ["head"],
    json_out: Annotated[
        Path | None, typer.Option("--json", help="file to write besides: a list, one for each condition and back end")
    ] = None,
) -> None:
    """Systems and label sources over several seeds, with intervals, and their paired differences with p-values."""
    from isogloss.stages.compare import compare, table
    from isogloss.stages.ledger import write_json

    compared = [compare(runs, one, name) for name in backend for one in condition]
    print("\n\n".join(map(table, compared)))
    if json_out is not None:
        write_json(json_out, compared)
        wrote(json_out)


def add_to(app: typer.Typer) -> None:
    """Commands of the top level, but of a file of their own."""
    for command in (calibrate, fuse, evaluate, report, compare):
        app.command()(command)
