"""Frames (+ labels) → model/: one system of Table 1 on one split."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from isogloss.config import FeaturesConfig, TrainConfig
from isogloss.frontend.store import Store
from isogloss.stages.features import open_frames, training_key
from isogloss.stages.jobs import Report, bar
from isogloss.stages.ledger import done, is_done, stamp, write_json
from isogloss.stages.prepare import read_cuts, read_split
from isogloss.systems import System
from isogloss.training import trained
from isogloss.training.allocator import keep_freed_memory
from isogloss.training.chunks import ChunkReader, chunk_table, require_aligned
from isogloss.training.loop import Data, Run
from isogloss.types import IsoglossError

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

    Leaves model.safetensors, model.json, log.jsonl (a line every `log_every` steps) and, where the margin is
    phoneme-aware, margins.json (Figure 2).
    """
    inputs = [prepared, frames, *([pdf_ids] if system.multitask and pdf_ids else [])]
    work = stamp("train", config, *inputs, system=asdict(system), split=split)
    if is_done(out, work):
        return out
    torch.set_num_threads(config.threads or torch.get_num_threads())
    keep_freed_memory()
    out.mkdir(parents=True, exist_ok=True)
    stores = open_frames(frames)
    features = FeaturesConfig(**stores.frames.meta["config"])
    labels = Store(pdf_ids) if system.multitask and pdf_ids else None
    num_pdfs = labels.meta["num_pdfs"] if labels else None
    chosen = read_split(prepared, split)
    language_of = {cut.id: cut.supervisions[0].language for cut in read_cuts(prepared)}
    languages = sorted({language_of[name] for name in chosen.train})
    number = {language: index for index, language in enumerate(languages)}
    keys = [(training_key(name, speed), name) for name in chosen.train for speed in features.speeds]
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
    data = Data(ChunkReader(stores.frames, labels, config.chunk_frames), train_table, valid_table, len(languages))
    run = Run(network, loss, data, config, out, work)
    with nullcontext(report) if report else bar(f"system {system.id} {split}") as tell:
        run.finish(tell)
    margins = run.margins.summary(system=system.id, beta=system.beta, definition=config.margin.model_dump())
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
    trained.save(out, network, loss.head, info)
    return done(
        out,
        work,
        steps=run.num_steps,
        seconds=round(run.seconds, 1),
        chunks_per_second=round(run.num_steps * config.batch_size / max(run.seconds, 1e-9), 1),
    )
