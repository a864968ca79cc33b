"""All stages in order, for any corpus and any systems of Table 1. Finished work is skipped, so it can be run again."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from isogloss.config import RecipeConfig
from isogloss.corpora.item import Item
from isogloss.stages.backend import backend
from isogloss.stages.crossfit import crossfit
from isogloss.stages.evaluate import evaluate_system, validation_cllr
from isogloss.stages.extract import extract
from isogloss.stages.features import features
from isogloss.stages.jobs import Report, run_jobs
from isogloss.stages.leaks import leaks, read_leaks
from isogloss.stages.ledger import write_json
from isogloss.stages.pack import pack
from isogloss.stages.phones import phones
from isogloss.stages.prepare import prepare, read_splits
from isogloss.stages.report import SystemFolders, commit, report, write_metrics
from isogloss.stages.score import score
from isogloss.stages.train import train
from isogloss.systems import System, without_phones
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
HEAD_ALONE = {"head"}  # the back end that needs no enrolment


@dataclass(frozen=True)
class Results:
    """What a recipe leaves behind."""

    metrics_json: Path
    report_html: Path
    model_file: Path


def run_recipe(
    items: list[Item],
    out: Path,
    systems: list[System],
    config: RecipeConfig,
    *,
    title: str,
    corpus: str,
    folds: list[str] | None = None,
    notes: list[str] | None = None,
    num_jobs: int | None = None,
    usual_source: str | None = None,
) -> Results:
    """prepare → features → leaks → phones → (train → extract → crossfit → backend → score) per system and split → report → pack.

    `folds` names the splits to run (None: all). Layout: out/data, out/frames, out/leaks, out/pdf_ids-<source>,
    RUN/system<id>/<split>/{model,embeddings,backend,scores}, RUN/report, RUN/model.isogloss. RUN is out/seed<seed>; with labels
    of another than the `usual_source`, out/seed<seed>-<source>, but for single-task systems, which read no labels: so runs of
    several seeds and label sources share an `out` and what they have in common.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise IsoglossError(
            "a recipe under torchrun; it runs its trainings side by side by itself (--jobs): run it without torchrun, or one "
            "`isogloss train` with it"
        )
    if config.phones.source == "none" and (multitask := [s for s in systems if s.multitask]):
        instead = ", ".join(f"{without_phones(s)} for {s.id}" for s in multitask)
        raise IsoglossError(
            f"systems {', '.join(s.id for s in multitask)} need phoneme labels, but phones.source is none; give a source, or "
            f"run their single-task counterparts: {instead}"
        )
    data = prepare(items, out / "data", config.prepare)
    made = read_splits(data)
    if strange := [name for name in folds or [] if name not in made]:
        raise IsoglossError(f"no split {strange[0]!r}; this corpus has {', '.join(made)}")
    splits = folds or list(made)
    frames = features(data, out / "frames", config.features)
    leaked = read_leaks(leaks(data, out / "leaks", config.features.front_end))
    for line in leaked.lines:
        logger.info("%s", line)
    labels = None
    if any(system.multitask for system in systems):
        labels = phones(data, frames, out / f"pdf_ids-{config.phones.source}", config.phones)
    plain = out / f"seed{config.train.seed}"
    usual = usual_source in (None, config.phones.source)
    roots = {False: plain, True: plain if usual else plain.with_name(f"{plain.name}-{config.phones.source}")}
    root = roots[any(system.multitask for system in systems)]
    write_json(root / "config.json", config.model_dump(mode="json"))
    cross_fitted = config.backend.fold_models and set(config.backend.names) != HEAD_ALONE
    if cross_fitted and any(made[split].enrols_on_training for split in splits):
        logger.info(
            "back ends enrol on what no network has seen, too: %d fold models for each network, as much training again for each; "
            "--set backend.fold_models=0 leaves them out",
            config.backend.fold_models,
        )
    folders = {
        (system.id, split): roots[system.multitask] / f"system{system.id}" / split
        for system in systems
        for split in splits
    }
    jobs = [
        (f"system {system.id} {split}", _one, (data, frames, labels, folders[system.id, split], system, config, split))
        for system in systems
        for split in splits
    ]
    run_jobs(jobs, num_jobs or os.cpu_count() or 1, lambda label, line: logger.info("%s: %s", label, line))
    finished = [SystemFolders(system, {split: folders[system.id, split] for split in splits}) for system in systems]
    metrics_json = write_metrics(
        finished,
        root / "report",
        title=title,
        corpus=corpus,
        config=config,
        notes=notes or [],
    )
    page = report(metrics_json, root / "report")
    if warning := leaked.channel_warning(metrics_json):
        logger.warning("%s", warning)
    # no test may choose what is packed: the first split's best system and back end on its validation utterances
    candidates = [folders[system.id, splits[0]] for system in systems]
    chosen = [
        (cllr, folder, name) for folder in candidates for name, cllr in validation_cllr(folder / "scores").items()
    ]
    _, folder, name = min(chosen, default=(0.0, candidates[0], config.backend.names[0]))
    provenance = {"corpus": corpus, "split": folder.name, "commit": commit(), "title": title}
    packed = pack(folder / "model", folder / "backend", root / "model.isogloss", name, provenance)
    return Results(metrics_json, page, packed)


def _one(
    data: Path,
    frames: Path,
    labels: Path | None,
    folder: Path,
    system: System,
    config: RecipeConfig,
    split: str,
    report: Report,
) -> str:
    """train → extract → crossfit → backend → score of one system on one split, in a process of its own.

    Returns a line on how it went.
    """
    train(data, frames, labels, folder / "model", system, config.train, split, report)
    extract(data, frames, folder / "model", folder / "embeddings", config.evaluate, split)
    unseen = None
    if config.backend.fold_models and set(config.backend.names) != HEAD_ALONE:
        fold_models = config.backend.fold_models
        unseen = crossfit(data, frames, labels, folder / "model", folder / "crossfit", split, fold_models, report)
    backend(folder / "embeddings", folder / "model", folder / "backend", config.backend, unseen)
    score(folder / "embeddings", folder / "backend", folder / "scores", config.evaluate)
    figures, _ = evaluate_system({split: folder / "scores"}, config.evaluate.model_copy(update={"num_resamples": 0}))
    shown = [
        f"{name} " + " ".join(f"{c} {r['accuracy']['value']:.3f}/{r['cavg_min']['value']:.3f}" for c, r in of.items())
        for name, of in figures.items()
    ]
    return "accuracy/cavg_min with " + "; ".join(shown)
