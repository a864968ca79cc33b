"""Unlabelled embeddings of where the system will be used, put to use: PLDA adaptation and correlation alignment.

All three look at the covariance A of the new embeddings. Where it exceeds what the model expects in some direction,
`adapt_plda` (Kaldi's ivector-adapt-plda) and `coral_plus` make the model wider there; `coral` bends the labelled
embeddings themselves, before anything is fitted on them.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.length_norm import check_embeddings
from isogloss.backends.plda_model import PldaModel, diagonalise
from isogloss.types import IsoglossError


def adapt_plda(
    model: PldaModel,
    embeddings: np.ndarray,
    mean_diff_scale: float = 1.0,
    within_scale: float = 0.3,
    between_scale: float = 0.7,
) -> PldaModel:
    """A model that expects the covariance of unlabelled embeddings [U, E] where that is larger; their mean is its mean.

        A  = cov + mean_diff_scale · d dᵀ,   d = their mean − the model's
        W' = W + within_scale · X,   B' = B + between_scale · X
        X  = T⁻¹ diag(max(s − 1, 0)) T⁻ᵀ,   T (W + B) Tᵀ = 1,   T A Tᵀ = diag(s)

    Source: Kaldi's ivector-adapt-plda (PldaUnsupervisedAdaptor), its options and defaults.
    """
    mean, covariance = _moments(embeddings, model)
    shift = mean - model.mean
    covariance = covariance + mean_diff_scale * np.outer(shift, shift)
    within, between = model.within, model.between
    excess = _excess(within + between, covariance)
    return PldaModel.from_covariances(mean, within + within_scale * excess, between + between_scale * excess)


def coral_plus(
    model: PldaModel, embeddings: np.ndarray, within_scale: float = 0.8, between_scale: float = 0.8
) -> PldaModel:
    """CORAL on the model's covariances, never making them smaller; the mean becomes that of the embeddings [U, E].

        S  = A^½ C^−½ Φ C^−½ A^½,   C = W + B,   Φ = W or B
        Φ' = Φ + scale · T⁻¹ diag(max(e − 1, 0)) T⁻ᵀ,   T Φ Tᵀ = 1, T S Tᵀ = diag(e)

    Source: Lee, Wang, Koshinaka, "The CORAL+ algorithm for unsupervised domain adaptation of PLDA", ICASSP 2019.
    """
    mean, covariance = _moments(embeddings, model)
    within, between = model.within, model.between
    align = _power(covariance, 0.5) @ _power(within + between, -0.5)
    wider_within = within + within_scale * _excess(within, align @ within @ align.T)
    wider_between = between + between_scale * _excess(between, align @ between @ align.T)
    return PldaModel.from_covariances(mean, wider_within, wider_between)


def coral(source: np.ndarray, target: np.ndarray, regularisation: float = 1.0) -> np.ndarray:
    """Labelled embeddings [U, E] with the mean and covariance of unlabelled ones [V, E], to fit a back end on.

        y = C_t^½ C_s^−½ (x − mean_s) + mean_t,   C = covariance + regularisation · its mean variance · 1

    Source: Sun, Feng, Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016. There the dimensions are
    standardised first, so that the mean variance is 1; without regularisation the covariances become equal.
    """
    source = check_embeddings(source)
    target = check_embeddings(target, source.shape[1])
    if len(source) < 2 or len(target) < 2:
        raise IsoglossError(f"CORAL of {len(source)} embeddings to {len(target)}; expected at least two of each")
    half = {}
    for name, x, power in (("source", source, -0.5), ("target", target, 0.5)):
        covariance = np.atleast_2d(np.cov(x.T, bias=True))
        ridge = regularisation * covariance.trace() / len(covariance)
        half[name] = _power(covariance + ridge * np.eye(len(covariance)), power)
    return (source - source.mean(axis=0)) @ half["source"] @ half["target"] + target.mean(axis=0)


def _moments(embeddings: np.ndarray, model: PldaModel) -> tuple[np.ndarray, np.ndarray]:
    """(mean [E], covariance [E, E]) of unlabelled embeddings that suit the model."""
    x = check_embeddings(embeddings, len(model.mean))
    if len(x) < 2:
        raise IsoglossError(f"{len(x)} embeddings to adapt a PLDA to; expected at least two, better hundreds")
    if len(model.transform) != len(model.mean):
        raise IsoglossError(
            f"a PLDA of {len(model.transform)} of {len(model.mean)} dimensions cannot be adapted; expected all of them"
        )
    return x.mean(axis=0), np.cov(x.T, bias=True).reshape(len(model.mean), -1)


def _excess(expected: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[E, E]: by what `seen` exceeds `expected` in the directions in which it does."""
    ratio, transform = diagonalise(expected, seen)
    back = np.linalg.inv(transform)
    return (back * np.maximum(ratio - 1, 0)) @ back.T


def _power(covariance: np.ndarray, exponent: float) -> np.ndarray:
    """The symmetric power. Raises IsoglossError for a negative one of a singular matrix."""
    variance, axes = np.linalg.eigh(covariance)
    if exponent < 0 and variance[0] <= 1e-12 * max(variance[-1], 0.0):
        raise IsoglossError(
            f"a covariance of {len(variance)} dimensions is singular; expected embeddings that vary in all of them: "
            "more of them, or fewer dimensions"
        )
    return (axes * np.maximum(variance, 0.0) ** exponent) @ axes.T
