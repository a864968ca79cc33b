"""Multinomial logistic regression, embeddings [U, E] → log-posteriors [U, C].

    maximise  1/U Σ_u log softmax(W [x_u; 1])[l_u] − 0.5·λ·‖W‖²        λ = 0.0025, bias column included

Source: Kaldi's logistic-regression-train (no prior re-balancing, so the posteriors carry the language shares of the
enrolment set) with its mixtures: with `mix_up` a language has several rows of W, whose softmaxes add up. Not
scikit-learn: it leaves the bias unpenalised and gives two classes one weight vector, which is another penalty.
"""

from __future__ import annotations

import numpy as np

from isogloss.backends.lbfgs import minimise
from isogloss.backends.lda import enrolled_languages
from isogloss.backends.length_norm import check_embeddings
from isogloss.types import IsoglossError

MIX_UP_NOISE = 1e-5  # standard deviation by which the copies of a row differ at first


class LogisticRegression:
    """normaliser: λ, the weight decay per utterance.

    max_steps: evaluations of the objective, 20 as in Kaldi (its log-posteriors come out to about 1e-4); None goes on to
    the optimum, some 1e-3 to 1e-2 away. mix_up: rows of W shared out over the languages by (utterances)^power, 0 for
    one each. Kaldi's lre07 recipe: normaliser 0.001, max_steps 35, mix_up 150.
    """

    kind = "logistic"

    def __init__(
        self,
        normaliser: float = 0.0025,
        max_steps: int | None = 20,
        mix_up: int = 0,
        power: float = 0.15,
        seed: int = 0,
    ) -> None:
        if not normaliser > 0:
            raise IsoglossError(f"logistic regression with normaliser {normaliser}; expected more than 0 (OLR: 0.0025)")
        if max_steps is not None and max_steps < 1:
            raise IsoglossError(f"logistic regression of {max_steps} steps; expected at least 1, or none at all (None)")
        self.normaliser = normaliser
        self.max_steps = max_steps
        self.mix_up = mix_up
        self.power = power
        self.seed = seed
        self.languages: list[str] = []
        self.weight = np.empty((0, 0))  # [M, E + 1], bias last; M = C without mixtures
        self.rows_of = np.empty(0, dtype=int)  # [M] column of the language that a row of weight belongs to

    def fit(self, embeddings: np.ndarray, languages: list[str]) -> LogisticRegression:
        """From embeddings [U, E] and their languages. Errors: see `check_embeddings`, `enrolled_languages`."""
        x = _with_one(check_embeddings(embeddings))
        self.languages, index = enrolled_languages(languages, len(x))
        self.rows_of = np.arange(len(self.languages))
        self.weight = self._optimised(x, index, np.zeros((len(self.languages), x.shape[1])))
        if self.mix_up > len(self.languages):
            extra = _num_rows(np.bincount(index), self.mix_up, self.power) - 1
            self.rows_of = np.concatenate([self.rows_of, np.repeat(self.rows_of, extra)])
            start = self.weight[self.rows_of]
            noise = np.random.default_rng(self.seed).normal(size=start.shape)
            start[len(self.languages) :] += MIX_UP_NOISE * noise[len(self.languages) :]
            self.weight = self._optimised(x, index, start)
        return self

    def objective(self, weight: np.ndarray, x: np.ndarray, index: np.ndarray) -> tuple[float, np.ndarray]:
        """(−objective, its gradient [M, E + 1]); x [U, E + 1] ends in a column of ones, index [U] is the language."""
        log_posterior = log_softmax(x @ weight.T)  # [U, M] of the rows
        of_language = self._add_up(log_posterior)[np.arange(len(x)), index]  # [U]
        own = index[:, None] == self.rows_of
        share = np.where(own, np.exp(log_posterior - of_language[:, None]), 0.0)  # of the rows of the right language
        value = -of_language.mean() + 0.5 * self.normaliser * (weight**2).sum()
        return float(value), (np.exp(log_posterior) - share).T @ x / len(x) + self.normaliser * weight

    def loglik(self, embeddings: np.ndarray) -> np.ndarray:
        """[U, E] → [U, C] log-posteriors in the order of `languages`."""
        x = _with_one(check_embeddings(embeddings, self.weight.shape[1] - 1))
        return self._add_up(log_softmax(x @ self.weight.T))

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to score, as plain arrays."""
        return {
            "kind": np.array(self.kind),
            "languages": np.array(self.languages),
            "weight": self.weight,
            "rows_of": self.rows_of,
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> LogisticRegression:
        """The inverse of `state`."""
        return cls.from_weights(state["weight"], state["rows_of"], state["languages"].tolist())

    @classmethod
    def from_weights(cls, weight: np.ndarray, rows_of: np.ndarray, languages: list[str]) -> LogisticRegression:
        """weight [M, E + 1], bias last, and [M] the column that each row belongs to: what Kaldi's model file holds."""
        model = cls()
        model.weight, model.rows_of = check_embeddings(weight), np.asarray(rows_of, dtype=int)
        model.languages = list(languages)
        if len(model.rows_of) != len(model.weight) or set(model.rows_of.tolist()) != set(range(len(languages))):
            raise IsoglossError(
                f"{len(model.weight)} rows of weights for classes {sorted(set(model.rows_of.tolist()))}, but "
                f"{len(languages)} languages; expected a row or more for each: is the language list this model's?"
            )
        return model

    def _optimised(self, x: np.ndarray, index: np.ndarray, start: np.ndarray) -> np.ndarray:
        def of_flat(flat: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.objective(flat.reshape(start.shape), x, index)
            return value, gradient.ravel()

        if self.max_steps is not None:
            return minimise(of_flat, start.ravel(), self.max_steps).reshape(start.shape)
        from scipy import optimize

        # Strictly convex without mixtures: L-BFGS from zero finds the one optimum.
        options = {"maxiter": 5000, "gtol": 1e-7, "ftol": 1e-14}
        found = optimize.minimize(of_flat, start.ravel(), jac=True, method="L-BFGS-B", options=options)
        if not np.isfinite(found.x).all() or np.abs(found.jac).max() > 1e-4:
            raise IsoglossError(
                f"logistic regression did not converge ({found.message}); largest embedding value "
                f"{np.abs(x).max():.3g}: are the embeddings unit length?"
            )
        return found.x.reshape(start.shape)

    def _add_up(self, log_posterior: np.ndarray) -> np.ndarray:
        """[U, M] of the rows → [U, C] of the languages."""
        columns = range(len(self.languages))
        largest = np.stack([log_posterior[:, self.rows_of == column].max(axis=1) for column in columns], axis=1)
        if len(self.rows_of) == len(columns):
            return largest
        of_rows = np.exp(log_posterior - largest[:, self.rows_of])
        return largest + np.log(of_rows @ np.eye(len(columns))[self.rows_of])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """[U, C] → [U, C]; a row may be shifted by anything without overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _num_rows(counts: np.ndarray, total: int, power: float) -> np.ndarray:
    """[C] rows for languages of `counts` [C] utterances, `total` in all: the next goes to the largest count^power / rows.

    Kaldi's GetSplitTargets with a minimum count of 1: a language never has as many rows as utterances.
    """
    rows = np.ones(len(counts), dtype=int)
    while rows.sum() < total:
        wanting = np.where(rows + 1 < counts, counts.astype(float) ** power / rows, 0.0)
        if not wanting.any():
            break
        rows[wanting.argmax()] += 1
    return rows


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)  # [U, E + 1]
