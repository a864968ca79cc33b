"""A multilingual corpus made on the spot: espeak-ng speaks numbers, dates, money and names in up to sixteen languages.

Corpus: random voices, text drawn from the Unicode CLDR, phone times from the synthesiser itself. Speakers are disjoint
between train, dev and test. Ten languages stand in for those of the OLR challenges (Thai for Tibetan, which espeak-ng
cannot speak), three more for the dialects of the open-set task, three are never enrolled.

What it is good for: it checks the pipeline from end to end, and how systems compare where every phone is known.
What it is not: human speech. Models trained on it score chance on real recordings.

Licence: espeak-ng is GPL-3 and is run here as a program, in processes of its own; its licence does not cover what it
says. The words come from CLDR under the Unicode License v3. The audio is yours.

Layout: OUT/manifest.jsonl (read by `corpora/manifest.py`), OUT/audio/LANGUAGE/SPLIT/SPEAKER-NNNN.flac, OUT/corpus.json
(what was asked for) and OUT/parts/ (one finished part for each language and split, so that a killed run resumes).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isogloss.corpora.synthetic.plan import DIALECTS, LANGUAGES, SIZES, UNKNOWN, Job, Size, jobs, size_named
from isogloss.types import IsoglossError

__all__ = ["DIALECTS", "LANGUAGES", "SIZES", "UNKNOWN", "Size", "prepare"]

VERSION = 1
"""Raised when the same size and seed no longer give the same corpus."""


def prepare(
    out_dir: Path,
    size: str | Size = "small",
    seed: int = 1024,
    num_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Makes the corpus in `out_dir` and returns its manifest, one JSON object a line:

    id, path (relative to `out_dir`), language, speaker, recording, split (train | dev | test), duration (seconds), use
    (target | out_of_set) and phones: [[symbol, start, end], …] in seconds, which cover the utterance without a gap.
    Symbols are IPA without stress or tone, and SIL. Audio is 16 kHz, mono, 16 bit.

    `num_jobs` children speak at once (default: one a core); `progress(done, total)` counts them. The same size and seed
    give the same audio, bit for bit. What is finished is not made again: neither the corpus, nor the finished parts of
    one that was stopped.

    Raises IsoglossError for an unknown size, missing packages, another corpus in `out_dir`, or a child that fails or
    hangs.
    """
    out_dir = Path(out_dir)
    plan = jobs(size_named(size) if isinstance(size, str) else size, seed)
    asked = {"version": VERSION, "seed": seed, "jobs": [asdict(job) for job in plan]}
    manifest = out_dir / "manifest.jsonl"
    parts = [out_dir / "parts" / f"{job.language}-{job.split}.jsonl" for job in plan]
    if num_jobs is not None and num_jobs < 1:
        raise IsoglossError(f"{num_jobs} jobs at once; expected 1 or more")
    _check_folder(out_dir, asked)
    if manifest.exists():
        return manifest
    _check_packages()
    parts[0].parent.mkdir(parents=True, exist_ok=True)
    _write(out_dir / "corpus.json", json.dumps(asked, indent=1) + "\n")
    left = [(job, part) for job, part in zip(plan, parts, strict=True) if not part.exists()]
    done = len(plan) - len(left)
    with (
        tempfile.TemporaryDirectory(prefix="isogloss-") as scratch,
        ThreadPoolExecutor(num_jobs or os.cpu_count() or 1) as pool,
    ):
        # Longest first, so that the last child does not run alone.
        left.sort(key=lambda item: -item[0].minutes)
        waiting = [pool.submit(_speak, job, out_dir, part, Path(scratch)) for job, part in left]
        try:
            for future in as_completed(waiting):
                future.result()
                done += 1
                if progress:
                    progress(done, len(plan))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those that speak finish their part
            raise
    _write(manifest, "".join(part.read_text(encoding="utf-8") for part in parts))
    return manifest


def _check_folder(out_dir: Path, asked: dict[str, Any]) -> None:
    """Refuses to mix two corpora."""
    made = out_dir / "corpus.json"
    try:
        found = json.loads(made.read_text(encoding="utf-8")) if made.exists() else None
    except json.JSONDecodeError:
        found = {}
    empty = found is None and not (out_dir / "manifest.jsonl").exists() and not (out_dir / "parts").exists()
    if found != asked and not empty:
        what = f"seed {found['seed']}, version {found['version']}" if found else "another origin"
        raise IsoglossError(
            f"{out_dir} holds a corpus of other size, seed or version ({what}) than the one asked for "
            f"(seed {asked['seed']}, version {VERSION}); name another folder, or delete this one"
        )


def _check_packages() -> None:
    missing = [package for package in ("babel", "espeakng_loader") if importlib.util.find_spec(package) is None]
    if missing:
        raise IsoglossError(f"the synthetic corpus needs {' and '.join(missing)}: pip install isogloss[synthetic]")


def _speak(job: Job, out_dir: Path, part: Path, scratch: Path, timeout_seconds: float | None = None) -> None:
    """Runs one child to its end. `timeout_seconds` defaults to a hundred times what it usually takes."""
    own = scratch / part.stem
    own.mkdir()
    limit = 60 + 30 * job.minutes if timeout_seconds is None else timeout_seconds
    what = f"{job.language} ({job.split})"
    arguments = json.dumps({"job": asdict(job), "out_dir": str(out_dir), "part": str(part), "scratch": str(own)})
    # The child finds the same packages, however this process came by them; one core is enough for each.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "isogloss.corpora.synthetic.worker", arguments]
    try:
        child = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise IsoglossError(
            f"espeak-ng was not done with {what} after {limit:.0f} s and was stopped; is the machine overloaded, or "
            "espeakng-loader damaged (pip install --force-reinstall espeakng-loader)? Run again to resume"
        ) from None
    if child.returncode != 0:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit code {child.returncode}, without a word"
        raise IsoglossError(f"espeak-ng failed on {what}: {reason}")


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
