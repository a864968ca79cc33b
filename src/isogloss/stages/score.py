"""Embeddings + back end → scores/: a matrix of log-posteriors per condition, as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isogloss.metrics import write_scores, write_trials
from isogloss.stages.backend import EMBEDDING_OF, read_backend
from isogloss.stages.extract import Embeddings
from isogloss.stages.ledger import done, is_done, stamp, write_json
from isogloss.types import Scores


def conditions(embeddings: Path) -> dict[str, list[Path]]:
    """Condition → the embedding files it is tested on. `open` is the ordinary test and the unknown languages together,
    `enrol` the training utterances themselves: how much better they fare than `full` is what was learnt by heart."""
    files = {path.stem: [path] for path in sorted(embeddings.glob("*.npz"))}
    unknown = files.pop("out_of_set", None)
    known = files.get("open") or files.get("full")
    if unknown and known:
        files["open"] = [*known, *unknown]
    return files


def score(embeddings: Path, backends: Path, out: Path) -> Path:
    """Write out/<back end>/<condition>.scores (matrix), out/<condition>.trials and out/tests.json; returns `out`.

    An utterance without a voiced frame cannot be scored: it gets a flat posterior and is counted in tests.json.
    """
    work = stamp("score", {"conditions": sorted(conditions(embeddings))}, embeddings, backends)
    if is_done(out, work):
        return out
    tests = {}
    for condition, files in conditions(embeddings).items():
        parts = [Embeddings.load(path) for path in files]
        utterances = [u for part in parts for u in part.utterances]
        spoken = np.concatenate([part.spoken for part in parts])
        languages: list[str] = []
        for path in sorted(backends.glob("*.npz")):
            fitted = read_backend(path)
            languages = fitted.languages
            vectors = np.concatenate([getattr(part, EMBEDDING_OF[path.stem]) for part in parts]).astype(np.float64)
            loglik = np.full((len(utterances), len(languages)), -np.log(len(languages)))
            if spoken.any():
                loglik[spoken] = fitted.loglik(vectors[spoken])
            (out / path.stem).mkdir(parents=True, exist_ok=True)
            write_scores(out / path.stem / f"{condition}.scores", Scores(utterances, languages, loglik), form="matrix")
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
