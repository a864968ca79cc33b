"""Gaussian back end: each language a Gaussian around its own mean, one covariance for all.

    log p(x | l) = log N(x; m_l, W')        m_l = (U_l · mean_l + r · mean) / (U_l + r)

W' is the covariance within languages (covariance.py), m_l the MAP estimate under the prior N(mean, W'/r): a language of
few utterances stays near the mean of the language means. Source: Singer et al., "The MITLL NIST LRE 2011 language
recognition system", 2012; relevance as in Reynolds, Quatieri, Dunn, "Speaker verification using adapted GMMs", 2000.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.covariance import class_means, within_covariance
from isogloss.backends.lda import enrolled_languages
from isogloss.backends.length_norm import check_embeddings
from isogloss.types import IsoglossError


class Gaussian:
    """relevance: r, the number of utterances that the overall mean is worth; 0 leaves each language's own mean.
    shrinkage: of W', so that it can be inverted however few utterances there are."""

    kind = "gaussian"

    def __init__(self, relevance: float = 1.0, shrinkage: float = 0.1) -> None:
        if not relevance >= 0:
            raise IsoglossError(f"Gaussian back end with relevance {relevance}; expected 0 or more")
        self.relevance = relevance
        self.shrinkage = shrinkage
        self.languages: list[str] = []
        self.means = np.empty((0, 0))  # [C, E] MAP
        self.whiten: np.ndarray = np.empty((0, 0))  # [E, E] lower triangular, whiten W' whitenᵀ = 1

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> Gaussian:
        """From enrolment embeddings [U, E]. Raises IsoglossError as `within_covariance`, `enrolled_languages` do."""
        x = check_embeddings(embeddings)
        self.languages, index = enrolled_languages(languages, len(x))
        means, count = class_means(x, index)
        own = (count / (count + self.relevance))[:, None]
        self.means = own * means + (1 - own) * means.mean(axis=0)
        cholesky = np.linalg.cholesky(within_covariance(x, index, self.shrinkage))
        self.whiten = np.linalg.solve(cholesky, np.eye(len(cholesky)))
        return self

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C] log-likelihoods, natural log."""
        x = check_embeddings(embeddings, self.means.shape[1]) @ self.whiten.T
        means = self.means @ self.whiten.T
        distance = np.stack([((x - mean) ** 2).sum(axis=1) for mean in means], axis=1)
        log_density = np.log(np.diag(self.whiten)).sum() - 0.5 * x.shape[1] * np.log(2 * np.pi)
        return log_density - 0.5 * distance

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to score, as plain arrays."""
        return {
            "kind": np.array(self.kind),
            "languages": np.array(self.languages),
            "means": self.means,
            "whiten": self.whiten,
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Gaussian:
        """The inverse of `state`."""
        backend = cls()
        backend.languages = state["languages"].tolist()
        backend.means, backend.whiten = state["means"], state["whiten"]
        return backend
