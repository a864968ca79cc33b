"""`isogloss COMMAND`: a thin cover of the stages and the runtime. Errors are one line and exit code 2."""

from __future__ import annotations

import errno
import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import rich
import typer
from rich.console import Console
from rich.logging import RichHandler

from isogloss import cli_import, cli_phones, cli_scores
from isogloss.cli_options import Frames, Out, Prepared, Priors, Set, Split, epilog, plain_warnings, wrote
from isogloss.config import (
    BackendConfig,
    EvaluateConfig,
    FeaturesConfig,
    PrepareConfig,
    TrainConfig,
    override,
)
from isogloss.types import IsoglossError

app = typer.Typer(
    help="Spoken language recognition with phoneme-aware margins.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console(stderr=True)
app.add_typer(cli_phones.app, name="phones")
app.add_typer(cli_import.app, name="import")
cli_scores.add_to(app)
INTERRUPTED = 130


@app.command(epilog=epilog(PrepareConfig))
def prepare(
    kind: Annotated[
        str,
        typer.Argument(
            help="folders (one per language), manifest (TSV, CSV, JSONL), kaldi (data directory) or synthetic"
        ),
    ],
    root: Annotated[Path, typer.Argument(help="the folder or table; for synthetic, where to make it")],
    out: Out,
    size: Annotated[str, typer.Option(help="synthetic: small or full")] = "small",
    column: Annotated[
        list[str], typer.Option(metavar="OURS=THEIRS", help="manifest: other column names, such as recording=video")
    ] = [],
    set_: Set = [],
) -> None:
    """Check a corpus clip by clip, leave out what cannot be used, fold the rest: cuts.jsonl.gz, splits.json, left_out.tsv."""
    from isogloss.corpora import folders, kaldi_dir, manifest
    from isogloss.stages.prepare import prepare

    if kind == "folders":
        items = folders.items(root)
    elif kind == "manifest":
        items = manifest.items(root, dict(pair.split("=", 1) for pair in column if "=" in pair))
    elif kind == "kaldi":
        items = kaldi_dir.items(root)
    elif kind == "synthetic":
        from isogloss.corpora import synthetic

        items = manifest.items(synthetic.prepare(root, size))
    else:
        raise IsoglossError(f"unknown corpus kind {kind!r}; expected folders, manifest, kaldi or synthetic")
    wrote(prepare(items, out, override(PrepareConfig(), set_)))


@app.command(epilog=epilog(FeaturesConfig))
def features(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="folder that `prepare` made; or audio file, folder, Kaldi directory, wav.scp, manifest",
        ),
    ],
    out: Out,
    to: Annotated[
        str | None, typer.Option(help="store, ark or npy: features alone, of any INPUT; default store")
    ] = None,
    what: Annotated[str, typer.Option(help="alone: network, mfcc, fbank, pitch, process_pitch or paste")] = "network",
    compress: Annotated[bool, typer.Option("--compress", help="ark: Kaldi's lossy compressed matrices")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="alone: worker processes; default all cores")] = None,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="alone: work on this Dask scheduler")] = None,
    set_: Set = [],
) -> None:
    """Audio to packed frames: every cut, its speed and volume copies, its telephone version; or the features of any audio alone.

    Alone, --set takes front_end.* only, and the exit code is 1 if some utterance was left out (OUT/left_out.tsv).
    """
    config = override(FeaturesConfig(), set_)
    if to is None and (source / "splits.json").exists() and (source / "cuts.jsonl.gz").exists():
        from isogloss.stages.features import features

        if what != "network" or compress or jobs or dask:
            raise IsoglossError(
                "--what, --compress, --jobs and --dask are for features alone; say --to store, ark or npy"
            )
        wrote(features(source, out, config))
        return
    from isogloss.stages.executors import dask_cluster
    from isogloss.stages.feature_files import LEFT_OUT, feature_files

    if config != FeaturesConfig(front_end=config.front_end):
        raise IsoglossError(
            "features alone take --set front_end.… only; speeds, volume and channel are for training copies"
        )
    with dask_cluster(dask) if dask else nullcontext((None, None)) as (executor, num_cores):
        made = feature_files(
            source,
            out,
            what=what,  # type: ignore[arg-type]  # checked there
            form=to or "store",  # type: ignore[arg-type]
            front_end=config.front_end,
            compress=compress,
            executor=executor,
            num_jobs=jobs or num_cores,
        )
    wrote(made)
    raise typer.Exit(1 if (made / LEFT_OUT).exists() else 0)


