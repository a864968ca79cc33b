"""Scores that mean something: affine calibration of log-likelihoods, as FoCal Multi-class does it.

    loglik'_uc = a·loglik_uc + b_c              affine: one positive scale, an offset for each language
    loglik'_uc = a·loglik_uc                    temperature: a = 1/T
    loglik'_uc = a(n_u)·loglik_uc + b_c         duration: n voiced frames
        a(n) = (1 − φ)·a_short + φ·a_long,  φ = n/(n + 1000)

fitted on utterances nobody was trained on (linear_logistic.py), pulled to a = 1, b = 0, so that a handful changes little.
With a flat prior Cllr does not rise on the utterances of the fit, if every language has some.

Source: N. Brümmer and D. van Leeuwen, "On calibration of language recognition scores", Odyssey 2006, and Brümmer's FoCal
Multi-class manual (2007). That a scale should know the duration: Mandasari, Saeidi, McLaren, van Leeuwen, "Quality measure
functions for calibration of speaker recognition systems in various duration conditions", IEEE TASLP 21(11), 2013. The form
of a(n) is ours: its share φ is that of relevance MAP (n frames against 1000 of prior); unlike a line in log n it stays
positive and between two fitted numbers for any n, also where there was no such utterance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from isogloss.backends.linear_logistic import (
    LinearMap,
    check_enough,
    check_loglik,
    check_prior,
    fit_linear,
    likelihoods,
    say_unseen,
    unseen_names,
)
from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError

Form = Literal["affine", "temperature", "duration"]

HALF_FRAMES = 1000.0
"""Voiced frames (10 s) at which the duration form's scale is halfway between its two ends. Of 300 to 2,000 the least
cross-validated Cllr on validation utterances: with 300 a second's scale cannot fall far enough below that of ten."""


