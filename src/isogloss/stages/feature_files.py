"""Audio → features on disk, without labels and without the rest of the chain: `isogloss features INPUT OUT --to ark`.

    OUT/features.json   what was made, and how; other options want another folder
    OUT/left_out.tsv    utterance, reason; only if something was left out
    OUT/frames/         --to store      OUT/feats.scp, feats.0001.ark …  --to ark      OUT/<utterance>.npy  --to npy

What is there is kept: a killed run goes on, and what was left out is tried again.
"""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from rich.progress import track

from isogloss.config import FrontEndConfig
from isogloss.corpora.kaldi_dir import LeftOut, Utterance
from isogloss.corpora.listing import listing
from isogloss.corpora.pipe import contents
from isogloss.frontend.audio import read_audio
from isogloss.frontend.frontend import FrontEnd, paste
from isogloss.frontend.mfcc import fbank, mfcc
from isogloss.frontend.pitch import pitch
from isogloss.frontend.process_pitch import process_pitch
from isogloss.stages.executors import local_processes, map_unordered
from isogloss.stages.feature_sinks import ArkSink, NpySink, Sink, StoreSink
from isogloss.stages.ledger import replacing, write_json
from isogloss.types import IsoglossError

What = Literal["mfcc", "fbank", "pitch", "process_pitch", "paste", "network"]
Form = Literal["store", "ark", "npy"]
LEFT_OUT = "left_out.tsv"

logger = logging.getLogger(__name__)


def feature_files(
    source: Path | list[Path],
    out: Path,
    *,
    what: What = "network",
    form: Form = "store",
    front_end: FrontEndConfig | None = None,
    compress: bool = False,
    executor: Executor | None = None,
    num_jobs: int | None = None,
) -> Path:
    """Features of every utterance of `source` (see `isogloss.corpora.listing`); returns `out`.

    what: `features_of`; `compress`: Kaldi's lossy matrices, ark only. executor: any; default `num_jobs` processes.
    num_jobs: tasks that run at once, default one for each core. An utterance that cannot be read, or is too short for
    a frame, is left out; `out/left_out.tsv` exists exactly if there is one. IsoglossError for options that cannot be.
    """
    front_end = front_end or FrontEndConfig()
    for name, value, kinds in (("what", what, What), ("form", form, Form)):
        if value not in get_args(kinds):
            raise IsoglossError(f"{name} {value!r}: expected one of {', '.join(get_args(kinds))}")
    if compress and form != "ark":
        raise IsoglossError(f"compressed {form}: only ark can be compressed; --to ark, or leave --compress out")
    utterances, left_out = listing(source)
    options = {"what": what, "form": form, "compress": compress, "front_end": front_end.model_dump(mode="json")}
    _claim(out, options)
    sink = _sink(out, options, num_columns(what, front_end), [utterance.id for utterance in utterances])
    by_source: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        if utterance.id not in sink.finished:
            by_source[utterance.source].append(utterance)
    tasks = [Task(name, of_source, what, front_end) for name, of_source in by_source.items()]
    with ExitStack() as stack:
        stack.enter_context(sink)
        num_jobs = num_jobs or os.cpu_count() or 1
        if executor is None and tasks:
            executor = stack.enter_context(local_processes(min(num_jobs, len(tasks))))
        results = map_unordered(Task.run, tasks, executor, num_jobs) if executor else iter(())
        for made in track(results, what, total=len(tasks), transient=True):
            for name, features in made:
                if isinstance(features, str):
                    left_out.append((name, features))
                    logger.warning("%s left out: %s", name, features)
                else:
                    sink.add(name, features)
    _write_left_out(out / LEFT_OUT, left_out)
    logger.info("%s: %d utterances, %d left out", out, len(sink.finished), len(left_out))
    return out


@dataclass(frozen=True)
class Task:
    """All wanted utterances of one recording, so that it is decoded once; plain data that travels to a worker."""

    source: str
    utterances: list[Utterance]
    what: What
    front_end: FrontEndConfig

    def run(self) -> list[tuple[str, np.ndarray | str]]:
        """(utterance, features [T, D] float32, or why there are none)."""
        rate = self.front_end.sample_rate
        try:
            samples = read_audio(contents(self.source), rate)
        except IsoglossError as error:
            return [(utterance.id, str(error)) for utterance in self.utterances]
        make = features_of(self.what, self.front_end)
        made: list[tuple[str, np.ndarray | str]] = []
        for utterance in self.utterances:
            try:
                features = make(utterance.cut(samples, rate))
            except IsoglossError as error:
                made.append((utterance.id, str(error)))
                continue
            none = "no voiced frame" if self.what == "network" else "too short: not one frame"
            made.append((utterance.id, features if len(features) else none))
        return made


def features_of(what: What, config: FrontEndConfig) -> Callable[[np.ndarray], np.ndarray]:
    """samples [S] at `config.sample_rate` → float32 [T, D].

    mfcc, fbank: with the front end's bands; pitch: (NCCF, Hz); process_pitch: (POV, normalised log pitch, delta);
    paste: mfcc and process_pitch side by side; network: what the network sees, mean-normalised, voiced frames alone.
    """
    rate = config.sample_rate
    bands: dict[str, Any] = {
        "num_mel_bins": config.num_mel_bins,
        "low_freq": config.low_freq,
        "high_freq": config.high_freq,
    }

    def cepstra(samples: np.ndarray) -> np.ndarray:
        return mfcc(samples, rate, num_ceps=config.num_ceps, **bands)

    def processed(samples: np.ndarray) -> np.ndarray:
        return process_pitch(pitch(samples, rate))

    functions: dict[What, Callable[[np.ndarray], np.ndarray]] = {
        "mfcc": cepstra,
        "fbank": lambda samples: fbank(samples, rate, **bands),
        "pitch": lambda samples: pitch(samples, rate),
        "process_pitch": processed,
        "paste": lambda samples: paste(cepstra(samples), processed(samples)),
        "network": lambda samples: FrontEnd(config)(samples, rate),
    }
    return functions[what]


def num_columns(what: What, config: FrontEndConfig) -> int:
    """D of `features_of`."""
    columns = {"mfcc": config.num_ceps, "fbank": config.num_mel_bins, "pitch": 2, "process_pitch": 3}
    return columns.get(what) or (config.dim if what == "network" else config.num_ceps + 3)


def _claim(out: Path, options: dict[str, Any]) -> None:
    """Make `out` the folder of these options; IsoglossError if it holds anything else."""
    about = out / "features.json"
    if about.exists():
        if json.loads(about.read_text(encoding="utf-8")) != options:
            raise IsoglossError(
                f"{out} holds features made with other options (see {about.name}); choose another folder"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise IsoglossError(f"{out} is there and was not made by this command; choose another folder")
    else:
        write_json(about, options)


def _sink(out: Path, options: dict[str, Any], dim: int, wanted: list[str]) -> Sink:
    if options["form"] == "ark":
        return ArkSink(out, options["compress"])
    if options["form"] == "npy":
        return NpySink(out, wanted)
    return StoreSink(out, dim, options)


def _write_left_out(path: Path, left_out: list[LeftOut]) -> None:
    if not left_out:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as part:
        lines = (f"{name}\t{' '.join(reason.split())}\n" for name, reason in left_out)
        part.write_text("utterance\treason\n" + "".join(lines), encoding="utf-8")
