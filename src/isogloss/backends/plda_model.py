"""Two-covariance PLDA: x = mean + y_l + e, y_l ~ N(0, B) one for each language, e ~ N(0, W) one for each utterance.

A transform T with T W Tᵀ = 1 and T B Tᵀ = diag(ψ) makes it one-dimensional problems. With u = T (x − mean) and ū the
mean of n enrolled utterances of a language,

    p(u | ū, n) = N(u; nψ/(nψ + 1) ū, 1 + ψ/(nψ + 1)),    p(u) = N(u; 0, 1 + ψ)

Source: Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006, between equations 4 and 5; as in Kaldi's
ivector/plda.cc, whose model file holds the same three arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.types import IsoglossError


@dataclass(frozen=True)
class PldaModel:
    """mean [E], transform T [R, E], psi ψ [R] descending; R = E in Kaldi, less where embeddings do not span E."""

    mean: np.ndarray
    transform: np.ndarray
    psi: np.ndarray

    def __post_init__(self) -> None:
        shapes = (self.mean.shape, self.transform.shape, self.psi.shape)
        if self.transform.ndim != 2 or shapes != (self.transform.shape[1:], self.transform.shape, self.psi.shape[:1]):
            raise IsoglossError(f"PLDA of mean, transform and psi {shapes}; expected [E], [R, E] and [R]")
        if len(self.psi) != len(self.transform) or not (self.psi >= 0).all():
            raise IsoglossError(
                f"PLDA of {len(self.psi)} psi, the least {self.psi.min(initial=0):.3g}, for {len(self.transform)} "
                "dimensions; expected one variance, 0 or more, for each"
            )

    @classmethod
    def from_covariances(cls, mean: np.ndarray, within: np.ndarray, between: np.ndarray) -> PldaModel:
        """mean [E], W [E, E] positive definite, B [E, E]. Raises IsoglossError where W is singular."""
        psi, transform = diagonalise(within, between)
        largest = np.abs(transform).argmax(axis=1)  # a direction has no sign of its own
        transform *= np.sign(transform[np.arange(len(transform)), largest])[:, None]
        return cls(mean, transform, np.maximum(psi, 0.0))

    @property
    def within(self) -> np.ndarray:
        """W [E, E]."""
        inverse = np.linalg.pinv(self.transform)
        return inverse @ inverse.T

    @property
    def between(self) -> np.ndarray:
        """B [E, E]."""
        inverse = np.linalg.pinv(self.transform)
        return (inverse * self.psi) @ inverse.T

    def smoothed(self, factor: float) -> PldaModel:
        """W + factor · B in place of W, for too few utterances a language (Kaldi: ivector-copy-plda --smoothing)."""
        if not 0 <= factor <= 1:
            raise IsoglossError(f"PLDA smoothing {factor}; expected 0 to 1")
        within = 1 + factor * self.psi  # in the transformed space, where W is 1
        return PldaModel(self.mean, self.transform / np.sqrt(within)[:, None], self.psi / within)

    def project(
        self,
        x: np.ndarray,
        count: np.ndarray | float = 1,
        normalise_length: bool = True,
        simple_length_norm: bool = False,
    ) -> np.ndarray:
        """[N, E] means of `count` ([N] or one number) utterances → u [N, R].

        normalise_length: to the length that is expected of such a mean, uᵀ (ψ + 1/count)⁻¹ u = R, or with
        `simple_length_norm` to √R (Kaldi's options of these names). A zero row stays zero.
        """
        u = (x - self.mean) @ self.transform.T
        if not normalise_length:
            return u
        variance = 1.0 if simple_length_norm else self.psi + 1 / np.broadcast_to(count, len(x))[:, None]
        squared = (u**2 / variance).sum(axis=1, keepdims=True)
        return u * np.sqrt(u.shape[1] / np.where(squared > 0, squared, 1.0))

    def log_likelihood_ratio(self, enrolled: np.ndarray, count: np.ndarray, test: np.ndarray) -> np.ndarray:
        """log p(u | ū, n) − log p(u), [U, C], of projected ū [C, R], n [C] and u [U, R]."""
        count = np.asarray(count, dtype=float)[:, None]
        shrunk = count * self.psi + 1
        variance = 1 + self.psi / shrunk  # [C, R]
        mean = count * self.psi / shrunk * enrolled
        given = np.stack(
            [((test - m) ** 2 / v + np.log(v)).sum(axis=1) for m, v in zip(mean, variance, strict=True)], axis=1
        )
        alone = (test**2 / (1 + self.psi) + np.log(1 + self.psi)).sum(axis=1)
        return 0.5 * (alone[:, None] - given)


def diagonalise(within: np.ndarray, between: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ψ [E] descending, T [E, E]): T within Tᵀ = 1, T between Tᵀ = diag(ψ). IsoglossError if `within` is singular."""
    try:
        half = np.linalg.cholesky(within)
    except np.linalg.LinAlgError:
        raise IsoglossError(
            f"a covariance of {len(within)} dimensions is singular; expected utterances that vary in all of them: "
            "reduce the dimensions first (lda+… or pca+…)"
        ) from None
    whiten = np.linalg.solve(half, np.eye(len(half)))
    psi, axes = np.linalg.eigh(whiten @ between @ whiten.T)
    return psi[::-1], axes[:, ::-1].T @ whiten
