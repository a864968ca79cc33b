"""Frames (+ labels) → model/: one system of Table 1 on one split."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import rich
import torch

from isogloss.config import FeaturesConfig, TrainConfig
from isogloss.frontend.store import Store
from isogloss.metrics import cavg_min
from isogloss.stages.features import open_frames, training_keys
from isogloss.stages.jobs import Report, bar
from isogloss.stages.ledger import done, is_done, stamp, write_json
from isogloss.stages.prepare import read_cuts, read_split
from isogloss.systems import System
from isogloss.training import spec_augment, trained
from isogloss.training.allocator import keep_freed_memory
from isogloss.training.chunks import ChunkReader, chunk_table, require_aligned
from isogloss.training.distributed import Processes
from isogloss.training.log import TrainingLog
from isogloss.training.loop import Data, Run
from isogloss.types import IsoglossError, Scores

logger = logging.getLogger(__name__)


def train(
    prepared: Path,
    frames: Path,
    pdf_ids: Path | None,
    out: Path,
    system: System,
    config: TrainConfig,
    split: str,
    report: Report | None = None,
) -> Path:
    """Train `system` on the training utterances of `split`; returns `out`. A killed run goes on at its last checkpoint.

    Under torchrun all processes train one network together; the first alone writes and talks.

    Leaves model.safetensors, model.json, log.jsonl (a line every `log_every` steps) and, where the margin is
    phoneme-aware, margins.json (Figure 2).
    """
    inputs = [prepared, frames, *([pdf_ids] if system.multitask and pdf_ids else [])]
    work = stamp("train", config, *inputs, system=asdict(system), split=split)
    processes = Processes()
    if processes.from_first(is_done(out, work)):
        return out
    if processes.first:
        out.mkdir(parents=True, exist_ok=True)
    else:
        rich.reconfigure(quiet=True)
        logging.getLogger("isogloss").setLevel(logging.ERROR)
    torch.set_num_threads(config.threads or torch.get_num_threads())
    keep_freed_memory()
    stores = open_frames(frames)
    features = FeaturesConfig(**stores.frames.meta["config"])
    labels = Store(pdf_ids) if system.multitask and pdf_ids else None
    num_pdfs = labels.meta["num_pdfs"] if labels else None
    chosen = read_split(prepared, split)
    language_of = {cut.id: cut.supervisions[0].language for cut in read_cuts(prepared)}
    languages = sorted({language_of[name] for name in chosen.train})
    number = {language: index for index, language in enumerate(languages)}
    keys = [(key, name) for name in chosen.train for key in training_keys(name, features)]
    train_table = chunk_table(
        stores.frames,
        [key for key, _ in keys],
        [number[language_of[name]] for _, name in keys],
        config.chunk_frames,
        config.hop_frames,
    )
    if missing := set(range(len(languages))) - set(train_table.languages.tolist()):
        raise IsoglossError(
            f"no training chunk of {config.chunk_frames} voiced frames in {', '.join(languages[i] for i in sorted(missing))}; "
            "add longer clips of it, or lower train.chunk_frames"
        )
    valid = [
        name
        for name in chosen.valid
        if stores.frames.span(name)[1] >= config.chunk_frames and language_of[name] in number
    ]
    valid_table = (
        chunk_table(
            stores.frames, valid, [number[language_of[n]] for n in valid], config.chunk_frames, config.chunk_frames
        )
        if valid
        else None
    )
    if labels:
        require_aligned(stores.frames, labels, [key for key, _ in keys], labels.meta["num_pdfs"])
    if train_table.dropped:
        logger.warning(
            "%d of %d training versions have fewer than %d voiced frames and are left out (listed in model.json)",
            len(train_table.dropped),
            len(keys),
            config.chunk_frames,
        )
    network, loss = trained.build(system, config, features.front_end.dim, len(languages), num_pdfs)
    reader = ChunkReader(stores.frames, labels, config.chunk_frames)
    data = Data(reader, train_table, valid_table, len(languages), partial(chunk_cavg, languages))
    log = TrainingLog(out, config.tensorboard and processes.first, languages)
    augment = spec_augment.make(config.spec_augment)
    run = Run(network, loss, data, config, out, work, processes=processes, log=log, augment=augment)
    with nullcontext(report) if report else bar(f"system {system.id} {split}") as tell:
        run.finish(tell)
    log.close()
    if not processes.first:
        processes.wait()  # for what the first one writes below
        return out
    definition = config.margin.model_dump()
    margins = run.margins.summary(system=system.id, beta=system.beta, definition=definition, languages=languages)
    if margins:
        write_json(out / "margins.json", margins)
    info = trained.ModelInfo(
        system=asdict(system),
        languages=languages,
        num_pdfs=num_pdfs,
        front_end=features.front_end,
        train=config,
        phones={key: labels.meta[key] for key in ("source", "num_pdfs")} if labels else None,
        seconds=run.seconds,
        num_chunks=len(train_table),
        dropped=train_table.dropped,
    )
    trained.save(out, network.cpu(), loss.head.cpu(), info)
    done(
        out,
        work,
        steps=run.step,
        seconds=round(run.seconds, 1),
        chunks_per_second=round(run.step * config.batch_size / max(run.seconds, 1e-9), 1),
    )
    processes.wait()
    return out


def chunk_cavg(languages: list[str], log_posteriors: np.ndarray, true: np.ndarray) -> float:
    """The lowest Cavg of any threshold, every chunk a trial of each language: log_posteriors [N, C], indices [N] → a number."""
    names = [str(number) for number in range(len(true))]
    key = {name: languages[index] for name, index in zip(names, true.tolist(), strict=True)}
    return float(cavg_min(Scores(names, languages, log_posteriors.astype(np.float64)), key))
