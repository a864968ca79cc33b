"""A threshold chosen on the validation utterances, and what it does to the test: who is called unknown, who is not.

The threshold is the one that the back end was given when it was calibrated, and that `pack` takes; of a run without one, it is
chosen here in the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isogloss import metrics
from isogloss.backends.open_set import OpenSet, certainty, choose_threshold
from isogloss.stages.calibrate import read_calibration
from isogloss.stages.scored_set import read_scored_set
from isogloss.stages.validation import calibration_of
from isogloss.types import IsoglossError

REJECT_AT_MOST = 0.05  # share of the enrolled languages' validation utterances that may be called unknown


def operating_point(score_folders: list[tuple[str, Path]], backend: str) -> dict[str, Any] | None:
    """score_folders: (split, its scores/) of every seed and split; each has a threshold of its own.

    {at_most, thresholds, num_validation, known_rejected, unknown_accepted, known_right}: shares of the open condition's utterances
    of all together; known_right: accepted and named rightly. None where a split has too few validation utterances.
    """
    num = dict.fromkeys(("known", "rejected", "right", "unknown", "accepted", "validation"), 0)
    points: list[OpenSet] = []
    for split, folder in score_folders:
        if not all((folder / backend / f"{name}.scores").exists() for name in ("valid", "open")):
            return None
        point = _calibrated(folder, backend) or _chosen(folder, split, backend)
        if point is None:
            return None
        points.append(point)
        test = read_scored_set({split: folder}, "open", backend)
        trials = metrics.checked(test.scores, test.key)
        accepted = trials.answered.copy()
        accepted[trials.answered] = ~point.is_unknown(trials.loglik[trials.answered])
        known = trials.true < len(trials.languages)
        right = accepted & (trials.loglik.argmax(axis=1) == trials.true)
        found = (known, known & ~accepted, right, ~known, ~known & accepted, np.ones(point.num_known, dtype=bool))
        num = {name: num[name] + int(of.sum()) for name, of in zip(num, found, strict=True)}
    if not num["known"] or not num["unknown"]:
        return None
    return {
        "at_most": points[0].at_most,
        "thresholds": [point.threshold for point in points],  # nats
        "num_validation": num["validation"],
        "known_rejected": num["rejected"] / num["known"],
        "known_right": num["right"] / num["known"],
        "unknown_accepted": num["accepted"] / num["unknown"],
    }


def _calibrated(folder: Path, backend: str) -> OpenSet | None:
    calibration = calibration_of(folder.parent / "backend", backend)
    return read_calibration(calibration)[1] if calibration.exists() else None


def _chosen(folder: Path, split: str, backend: str) -> OpenSet | None:
    valid = read_scored_set({split: folder}, "valid", backend)
    heard = valid.scores.loglik[np.isfinite(valid.scores.loglik).all(axis=1)]
    try:
        return choose_threshold(certainty(heard), rate="reject", at_most=REJECT_AT_MOST)
    except IsoglossError:  # too few for such a rate
        return None
