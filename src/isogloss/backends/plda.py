"""PLDA as a back end: the model by expectation maximisation, the scores log-likelihood ratios of "it is this language".

Source: Kaldi's ivector-compute-plda (PldaEstimator), ivector-mean and ivector-plda-scoring. From W = B = 1, each round

    w_l = (B⁻¹ + n_l W⁻¹)⁻¹ n_l W⁻¹ m_l,   V_l = (B⁻¹ + n_l W⁻¹)⁻¹        m_l: mean of l − mean of the means
    B   = 1/C Σ_l (w_l w_lᵀ + V_l)
    W   = 1/U (S + Σ_l n_l ((m_l − w_l)(m_l − w_l)ᵀ + V_l))               S: scatter within the languages
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.covariance import class_means, within_covariance
from isogloss.backends.lda import enrolled_languages
from isogloss.backends.length_norm import check_embeddings
from isogloss.backends.plda_model import PldaModel, diagonalise
from isogloss.types import IsoglossError


class PLDA:
    """Kaldi's defaults: 10 iterations, no smoothing, lengths normalised to what the model expects of n utterances.

    count_utterances: False scores every language as if enrolled with one (Kaldi without --num-utts). shrinkage: of the
    scatter within languages (covariance.py); 0.1 does better where utterances are few, 0 is Kaldi.
    """

    kind = "plda"

    def __init__(
        self,
        smoothing: float = 0.0,
        normalise_length: bool = True,
        simple_length_norm: bool = False,
        count_utterances: bool = True,
        num_iterations: int = 10,
        shrinkage: float = 0.0,
    ) -> None:
        self.smoothing = smoothing
        self.normalise_length = normalise_length
        self.simple_length_norm = simple_length_norm
        self.count_utterances = count_utterances
        self.num_iterations = num_iterations
        self.shrinkage = shrinkage
        self.model = PldaModel(np.empty(0), np.empty((0, 0)), np.empty(0))
        self.languages: list[str] = []
        self.means = np.empty((0, 0))  # [C, E] of the enrolment, as they are
        self.counts = np.empty(0)  # [C]

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> PLDA:
        """Model and enrolment from embeddings [U, E]. Raises IsoglossError as `estimate` does."""
        self.model = estimate(embeddings, languages, self.num_iterations, self.shrinkage).smoothed(self.smoothing)
        return self.enrol(embeddings, languages)

    def enrol(self, embeddings: np.ndarray, languages: list[str]) -> PLDA:
        """Languages to score, by the model there is: set `model` to one estimated on other speech, Kaldi's or adapted."""
        x = check_embeddings(embeddings, len(self.model.mean))
        self.languages, index = enrolled_languages(languages, len(x))
        self.means, self.counts = class_means(x, index)
        return self

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C] log-likelihood ratios, natural log: how much likelier than from a language never heard."""
        counts = self.counts if self.count_utterances else np.ones(len(self.counts))
        lengths = (self.normalise_length, self.simple_length_norm)
        test = self.model.project(check_embeddings(embeddings, len(self.model.mean)), 1, *lengths)
        return self.model.log_likelihood_ratio(self.model.project(self.means, counts, *lengths), counts, test)

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to score, as plain arrays."""
        return {
            "kind": np.array(self.kind),
            "languages": np.array(self.languages),
            "mean": self.model.mean,
            "transform": self.model.transform,
            "psi": self.model.psi,
            "means": self.means,
            "counts": self.counts,
            "options": np.array([self.normalise_length, self.simple_length_norm, self.count_utterances]),
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> PLDA:
        """The inverse of `state`."""
        backend = cls()
        backend.model = PldaModel(state["mean"], state["transform"], state["psi"])
        backend.languages, backend.means, backend.counts = state["languages"].tolist(), state["means"], state["counts"]
        options = [bool(value) for value in state["options"]]
        backend.normalise_length, backend.simple_length_norm, backend.count_utterances = options
        return backend


def estimate(
    embeddings: np.ndarray, languages: list[str], num_iterations: int = 10, shrinkage: float = 0.0
) -> PldaModel:
    """The model of embeddings [U, E] and their languages.

    Raises IsoglossError where they do not vary within languages in every dimension (W would become singular: an lda
    or pca before it, or shrinkage), and for fewer than two languages.
    """
    x = check_embeddings(embeddings)
    _, index = enrolled_languages(languages, len(x))
    if num_iterations < 1:
        raise IsoglossError(f"PLDA of {num_iterations} iterations; expected at least 1 (Kaldi: 10)")
    means, count = class_means(x, index)
    scatter = len(x) * within_covariance(x, index, shrinkage)
    mean = means.mean(axis=0)  # every language counts the same, however many utterances it has
    within, between = np.eye(x.shape[1]), np.eye(x.shape[1])
    for _ in range(num_iterations):
        # In the space where W is 1 and B diagonal V_l is diagonal: one decomposition instead of C inversions.
        psi, transform = diagonalise(within, between)
        m = (means - mean) @ transform.T
        v = psi / (count[:, None] * psi + 1)  # [C, E]
        w = count[:, None] * v * m
        back = np.linalg.inv(transform)
        between = back @ (w.T @ w + np.diag(v.sum(axis=0))) @ back.T / len(means)
        rest = (m - w) * np.sqrt(count)[:, None]
        within = (scatter + back @ (rest.T @ rest + np.diag(count @ v)) @ back.T) / len(x)
    return PldaModel.from_covariances(mean, within, between)
