"""Linear logistic regression on log-likelihoods: what calibration and fusion are fitted by.

    loglik'_uc = Σ_p a_p·stack_puc + b_c
    minimise  −U·Σ_c π_c/U_c Σ_{u of c} log softmax(loglik'_u + log π)_c
              + 5·mean_p (r_p − 1 − log r_p) + 1/2 Σ_c b_c²                r_p = a_p / pull

Every language weighs what the prior π says (flat: each as much), however many utterances U_c it has; with a flat prior
the first line is Cllr. The second pulls towards a = pull, b = 0 with the weight of a few utterances, so that thousands
decide alone. Both its terms are convex (the first is the Gamma prior of mode 1; it keeps a positive), and so is the whole:
there is one solution, whatever the machine.
Source: N. Brümmer, FoCal Multi-class manual (2007): its objective, with these pulls in place of a ridge to 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError

MIN_UTTERANCES = 10
"""Fewer say nothing of how sure to be."""

SCALE_PULL, OFFSET_PULL = 5.0, 1.0
"""How many utterances the two pulls weigh: the least cross-validated Cllr within 76 validation utterances of 16 languages,
over 24 networks and two back ends each; flat around there."""

NAMES = ("languages", "unseen")  # arrays of text

SMALLEST = 1e-8  # of a weight, relative to where it is pulled: the logarithm's domain is open


def fit_linear(
    stack: np.ndarray, truth: np.ndarray, prior: np.ndarray | None, pull: float, offsets: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [P], offset [C], [C] bool: no utterance) of loglik' = Σ_p weight_p·stack_p + offset; stack [P, U, C].

    prior [C], None: flat. A language without utterances is left out of the softmax: there is nothing to fit its offset on,
    and to push it down for never being right would be a prior. IsoglossError for a truth outside the columns and for
    utterances of fewer than two languages.
    """
    from scipy.optimize import minimize

    num_weights, num_utterances, num_languages = stack.shape
    truth = np.asarray(truth)
    if truth.shape != (num_utterances,) or not ((truth >= 0) & (truth < num_languages)).all():
        raise IsoglossError(
            f"{truth.size} true languages for {num_utterances} utterances and {num_languages} columns; expected a column "
            "for each, without out-of-set utterances: leave those out"
        )
    count = np.bincount(truth, minlength=num_languages)
    seen = np.flatnonzero(count)
    if len(seen) < 2:
        raise IsoglossError(
            f"{num_utterances} utterances of {len(seen)} languages to calibrate on; expected two or more"
        )
    log_prior = np.log(check_prior(prior, num_languages)[seen])
    log_prior -= np.log(np.exp(log_prior).sum())
    label = np.searchsorted(seen, truth)
    target = np.eye(len(seen))[label]  # [U, S]
    importance = num_utterances * (np.exp(log_prior) / count[seen])[label]  # [U]
    used = stack[:, :, seen]
    used = used - used.mean(axis=2, keepdims=True)
    # In units of their own size, so that scores of thousands and cosines are equally easy to descend.
    size = np.maximum(np.sqrt((used**2).mean(axis=(1, 2))), 1e-12)
    used = used / size[:, None, None]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """(value, gradient) at [weight·size, offset]."""
        weight, offset = flat[:num_weights], flat[num_weights:]
        ratio = weight / (size * pull)
        log_posterior = log_softmax(np.tensordot(weight, used, axes=1) + offset + log_prior)
        excess = (np.exp(log_posterior) - target) * importance[:, None]
        value = -(importance * log_posterior[np.arange(num_utterances), label]).sum()
        value += SCALE_PULL * (ratio - 1 - np.log(ratio)).mean() + 0.5 * OFFSET_PULL * (offset**2).sum()
        by_weight = np.einsum("puc,uc->p", used, excess) + SCALE_PULL / num_weights * (1 - 1 / ratio) / (size * pull)
        by_offset = (excess.sum(axis=0) + OFFSET_PULL * offset) * offsets
        return value, np.concatenate([by_weight, by_offset])

    start = np.concatenate([size * pull, np.zeros(len(seen))])
    bounds = [(SMALLEST * unit, None) for unit in size * pull] + [(None, None)] * len(seen)
    options = {"maxiter": 5000, "maxfun": 20000, "gtol": 1e-8, "ftol": 1e-15}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    if not np.isfinite(found.x).all() or np.abs(found.jac).max() > 1e-3 * num_utterances:
        raise IsoglossError(
            f"calibration did not converge ({found.message}); scores of size {size.max():.3g}: are they log-likelihoods?"
        )
    offset = np.zeros(num_languages)
    offset[seen] = found.x[num_weights:]
    return found.x[:num_weights] / size, offset, count == 0


