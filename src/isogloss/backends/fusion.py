"""Several systems as one: linear logistic fusion of their log-likelihoods.

    loglik'_uc = Σ_k a_k·loglik_k,uc + b_c

One positive weight a system, an offset for each language, fitted as calibration is (same objective, same properties), the
weights pulled to 1/K, all together as hard as one scale is: with nothing to learn from, the average. The result is
calibrated; nothing more is to be done to it. Source: N. Brümmer, FoCal Multi-class manual (2007), "linear logistic
fusion". Its weights may be negative; with dev sets of tens of utterances a negative one is noise.

A system that has no scores for an utterance (a row of NaN) says nothing of it: a flat row, in fitting and after. That is
exact for systems whose errors are independent and too unsure, never too sure, for those that agree; an utterance that
no system has scored gets a flat row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isogloss.backends.calibration import folds
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


class Fusion(LinearMap):
    """weights [K] in the order of the systems; offset [C]; score_prior [K, C]: see `Calibration`, one row a system."""

    kind = "fusion"
    arrays = ("languages", "weights", "offset", "score_prior", "unseen")

    def __init__(
        self,
        languages: Sequence[str],
        weights: np.ndarray | Sequence[float],
        offset: np.ndarray | None = None,
        score_prior: Sequence[np.ndarray | None] | np.ndarray | None = None,
        unseen: Sequence[str] = (),
    ) -> None:
        self.languages = list(languages)
        self.weights = np.asarray(weights, dtype=np.float64)
        self.offset = np.zeros(len(self.languages)) if offset is None else np.asarray(offset, dtype=np.float64)
        self.score_prior = _priors(score_prior, len(self.weights), len(self.languages))
        self.unseen = list(unseen)

    @classmethod
    def fit(
        cls,
        systems: Sequence[np.ndarray],
        truth: np.ndarray,
        *,
        languages: Sequence[str],
        prior: np.ndarray | None = None,
        score_prior: Sequence[np.ndarray | None] | None = None,
    ) -> Fusion:
        """systems: [U, C] each, the same utterances and columns, a row of NaN where one has none; truth, prior: `Calibration.fit`.

        Warns of languages without utterances. IsoglossError for no systems, other shapes, scores that are infinite or
        partly NaN, a system without any score, and what `Calibration.fit` refuses.
        """
        check_enough(truth)
        fitted = cls._fit(systems, np.asarray(truth), languages, prior, score_prior)
        say_unseen(fitted.unseen)
        return fitted

    @classmethod
    def cross_fit(
        cls,
        systems: Sequence[np.ndarray],
        truth: np.ndarray,
        *,
        languages: Sequence[str],
        groups: Sequence[str],
        num_folds: int = 5,
        prior: np.ndarray | None = None,
        score_prior: Sequence[np.ndarray | None] | None = None,
    ) -> tuple[Fusion, np.ndarray]:
        """(fitted on everything, out-of-fold scores [U, C]); groups [U] recordings or speakers: `Calibration.cross_fit`."""
        truth = np.asarray(truth)
        whole = cls.fit(systems, truth, languages=languages, prior=prior, score_prior=score_prior)
        out = np.empty((len(truth), len(languages)))
        for test in folds(groups, truth, num_folds):
            part = cls._fit([system[~test] for system in systems], truth[~test], languages, prior, score_prior)
            out[test] = part.apply([system[test] for system in systems])
        return whole, out

    @classmethod
    def _fit(
        cls,
        systems: Sequence[np.ndarray],
        truth: np.ndarray,
        languages: Sequence[str],
        prior: np.ndarray | None,
        score_prior: Sequence[np.ndarray | None] | None,
    ) -> Fusion:
        priors = _priors(score_prior, len(systems), len(languages))
        stack, given = _stack(systems, priors)
        if silent := np.flatnonzero(~given.any(axis=1)).tolist():
            raise IsoglossError(f"system {silent[0] + 1} of {len(systems)} has no scores to fuse; leave it out")
        heard = given.any(axis=0)
        weights, offset, unseen = fit_linear(stack[:, heard], truth[heard], prior, pull=1 / len(systems), offsets=True)
        return cls(languages, weights, offset, priors, unseen_names(languages, unseen))

    def apply(self, systems: Sequence[np.ndarray]) -> np.ndarray:
        """K × [U, C] → [U, C] calibrated log-likelihoods, each row shifted to log-posteriors under a flat prior."""
        if len(systems) != len(self.weights):
            raise IsoglossError(f"{len(systems)} systems for a fusion of {len(self.weights)}; expected the same ones")
        stack, given = _stack(systems, self.score_prior)
        fused = log_softmax(np.tensordot(self.weights, stack, axes=1) + self.offset)
        fused[~given.any(axis=0)] = -np.log(len(self.languages))
        return fused


def _priors(
    score_prior: Sequence[np.ndarray | None] | np.ndarray | None, num_systems: int, num_languages: int
) -> np.ndarray:
    """[K, C], each row summing to 1."""
    if num_systems < 1:
        raise IsoglossError("no systems to fuse; expected the scores of at least one")
    given = [None] * num_systems if score_prior is None else list(score_prior)
    if len(given) != num_systems:
        raise IsoglossError(f"{len(given)} score priors for {num_systems} systems; expected one (or None) each")
    return np.stack([check_prior(row, num_languages) for row in given])


def _stack(systems: Sequence[np.ndarray], priors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([K, U, C] log-likelihoods, zero rows where a system has none; [K, U] bool: has)."""
    shapes = {np.shape(system) for system in systems}
    if len(shapes) > 1:
        raise IsoglossError(
            f"systems of shapes {sorted(shapes)}; expected the same utterances and languages of each, a row of NaN for "
            "an utterance that one has not scored"
        )
    rows, given = [], []
    for system, prior in zip(systems, priors, strict=True):
        scores = np.array(system, dtype=np.float64)
        missing = np.isnan(scores).all(axis=-1)
        scores[missing] = 0.0
        # Centred, so that a constant the present systems add to a row is nothing beside the zeros of a missing one.
        likelihood = likelihoods(check_loglik(scores, len(prior)), prior)
        likelihood -= likelihood.mean(axis=1, keepdims=True)
        likelihood[missing] = 0.0
        rows.append(likelihood)
        given.append(~missing)
    return np.stack(rows), np.stack(given)