class Calibration(LinearMap):
    """Made by `fit`, or directly: scales [1] or, for the duration form, [2] (short, long); offset [C].

    `score_prior` [C]: the scores are log-posteriors under these language shares (logistic regression without
    re-balancing: those of its enrolment), which are taken out first. None: likelihoods, or posteriors under a flat prior.
    `unseen`: languages without utterances to fit on; their offset is 0.
    """

    kind = "calibration"
    arrays = ("languages", "scales", "offset", "score_prior", "unseen", "half_frames")

    def __init__(
        self,
        languages: Sequence[str],
        scales: np.ndarray | Sequence[float] = (1.0,),
        offset: np.ndarray | None = None,
        score_prior: np.ndarray | None = None,
        unseen: Sequence[str] = (),
        half_frames: float | np.ndarray = HALF_FRAMES,
    ) -> None:
        self.languages = list(languages)
        self.scales = np.asarray(scales, dtype=np.float64)
        self.offset = np.zeros(len(self.languages)) if offset is None else np.asarray(offset, dtype=np.float64)
        self.score_prior = check_prior(score_prior, len(self.languages))
        self.unseen = list(unseen)
        self.half_frames = float(half_frames)

    @classmethod
    def fit(
        cls,
        loglik: np.ndarray,
        truth: np.ndarray,
        frames: np.ndarray | None = None,
        *,
        languages: Sequence[str],
        form: Form = "affine",
        prior: np.ndarray | None = None,
        score_prior: np.ndarray | None = None,
        pull: float = 1.0,
    ) -> Calibration:
        """loglik [U, C]; truth [U] column of the right language; frames [U] voiced, for the duration form; prior [C];
        pull: the scale where few utterances say otherwise, 1 for log-likelihoods, 10 for cosines.

        Warns of languages without utterances. IsoglossError for scores that are not finite, a truth outside the columns,
        fewer than ten utterances or two languages, a form without its frames.
        """
        check_enough(truth)
        fitted = cls._fit(loglik, truth, frames, languages, form, prior, score_prior, pull)
        say_unseen(fitted.unseen)
        return fitted

    @classmethod
    def cross_fit(
        cls,
        loglik: np.ndarray,
        truth: np.ndarray,
        frames: np.ndarray | None = None,
        *,
        languages: Sequence[str],
        groups: Sequence[str],
        num_folds: int = 5,
        form: Form = "affine",
        prior: np.ndarray | None = None,
        score_prior: np.ndarray | None = None,
        pull: float = 1.0,
    ) -> tuple[Calibration, np.ndarray]:
        """(fitted on everything, out-of-fold scores [U, C]): every row calibrated by a fit that has not seen its group.

        groups [U]: recordings or speakers. The scores are what to measure and to choose thresholds on.
        """
        truth = np.asarray(truth)
        whole = cls.fit(
            loglik, truth, frames, languages=languages, form=form, prior=prior, score_prior=score_prior, pull=pull
        )
        out = np.empty(np.shape(loglik))
        for test in folds(groups, truth, num_folds):
            trained_on, tested = (None, None) if frames is None else (frames[~test], frames[test])
            part = cls._fit(loglik[~test], truth[~test], trained_on, languages, form, prior, score_prior, pull)
            out[test] = part.apply(loglik[test], tested)
        return whole, out

    @classmethod
    def _fit(
        cls,
        loglik: np.ndarray,
        truth: np.ndarray,
        frames: np.ndarray | None,
        languages: Sequence[str],
        form: Form,
        prior: np.ndarray | None,
        score_prior: np.ndarray | None,
        pull: float,
    ) -> Calibration:
        if form not in get_args(Form):
            raise IsoglossError(f"calibration of form {form!r}; expected {', '.join(get_args(Form))}")
        scores = likelihoods(check_loglik(loglik, len(languages)), score_prior)
        stack = _bases(scores, frames, HALF_FRAMES) if form == "duration" else scores[None]
        weights, offset, unseen = fit_linear(stack, truth, prior, pull=pull, offsets=form != "temperature")
        return cls(languages, weights, offset, score_prior, unseen_names(languages, unseen))

    @property
    def by_duration(self) -> bool:
        return len(self.scales) == 2

    def apply(self, loglik: np.ndarray, frames: np.ndarray | None = None) -> np.ndarray:
        """[U, C] → [U, C] calibrated log-likelihoods, each row shifted to log-posteriors under a flat prior.

        What is added to all of a row changes nothing. IsoglossError as in `fit`, and for a duration form without frames.
        """
        scores = likelihoods(check_loglik(loglik, len(self.languages)), self.score_prior)
        stack = _bases(scores, frames, self.half_frames) if self.by_duration else scores[None]
        return log_softmax(np.tensordot(self.scales, stack, axes=1) + self.offset)

    def then(self, after: Calibration) -> Calibration:
        """This one and `after` as one: `after` was fitted on what this one gives. IsoglossError if it goes by duration."""
        if after.by_duration:
            raise IsoglossError(
                "a calibration by duration of scores that are calibrated already; use the affine form, or fit it on "
                "scores of a back end without its own"
            )
        (scale,) = after.scales
        offset = scale * (self.offset - np.log(after.score_prior)) + after.offset
        return Calibration(
            self.languages, scale * self.scales, offset, self.score_prior, after.unseen, self.half_frames
        )


def folds(groups: Sequence[str], truth: np.ndarray, num_folds: int = 5) -> list[np.ndarray]:
    """[U] bool per fold: its utterances. No group stands in two, every language is spread; the same for equal input.

    Fewer groups than folds: one fold a group. IsoglossError for fewer than two groups.
    """
    if len(groups) != len(truth):
        raise IsoglossError(f"{len(groups)} recordings for {len(truth)} utterances; expected one for each")
    names, first, member = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    if len(names) < 2 or num_folds < 2:
        raise IsoglossError(
            f"{len(names)} recordings in {num_folds} folds; cross-validation needs two of each: fit without it, or name "
            "the recordings"
        )
    dealt = np.empty(len(names), dtype=np.int64)
    # The languages one after the other, dealt out like cards.
    dealt[np.lexsort((names, np.asarray(truth)[first]))] = np.arange(len(names)) % num_folds
    return [dealt[member] == fold for fold in range(min(num_folds, len(names)))]


def _bases(loglik: np.ndarray, frames: np.ndarray | None, half_frames: float) -> np.ndarray:
    """[2, U, C]: (1 − φ)·loglik and φ·loglik."""
    if frames is None:
        raise IsoglossError(
            "the duration form of calibration needs the voiced frames of every utterance (at the command line: --frames)"
        )
    frames = np.asarray(frames, dtype=np.float64)
    if frames.shape != (len(loglik),) or not (np.isfinite(frames) & (frames >= 0)).all():
        raise IsoglossError(
            f"voiced frames of shape {frames.shape} for {len(loglik)} utterances; expected one ≥ 0 each"
        )
    share = (frames / (frames + half_frames))[:, None]
    return np.stack([(1 - share) * loglik, share * loglik])
