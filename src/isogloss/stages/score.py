"""Embeddings + back end → scores/: a matrix of calibrated log-likelihoods per condition, as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isogloss.config import EvaluateConfig
from isogloss.metrics import read_scores, write_scores, write_trials
from isogloss.stages.backend import EMBEDDING_OF, read_backend
from isogloss.stages.calibrate import OUT_OF_FOLD, read_calibration
from isogloss.stages.extract import COPIES, Embeddings
from isogloss.stages.ledger import done, is_done, stamp, write_json
from isogloss.stages.validation import FILES as VALIDATION
from isogloss.stages.validation import calibration_of
from isogloss.types import Scores


def conditions(embeddings: Path) -> dict[str, list[Path]]:
    """Condition → the embedding files it is tested on. `open` is the ordinary test and the unknown languages together,
    `enrol` the training utterances themselves: how much better they fare than `full` is what was learnt by heart."""
    files = {path.stem: [path] for path in sorted(embeddings.glob("*.npz")) if path.stem != COPIES}
    unknown = files.pop("out_of_set", None)
    known = files.get("open") or files.get("full")
    if unknown and known:
        files["open"] = [*known, *unknown]
    return files


def score(embeddings: Path, backends: Path, out: Path, config: EvaluateConfig) -> Path:
    """Write out/<back end>/<condition>.scores (matrix), out/<condition>.trials and out/tests.json; returns `out`.

    Scores are calibrated where the back end is, on utterances of other recordings for the validation set itself. An utterance
    with fewer than `min_voiced_frames` gets no answer (a row of −inf): a handful of frames can be as sure as it is wrong.
    """
    work = stamp("score", {"min_voiced_frames": config.min_voiced_frames}, embeddings, backends)
    if is_done(out, work):
        return out
    tests = {}
    for condition, files in conditions(embeddings).items():
        parts = [Embeddings.load(path) for path in files]
        utterances = [u for part in parts for u in part.utterances]
        frames = np.concatenate([part.voiced_frames for part in parts])
        spoken = frames >= config.min_voiced_frames
        languages: list[str] = []
        for path in sorted(backends.glob("*.npz")):
            name = path.stem
            fitted = read_backend(path)
            languages = fitted.languages
            loglik = np.full((len(utterances), len(languages)), -np.inf)
            if spoken.any():
                vectors = np.concatenate([getattr(part, EMBEDDING_OF[name]) for part in parts])[spoken]
                loglik[spoken] = fitted.loglik(vectors.astype(np.float64))
                if (folder := calibration_of(backends, name)).exists():
                    loglik[spoken] = read_calibration(folder)[0].apply(loglik[spoken], frames[spoken])
                    if condition in VALIDATION:
                        _put_out_of_fold(loglik, utterances, condition, folder, spoken)
            (out / name).mkdir(parents=True, exist_ok=True)
            write_scores(out / name / f"{condition}.scores", Scores(utterances, languages, loglik), form="matrix")
        key = {u: language for part in parts for u, language in zip(part.utterances, part.languages, strict=True)}
        write_trials(out / f"{condition}.trials", key, languages)
        tests[condition] = {
            "languages": languages,
            "no_speech": [u for u, heard in zip(utterances, spoken, strict=True) if not heard],
            "key": key,
            "recordings": {u: r for part in parts for u, r in zip(part.utterances, part.recordings, strict=True)},
        }
    write_json(out / "tests.json", tests)
    return done(out, work, conditions=sorted(tests))


def _put_out_of_fold(
    loglik: np.ndarray, utterances: list[str], condition: str, calibration: Path, spoken: np.ndarray
) -> None:
    """In place: the validation set calibrated by fits that have not seen the recording."""
    found = read_scores(calibration / OUT_OF_FOLD)
    row_of = {name: row for row, name in enumerate(found.utterances)}
    for row, utterance in enumerate(utterances):
        if spoken[row] and (there := row_of.get(f"{utterance}:{condition}")) is not None:
            loglik[row] = found.loglik[there]
