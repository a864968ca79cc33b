"""Scores of one condition and back end, the splits pooled, with all that is known of their utterances."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isogloss import metrics
from isogloss.stages.score import conditions
from isogloss.types import IsoglossError, Key, Scores


@dataclass(frozen=True)
class ScoredSet:
    """A test set with a system's scores."""

    scores: Scores
    key: Key
    recordings: dict[str, str]
    clips: list[str]  # [U] the utterances' names in the corpus; more than one split may score a clip
    voiced_frames: np.ndarray  # [U], NaN where it is not known
    num_no_speech: int


def read_scored_set(score_folders: dict[str, Path], condition: str, backend: str) -> ScoredSet:
    """score_folders: split → its scores/. A clip that several splits score counts once for each, named `clip@split`.

    Raises IsoglossError where a split lacks the condition or scores other languages.
    """
    tests = {split: read_tests(folder) for split, folder in score_folders.items()}
    if missing := [split for split, test in tests.items() if condition not in test]:
        raise IsoglossError(
            f"{score_folders[missing[0]]} has no condition {condition!r}; it has {', '.join(tests[missing[0]])}"
        )
    utterances: list[str] = []
    clips: list[str] = []
    rows: list[np.ndarray] = []
    voiced: list[float] = []
    key: Key = {}
    recordings: dict[str, str] = {}
    languages: list[str] | None = None
    for split, folder in score_folders.items():
        test = tests[split][condition]
        path = folder / backend / f"{condition}.scores"
        scores = metrics.read_scores(path)
        if languages is not None and scores.languages != languages:
            raise IsoglossError(
                f"{path} scores other languages than the splits before it: {set(scores.languages) ^ set(languages)}"
            )
        languages = scores.languages
        frames = _voiced_frames(folder.parent / "embeddings", condition)
        for utterance, row in zip(scores.utterances, scores.loglik, strict=True):
            name = f"{utterance}@{split}" if utterance in key else utterance
            utterances.append(name)
            clips.append(utterance)
            rows.append(row)
            voiced.append(frames.get(utterance, np.nan))
            key[name] = test["key"][utterance]
            recordings[name] = test["recordings"][utterance]
    silent = sum(len(test[condition]["no_speech"]) for test in tests.values())
    pooled = Scores(utterances, languages or [], np.array(rows))
    return ScoredSet(pooled, key, recordings, clips, np.array(voiced), silent)


def joined(sets: dict[int, ScoredSet]) -> ScoredSet:
    """The test sets of several seeds as one, utterances named `name@seed`."""
    if len(sets) == 1:
        return next(iter(sets.values()))
    parts = [(f"@{seed}", one) for seed, one in sets.items()]
    first = parts[0][1].scores.languages
    if any(one.scores.languages != first for _, one in parts):
        raise IsoglossError(
            f"the seeds {', '.join(map(str, sets))} do not score the same languages; compare them apart"
        )
    return ScoredSet(
        scores=Scores(
            [u + end for end, one in parts for u in one.scores.utterances],
            first,
            np.concatenate([one.scores.loglik for _, one in parts]),
        ),
        key={u + end: language for end, one in parts for u, language in one.key.items()},
        recordings={u + end: recording for end, one in parts for u, recording in one.recordings.items()},
        clips=[clip for _, one in parts for clip in one.clips],
        voiced_frames=np.concatenate([one.voiced_frames for _, one in parts]),
        num_no_speech=sum(one.num_no_speech for _, one in parts),
    )


def read_tests(folder: Path) -> dict[str, Any]:
    """tests.json: condition → languages, key, recordings and the utterances without speech."""
    path = folder / "tests.json"
    if not path.exists():
        raise IsoglossError(f"{path} is not there; run `isogloss score` first")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _voiced_frames(embeddings: Path, condition: str) -> dict[str, int]:
    """Of each utterance; empty where the embeddings are not there, as for a fusion."""
    frames: dict[str, int] = {}
    for path in conditions(embeddings).get(condition, []):
        with np.load(path, allow_pickle=False) as arrays:
            frames |= dict(zip(arrays["utterances"].tolist(), arrays["voiced_frames"].tolist(), strict=True))
    return frames