class LinearMap:
    """What a fit is applied as and kept as: `arrays` are the constructor's arguments in order, each an attribute too."""

    kind: str
    arrays: tuple[str, ...]

    def state(self) -> dict[str, np.ndarray]:
        """All it takes to apply it, as plain arrays (names as unicode arrays: no pickle)."""
        found = {name: np.array(getattr(self, name), dtype=np.str_ if name in NAMES else None) for name in self.arrays}
        return {"kind": np.array(self.kind), **found}

    @classmethod
    def from_state(cls: type[LinearMapT], state: dict[str, np.ndarray]) -> LinearMapT:
        """The inverse of `state`. IsoglossError for another kind or a missing array."""
        check_state(state, cls.kind, *cls.arrays)
        return cls(*(state[name].tolist() if name in NAMES else state[name] for name in cls.arrays))


LinearMapT = TypeVar("LinearMapT", bound=LinearMap)


def likelihoods(loglik: np.ndarray, score_prior: np.ndarray | None) -> np.ndarray:
    """Log-posteriors [U, C] under `score_prior` [C] to log-likelihoods (Bayes' rule; up to a constant per row)."""
    return loglik - np.log(check_prior(score_prior, loglik.shape[1]))


class UnseenLanguage(UserWarning):
    """A language had no utterance to fit its offset on."""


def unseen_names(languages: Sequence[str], unseen: np.ndarray) -> list[str]:
    """The languages marked in `unseen` [C]."""
    return [language for language, none in zip(languages, unseen, strict=True) if none]


def say_unseen(names: list[str]) -> None:
    """Warns of languages whose offset could not be fitted."""
    if names:
        warnings.warn(
            f"no utterance of {', '.join(names)} to calibrate on: offset 0, as the scores had it",
            UnseenLanguage,
            stacklevel=3,
        )


def check_enough(truth: np.ndarray) -> None:
    """IsoglossError for fewer than MIN_UTTERANCES."""
    if len(truth) < MIN_UTTERANCES:
        raise IsoglossError(
            f"{len(truth)} utterances to calibrate on; expected at least {MIN_UTTERANCES}: give more, or leave the scores "
            "as they are"
        )


def check_loglik(loglik: np.ndarray, num_languages: int) -> np.ndarray:
    """[U, C] float64, finite, or IsoglossError."""
    scores = np.asarray(loglik, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] != num_languages:
        raise IsoglossError(
            f"scores of shape {scores.shape} for {num_languages} languages; expected [utterances, {num_languages}]"
        )
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise IsoglossError(
            f"{len(bad)} of {len(scores)} rows of scores are not finite, first row {bad[0]}; an utterance without a "
            "voiced frame has no score: leave it out"
        )
    return scores


def check_prior(prior: np.ndarray | None, num_languages: int) -> np.ndarray:
    """[C] summing to 1; None is flat. IsoglossError unless all are positive."""
    shares = np.ones(num_languages) if prior is None else np.asarray(prior, dtype=np.float64)
    if shares.shape != (num_languages,) or not (np.isfinite(shares) & (shares > 0)).all():
        raise IsoglossError(f"a prior of {shares.tolist()}; expected {num_languages} positive shares, one a language")
    return shares / shares.sum()


def check_state(state: dict[str, np.ndarray], kind: str, *names: str) -> None:
    """IsoglossError unless these arrays are the `state()` of that kind and all there."""
    found = str(state.get("kind", np.array("nothing")))
    if found != kind:
        raise IsoglossError(f"expected a {kind}, found {found!r}; is it the right file, or made by a newer version?")
    if missing := [name for name in names if name not in state]:
        raise IsoglossError(
            f"the {kind} lacks its array {missing[0]!r}; was the file cut short, or made by an older version? Make it again"
        )
