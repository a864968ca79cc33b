"""Multinomial logistic regression, embeddings [U, E] → log-posteriors [U, C].

    maximise  1/U Σ_u log softmax(W [x_u; 1])[l_u] − 0.5·λ·‖W‖²        λ = 0.0025, bias column included

The objective of Kaldi's logistic-regression-train (one component per class, no prior re-balancing, so the posteriors
carry the language shares of the enrolment set), here taken to its optimum; Kaldi stops after about 20 steps. Not
scikit-learn: it leaves the bias unpenalised and gives two classes one weight vector, which is another penalty.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.lda import enrolled_languages
from isogloss.backends.length_norm import check_embeddings
from isogloss.types import IsoglossError


class LogisticRegression:
    """normaliser: λ, the weight decay per utterance."""

    def __init__(self, normaliser: float = 0.0025) -> None:
        if not normaliser > 0:
            raise IsoglossError(f"logistic regression with normaliser {normaliser}; expected more than 0 (OLR: 0.0025)")
        self.normaliser = normaliser
        self.languages: list[str] = []
        self.weight = np.empty((0, 0))  # [C, E + 1], bias last

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> LogisticRegression:
        """From embeddings [U, E] and their languages. Errors: see `check_embeddings`, `enrolled_languages`."""
        from scipy.optimize import minimize

        x = _with_one(check_embeddings(embeddings))
        self.languages, index = enrolled_languages(languages, len(x))
        shape = (len(self.languages), x.shape[1])
        target = np.eye(len(self.languages))[index]  # [U, C]

        def negative(flat: np.ndarray) -> tuple[float, np.ndarray]:
            """(−objective, its gradient)."""
            weight = flat.reshape(shape)
            log_posterior = log_softmax(x @ weight.T)
            value = -(log_posterior * target).sum() / len(x) + 0.5 * self.normaliser * (weight**2).sum()
            gradient = (np.exp(log_posterior) - target).T @ x / len(x) + self.normaliser * weight
            return value, gradient.ravel()

        # Strictly convex: L-BFGS from zero finds the one optimum.
        options = {"maxiter": 5000, "gtol": 1e-7, "ftol": 1e-14}
        found = minimize(negative, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options)
        if not np.isfinite(found.x).all() or np.abs(found.jac).max() > 1e-4:
            raise IsoglossError(
                f"logistic regression did not converge ({found.message}); largest embedding value "
                f"{np.abs(x).max():.3g}: are the embeddings unit length?"
            )
        self.weight = found.x.reshape(shape)
        return self

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C] log-posteriors in the order of `languages`."""
        return log_softmax(_with_one(check_embeddings(embeddings, self.weight.shape[1] - 1)) @ self.weight.T)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """[U, C] → [U, C]; a row may be shifted by anything without overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)  # [U, E + 1]