@app.command()
def leaks(
    prepared: Prepared,
    frames: Annotated[
        Path | None, typer.Option(help="folder that `features` made, whose VAD is used; default: that of the defaults")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write; default: `leaks` beside PREPARED")] = None,
) -> None:
    """Recordings, speakers and audio that train and test share, and what non-speech alone tells of the language.

    Looks for re-encoded, louder, softer and cut copies too. Exit code 1 if train and test share anything.
    """
    from isogloss.stages.leaks import FILE, front_end_of, leaks, read_leaks

    front_end = front_end_of(frames) if frames else FeaturesConfig().front_end
    folder = leaks(prepared, out or prepared.resolve().parent / "leaks", front_end)
    found = read_leaks(folder)
    for line in found.lines:
        print(line)
    wrote(folder / FILE)
    raise typer.Exit(0 if found.train_test_apart else 1)


@app.command(epilog=epilog(TrainConfig))
def train(
    prepared: Prepared,
    frames: Frames,
    out: Out,
    pdf_ids: Annotated[Path | None, typer.Option(help="folder that `phones` made; multi-task systems need it")] = None,
    system: Annotated[str, typer.Option(help="row of Table 1: 1 … 8, 4p, 7p")] = "5",
    split: Split = "fold0",
    set_: Set = [],
) -> None:
    """Train one system of Table 1; run it again after a kill and it goes on."""
    from isogloss.stages.train import train
    from isogloss.systems import parse_systems

    (chosen,) = parse_systems(system)
    wrote(train(prepared, frames, pdf_ids, out, chosen, override(TrainConfig(), set_), split))


@app.command(epilog=epilog(EvaluateConfig))
def extract(
    prepared: Prepared,
    frames: Frames,
    model: Annotated[Path, typer.Argument(help="folder that `train` made")],
    out: Out,
    split: Split = "fold0",
    set_: Set = [],
) -> None:
    """Embed the enrolment, validation and test utterances under every condition."""
    from isogloss.stages.extract import extract

    wrote(extract(prepared, frames, model, out, override(EvaluateConfig(), set_), split))


@app.command()
def crossfit(
    prepared: Prepared,
    frames: Frames,
    model: Annotated[Path, typer.Argument(help="folder that `train` made")],
    out: Out,
    pdf_ids: Annotated[Path | None, typer.Option(help="folder that `phones` made; multi-task systems need it")] = None,
    split: Split = "fold0",
    fold_models: Annotated[int, typer.Option(min=2, help="networks, each trained without one part")] = 3,
) -> None:
    """Train fold models like MODEL that embed the training utterances unseen, for `backend --unseen`."""
    from isogloss.stages.crossfit import crossfit

    made = crossfit(prepared, frames, pdf_ids, model, out, split, fold_models)
    if made is None:
        raise IsoglossError(
            f"{split} enrols on utterances that no network is trained on: they are unseen as it is, run `isogloss backend`"
        )
    wrote(made)


@app.command(epilog=epilog(BackendConfig))
def backend(
    embeddings: Annotated[Path, typer.Argument(help="folder that `extract` made")],
    model: Annotated[Path, typer.Argument(help="folder that `train` made")],
    out: Out,
    unseen: Annotated[
        Path | None, typer.Option(help="folder that `crossfit` made: enrol on its embeddings too")
    ] = None,
    set_: Set = [],
) -> None:
    """Fit the back ends on the enrolment embeddings."""
    from isogloss.stages.backend import backend

    wrote(backend(embeddings, model, out, override(BackendConfig(), set_), unseen))


@app.command(epilog=epilog(EvaluateConfig))
def score(
    embeddings: Annotated[Path, typer.Argument(help="folder that `extract` made")],
    backends: Annotated[Path, typer.Argument(help="folder that `backend` made")],
    out: Out,
    set_: Set = [],
) -> None:
    """Score matrices (calibrated log-likelihoods) and trials of every condition, as text."""
    from isogloss.stages.score import score

    wrote(score(embeddings, backends, out, override(EvaluateConfig(), set_)))


@app.command()
def pack(
    model: Annotated[Path, typer.Argument(help="folder that `train` made")],
    backends: Annotated[Path, typer.Argument(help="folder that `backend` made")],
    out: Annotated[Path, typer.Argument(help="file to write, x.isogloss")],
    backend: Annotated[str, typer.Option(help="olr2020 or head")] = "head",
    calibration: Annotated[
        Path | None,
        typer.Option(help="folder that `calibrate` made of this back end's scores; with a threshold it says `unknown`"),
    ] = None,
) -> None:
    """One file that identifies languages without torch."""
    from isogloss.stages.pack import pack

    wrote(pack(model, backends, out, backend, calibration=calibration))


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="demo, vl16, vl16-best, folders, kaldi, manifest; or phones-cmn")],
    root: Annotated[Path | None, typer.Option(help="the data; demo makes its own")] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write; default exp/NAME")] = None,
    systems: Annotated[
        str, typer.Option(help="rows of Table 1, such as 1,2,3,5; or all; 3s, 4s, 6s, 7s: no phoneme task")
    ] = "all",
    fold: Annotated[list[str], typer.Option(help="folds to run, such as 0; may be repeated; default all")] = [],
    width: Annotated[int | None, typer.Option(help="channels; short for --set train.width=N")] = None,
    seed: Annotated[int | None, typer.Option(help="short for --set train.seed=N")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="systems trained side by side, a core each; default all cores")
    ] = None,
    phones: Annotated[
        str | None,
        typer.Option(help="label source: gmm, kaldi, pocketsphinx, none …; short for --set phones.source=NAME"),
    ] = None,
    set_: Annotated[list[str], typer.Option("--set", metavar="STAGE.KEY=VALUE", help="any option of any stage")] = [],
) -> None:
    """The whole chain: prepare, features, phones, train, extract, backend, score, evaluate, report, pack."""
    from isogloss.stages.phone_recipes import PHONE_RECIPE, PhoneRecipeConfig, phones_cmn

    if name == PHONE_RECIPE:
        if root is None:
            raise IsoglossError("recipe phones-cmn needs --root, the folder of audio-cmn with its clips.tsv")
        if systems != "all" or fold or phones or not width is seed is jobs is None:
            raise IsoglossError("recipe phones-cmn trains no language model: it takes --root, --out and --set alone")
        wrote(phones_cmn(root, out or Path("exp") / name, override(PhoneRecipeConfig(), set_)))
        return
    from isogloss.report import load_run
    from isogloss.report.table1 import table1_markdown
    from isogloss.stages.best_recipe import BEST_RECIPE, best_recipe
    from isogloss.stages.recipe import run_recipe
    from isogloss.stages.recipes import find_recipe
    from isogloss.systems import parse_systems

    chosen = find_recipe(name)
    rows = parse_systems(systems)
    short = {"train.width": width, "train.seed": seed, "phones.source": phones}
    config = override(chosen.config, [f"{key}={value}" for key, value in short.items() if value is not None] + set_)
    out = out or Path("exp") / name
    if root is None and chosen.needs_root:
        raise IsoglossError(f"recipe {name} needs --root, the data")
    items = chosen.items(root or out / "corpus")
    folds = [f"fold{f}" if f.isdigit() else f for f in fold] or None
    if name == BEST_RECIPE:
        if systems != "all":
            raise IsoglossError(f"recipe {name} is one system; it takes no --systems")
        assert root is not None  # it needs one
        page = best_recipe(items, root / "clips.tsv", out, config, corpus=chosen.corpus, folds=folds, num_jobs=jobs)
        run = load_run(page.with_name("metrics.json"))
        for metric in ("accuracy", "cavg_min"):
            print(table1_markdown(run, metric, run.backends[0]))
        wrote(page)
        return
    results = run_recipe(
        items,
        out,
        rows,
        config,
        title=f"isogloss recipe {name}",
        corpus=chosen.corpus,
        folds=folds,
        notes=[chosen.note] if chosen.note else [],
        num_jobs=jobs,
        usual_source=chosen.config.phones.source,
    )
    run = load_run(results.metrics_json)
    print(table1_markdown(run, "cavg_min", run.backends[0]))
    for path in (results.metrics_json, results.report_html, results.model_file):
        wrote(path)


