"""What a back end's scores mean, learnt from the validation utterances: a calibration, and when to call speech unknown.

Whole utterances and their first `short_frames` voiced frames are fitted on together, so that the scale knows the duration.
Left beside the back end in the layout of `isogloss calibrate`, for `score` and `pack`.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from isogloss.backends import Backend, Chain, Cosine, LogisticRegression
from isogloss.backends.calibration import Calibration, Form
from isogloss.backends.chain import Scorer
from isogloss.backends.cosine import PULL as COSINE_PULL
from isogloss.backends.linear_logistic import MIN_UTTERANCES, UnseenLanguage
from isogloss.backends.open_set import OpenSet, certainty, choose_threshold
from isogloss.stages.calibrate import save_calibration
from isogloss.stages.extract import Embeddings
from isogloss.types import Scores

logger = logging.getLogger(__name__)

FILES = ("valid", "valid_short")


def calibration_of(backends: Path, name: str) -> Path:
    """The folder of a back end's calibration; it need not be there."""
    return backends / f"{name}.calibration"


def calibrate_on_validation(
    fitted: Backend, kind: str, embeddings: Path, enrolled: list[str], reject: float | None, out: Path
) -> bool:
    """Fit on embeddings/valid.npz and valid_short.npz and write the folder `out`; False where there are too few utterances.

    kind: which embedding the back end takes. enrolled: language of every enrolment utterance; log-posteriors of a logistic
    regression carry their shares. reject: share of whole utterances of enrolled languages that may be called unknown.
    """
    parts = [Embeddings.load(path) for file in FILES if (path := embeddings / f"{file}.npz").exists()]
    heard = [part.spoken & np.isin(part.languages, fitted.languages) for part in parts]
    if sum(use.sum() for use in heard) < MIN_UTTERANCES:
        return False
    vectors = np.concatenate([getattr(part, kind)[use] for part, use in zip(parts, heard, strict=True)])
    loglik = fitted.loglik(vectors.astype(np.float64))
    frames = np.concatenate([part.voiced_frames[use] for part, use in zip(parts, heard, strict=True)])
    chosen = [
        (f"{utterance}:{file}", language, recording)
        for file, part, use in zip(FILES, parts, heard, strict=False)
        for utterance, language, recording, used in zip(
            part.utterances, part.languages, part.recordings, use, strict=True
        )
        if used
    ]
    utterances, languages, groups = (list(column) for column in zip(*chosen, strict=True))
    scorer = fitted.scorer if isinstance(fitted, Chain) else fitted
    form: Form = "duration" if len(parts) > 1 else "affine"
    truth = np.array([fitted.languages.index(language) for language in languages])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenLanguage)  # calibration.json names them
        calibration, out_of_fold = Calibration.cross_fit(
            loglik,
            truth,
            frames,
            languages=fitted.languages,
            groups=groups,
            form=form,
            score_prior=_shares(scorer, enrolled),
            pull=COSINE_PULL if isinstance(scorer, Cosine) else 1.0,
        )
    open_set: OpenSet | None = None
    num_whole = int(heard[0].sum())
    if reject is not None and num_whole + 1 >= 1 / reject:
        # of whole utterances alone: a second tells so little that a threshold which lets seconds pass stops nobody
        open_set = choose_threshold(certainty(out_of_fold[:num_whole]), rate="reject", at_most=reject)
    key = dict(zip(utterances, languages, strict=True))
    before, after = (Scores(utterances, fitted.languages, scores) for scores in (loglik, out_of_fold))
    save_calibration(out, calibration, form, open_set, before, after, key, np.ones(len(truth), dtype=bool))
    return True


def _shares(scorer: Backend | Scorer, enrolled: list[str]) -> np.ndarray | None:
    if not isinstance(scorer, LogisticRegression):
        return None
    count = Counter(enrolled)
    return np.array([count[language] for language in scorer.languages], dtype=np.float64)
