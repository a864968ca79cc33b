"""What the metrics cost, and how far they are from slow computations of the same definitions.

    python bench/metrics.py [--utterances 1000000] [--languages 100]

Two test sets: 10,000 utterances × 100 languages are a million trials; a million utterances × 100 languages, scored in
float32, are a hundred million. Seconds of one core, compiled beforehand. The error is against full sorts, loops over
thresholds and scipy, on the smaller set. Then the files of the smaller set, and bootstrap intervals of a test set with as
many trials as AP18-OLR's.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from isogloss import metrics
from isogloss.types import Key, Scores

CORE = ("cavg_olr", "cavg_min", "cavg_actual", "eer", "cllr")


def make(num_utterances: int, num_languages: int, dtype: type = np.float32) -> tuple[Scores, Key]:
    """Normal scores, the target's three standard deviations higher."""
    rng = np.random.default_rng(0)
    own = np.arange(num_utterances) % num_languages
    loglik = rng.standard_normal((num_utterances, num_languages), dtype=np.float32).astype(dtype, copy=False)
    loglik[np.arange(num_utterances), own] += 3
    languages = [f"l{c:03d}" for c in range(num_languages)]
    utterances = [f"utterance-{u:08d}" for u in range(num_utterances)]
    return Scores(utterances, languages, loglik), {u: languages[c] for u, c in zip(utterances, own, strict=True)}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def slowly(scores: Scores) -> dict[str, float]:
    """The core metrics of `make`'s scores, by the definitions."""
    loglik = scores.loglik.astype(np.float64)
    num, num_languages = loglik.shape
    own = np.arange(num) % num_languages
    target = own[:, None] == np.arange(num_languages)
    share = np.where(target, 0.5, -0.5 / (num_languages - 1)) / np.bincount(own)[own][:, None] / num_languages

    def cavg(values: np.ndarray, threshold: float) -> float:
        return float(share[target & (values < threshold)].sum() - share[~target & (values >= threshold)].sum())

    others = np.stack([logsumexp(np.delete(loglik, c, axis=1), axis=1) for c in range(num_languages)], axis=1)
    ratios = loglik - others + np.log(num_languages - 1)
    order = np.argsort(loglik, axis=None)
    cost = 0.5 + np.append(0, np.cumsum(share.ravel()[order], dtype=np.longdouble))
    is_target = target.ravel()[order]
    p_miss = np.append(0, np.cumsum(is_target)) / num
    p_fa = 1 - np.append(0, np.cumsum(~is_target)) / (loglik.size - num)
    crossing = int((p_miss >= p_fa).argmax())
    ends = np.append(True, np.append(np.diff(loglik.ravel()[order]) > 0, True))  # no threshold parts equal scores
    return {
        "cavg_olr": min(cavg(loglik, t) for t in np.linspace(loglik.min(), loglik.max(), 21)),
        "cavg_min": float(cost[ends].min()),
        "cavg_actual": cavg(ratios, 0.0),
        "eer": float((p_miss[crossing] + p_fa[crossing]) / 2),
        "cllr": float((logsumexp(loglik, axis=1) - loglik[target]).mean() / np.log(2)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1_000_000, help="of the larger test set")
    parser.add_argument("--languages", type=int, default=100)
    options = parser.parse_args()
    small, small_key = make(10_000, options.languages)
    metrics.evaluate(small, small_key)  # compiles
    expected = slowly(small)
    tables = []
    for scores, key in ((small, small_key), make(options.utterances, options.languages)):
        rows: list[tuple[str, float, str]] = []
        seconds, trials = timed(partial(metrics.checked, scores, key))
        rows.append(("checks", seconds, "–"))
        seconds, _ = timed(partial(getattr, trials, "bins"))
        rows.append(("places among the targets", seconds, "–"))
        for name in CORE:
            seconds, value = timed(partial(metrics.METRICS[name], trials, key, None))
            rows.append((name, seconds, f"{abs(value - expected[name]):.1e}" if scores is small else "–"))
        total = sum(seconds for _, seconds, _ in rows)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        tables.append(f"{scores.loglik.size:,} trials ({len(scores.utterances):,} × {len(scores.languages)}, float32)")
        tables += ["", "| what | seconds | error |", "|---|---:|---:|"]
        tables += [f"| {what} | {seconds:.3f} | {error} |" for what, seconds, error in rows]
        tables += [f"| **together** (peak memory {peak:.2f} GiB, all told) | **{total:.2f}** | |", ""]
        del trials
    tables += [f"Files of {small.loglik.size:,} trials", "", "| what | seconds | wrong |", "|---|---:|---:|"]
    with tempfile.TemporaryDirectory(prefix="isogloss-bench-") as name:
        folder = Path(name)
        seconds, _ = timed(lambda: metrics.write_trials(folder / "trials", small_key, small.languages))
        tables.append(f"| write trials | {seconds:.2f} | – |")
        seconds, read = timed(lambda: metrics.read_trials(folder / "trials"))
        tables.append(f"| read trials | {seconds:.2f} | {int(read != (small_key, small.languages))} |")
        for form in ("pairs", "matrix", "nist"):
            seconds, _ = timed(partial(metrics.write_scores, folder / form, small, form))
            tables.append(f"| write scores, {form} | {seconds:.2f} | – |")
            seconds, found = timed(partial(metrics.read_scores, folder / form))
            tables.append(f"| read scores, {form} | {seconds:.2f} | {int((found.loglik != small.loglik).sum())} |")
    scores, key = make(21_456, 10, np.float64)
    recordings = {u: f"{key[u]}-{number // 40}" for number, u in enumerate(key)}
    trials = metrics.checked(scores, key)
    seconds, drawn = timed(lambda: metrics.draw(trials, key, recordings, 1000, seed=0))
    tables += [
        "",
        f"Intervals, 1000 resamples of {scores.loglik.size:,} trials",
        "",
        "| metric | seconds |",
        "|---|---:|",
    ]
    tables.append(f"| drawing | {seconds:.2f} |")
    for name, metric in metrics.METRICS.items():
        seconds, _ = timed(partial(drawn.interval, metric, trials, key))
        tables.append(f"| {name} | {seconds:.2f} |")
    print("\n".join(tables))


if __name__ == "__main__":
    main()