@app.command()
def identify(
    files: Annotated[list[Path], typer.Argument(help="audio files of any format and rate")],
    model: Annotated[Path, typer.Option("--model", "-m", help="x.isogloss")],
    json_lines: Annotated[bool, typer.Option("--json", help="one JSON object per line instead of a table")] = False,
    allow: Annotated[str | None, typer.Option(help="only these languages, such as deu,fra")] = None,
    priors: Priors = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 1,
) -> None:
    """Which language is spoken, and how sure. Exit code 2 if some file could not be read; the others are answered."""
    from isogloss.runtime import load
    from isogloss.runtime.table import answers_table, json_line

    identifier = load(model, threads=threads)
    results = identifier.identify_many(files, allow=allow.split(",") if allow else None, priors=priors)
    failed = False
    if json_lines:
        for path, result in results:
            failed |= isinstance(result, IsoglossError)
            print(json_line(path, result), flush=True)
    else:
        answers = list(results)
        failed = any(isinstance(result, IsoglossError) for _, result in answers)
        Console().print(answers_table(answers))
    raise typer.Exit(2 if failed else 0)


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: every error a user can mend is one line on stderr and exit code 2."""
    rich.reconfigure(stderr=True)  # progress bars; stdout is for results
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=console, show_path=False, show_level=False, omit_repeated_times=False)],
    )
    for noisy in ("httpx", "matplotlib", "numba", "onnxscript", "fontTools", "torch"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with plain_warnings():
            code = app(args=arguments, standalone_mode=False)
    except IsoglossError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] != "isogloss":
            _fail(
                f"{error.name} is not installed; training needs: pip install 'isogloss[train]' (generated corpus: [synthetic])"
            )
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _fail("disk full; nothing finished was lost: free some space and run the same command again")
        raise
    except Exception as error:
        # typer carries its own copy of click, so that a usage error has no public name; it is known by its show()
        if not hasattr(error, "show"):
            raise
        error.show()
        sys.exit(2)
    if code == INTERRUPTED:  # typer makes a Ctrl-C of its own this code
        print("isogloss: interrupted; run the same command again and it goes on where it was", file=sys.stderr)
    sys.exit(code or 0)


def _fail(message: str) -> None:
    print(f"isogloss: {message}", file=sys.stderr)
    sys.exit(2)
