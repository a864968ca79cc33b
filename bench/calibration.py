"""What calibration does to actual Cavg and ECE: both back ends of the networks of finished recipe runs.

python bench/calibration.py RUN [RUN …]      RUN: OUT/seed1024 …

Fitted on the validation clips (valid), or over the test recordings in five folds: on the condition itself (own) or on
whole clips and first seconds together (both). Means over the networks. The ECE of some hundred clips is never 0: "chance"
is what a perfectly calibrated system with these posteriors would show, "pooled" the ECE of all networks' clips together.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np

from isogloss.backends.calibration import Calibration
from isogloss.backends.linear_logistic import UnseenLanguage
from isogloss.backends.logistic import log_softmax
from isogloss.metrics import cavg_actual, cavg_min, cllr, detection_llr
from isogloss.metrics.calibration_error import ece
from isogloss.stages.backend import EMBEDDING_OF, read_backend
from isogloss.stages.extract import Embeddings
from isogloss.types import Key, Scores

CONDITIONS = ("full", "short")
FORMS = ("temperature", "affine", "duration")
NUM_DRAWS = 20


def with_key(loglik: np.ndarray, truth: np.ndarray, languages: list[str]) -> tuple[Scores, Key]:
    names = [str(u) for u in range(len(truth))]
    return Scores(names, languages, loglik), {name: languages[c] for name, c in zip(names, truth, strict=True)}


def calibrated(fold: Path, backend: str) -> tuple[dict[tuple[str, str], np.ndarray], np.ndarray, list[str]]:
    """((condition, how) → [U, C], truth [U], languages) of one network."""
    parts = {name: Embeddings.load(fold / "embeddings" / f"{name}.npz") for name in ("enrol", "valid", *CONDITIONS)}
    fitted = read_backend(fold / "backend" / f"{backend}.npz")
    languages = list(fitted.languages)
    truth = {name: np.array([languages.index(of) for of in part.languages]) for name, part in parts.items()}
    raw = {name: fitted.loglik(getattr(part, EMBEDDING_OF[backend]).astype(np.float64)) for name, part in parts.items()}
    frames = {name: part.voiced_frames for name, part in parts.items()}
    groups = parts["full"].recordings
    shares = None if backend == "head" else np.bincount(truth["enrol"])
    made = {(condition, "as scored"): raw[condition] for condition in CONDITIONS}
    for form in FORMS:
        common = {"languages": languages, "form": form, "score_prior": shares}
        on_valid = Calibration.fit(raw["valid"], truth["valid"], frames["valid"], **common)
        together = (np.concatenate([of[condition] for condition in CONDITIONS]) for of in (raw, truth, frames))
        _, both = Calibration.cross_fit(*together, groups=[*groups, *groups], **common)
        for condition, rows in zip(CONDITIONS, np.split(both, 2), strict=True):
            made[condition, f"valid, {form}"] = on_valid.apply(raw[condition], frames[condition])
            made[condition, f"both, {form}"] = rows
            if form != "duration":
                _, own = Calibration.cross_fit(raw[condition], truth[condition], groups=groups, **common)
                made[condition, f"own, {form}"] = own
    return made, truth["full"], languages


def main(runs: list[Path]) -> None:
    folds = sorted(path.parents[1] for run in runs for path in run.rglob("embeddings/short.npz"))
    rng = np.random.default_rng(1024)
    print(f"{len(folds)} networks\n")
    print("| back end | condition | calibration | actual Cavg | minimum | gap | Cllr | ECE | chance | pooled |")
    print("|---|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for backend in ("head", "olr2020"):
        figures: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
        pooled: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        for fold in folds:
            made, truth, languages = calibrated(fold, backend)
            for what, loglik in made.items():
                scores, key = with_key(loglik, truth, languages)
                ratios = Scores(scores.utterances, languages, detection_llr(loglik))
                cumulative = np.exp(log_softmax(loglik)).cumsum(axis=1)
                drawn = [
                    (rng.random((len(truth), 1)) * cumulative[:, -1:] < cumulative).argmax(axis=1)
                    for _ in range(NUM_DRAWS)
                ]
                chance = np.mean([ece(*with_key(loglik, t, languages)) for t in drawn])
                actual, least = float(cavg_actual(scores, key)), float(cavg_min(ratios, key))
                figures[what].append(
                    (actual, least, actual / least - 1, float(cllr(scores, key)), float(ece(scores, key)), chance)
                )
                pooled[what].append((loglik, truth))
        for condition, how in sorted(figures):
            together = (np.concatenate(part) for part in zip(*pooled[condition, how], strict=True))
            act, low, gap, bits, error, chance = np.mean(figures[condition, how], axis=0)
            everything = float(ece(*with_key(*together, languages)))
            print(f"| {backend} | {condition} | {how} | {act:.3f} | {low:.3f} | {gap:+.1%} | {bits:.3f}", end=" ")
            print(f"| {error:.3f} | {chance:.3f} | {everything:.3f} |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    warnings.simplefilter("ignore", UnseenLanguage)
    main([Path(run) for run in sys.argv[1:]])
