"""Is it one of the enrolled languages at all? A score, and a threshold at a stated rate of error.

    score_u = D(posterior ‖ flat) = log C − H(p_u) = log C + Σ_c p_uc log p_uc        p: posterior under a flat prior

what the utterance tells of the language in nats: 0 nothing, log C everything. Chosen among the highest posterior,
energy, log-likelihood ratio against the mean, Gaussian backgrounds, nearest neighbours and a trained unknown class by
measurement (bench/open_set.py; docs/log.md, 2026-11-21): as good as any on single networks, where none is far from
chance, and ahead of the highest posterior on fused ones.

A threshold comes from utterances that were not trained on, at a rate that holds for further ones like them (order
statistics with n + 1: split conformal prediction; Vovk, Gammerman, Shafer, "Algorithmic learning in a random world", 2005):

* `reject`: at most this share of *enrolled*-language utterances is called unknown. Needs no unknown speech, so it is
  the honest choice without any; what share of unknown speech it then accepts is not known.
* `accept`: at most this share of *unknown*-language utterances is taken for an enrolled one. Needs utterances of unknown
  languages, and holds for languages like those: a language closer to an enrolled one is accepted more often.

Like utterances are of like length, too: short ones tell less of their language, and a threshold that was chosen on long
ones calls more of them unknown.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError


def certainty(loglik: np.ndarray) -> np.ndarray:
    """Calibrated log-likelihoods [U, C] → [U], nats from 0 to log C; higher: more likely an enrolled language."""
    log_posterior = log_softmax(np.asarray(loglik, dtype=np.float64))
    return np.log(loglik.shape[1]) + (np.exp(log_posterior) * log_posterior).sum(axis=1)


@dataclass(frozen=True)
class OpenSet:
    """Called unknown if `certainty` < threshold. The rest is what a reader of the threshold must know."""

    threshold: float
    rate: Literal["reject", "accept"]  # which of the two error rates was stated
    at_most: float  # its value
    num_known: int  # utterances of enrolled languages that were there
    num_unknown: int
    known_rejected: float | None  # share of them below the threshold; None without any
    unknown_accepted: float | None

    def is_unknown(self, loglik: np.ndarray) -> np.ndarray:
        """[U, C] calibrated log-likelihoods, as the threshold was chosen on → [U] bool."""
        return certainty(loglik) < self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `OpenSet(**values)` is the inverse."""
        return asdict(self)


def choose_threshold(
    known: np.ndarray, unknown: np.ndarray | None = None, *, rate: Literal["reject", "accept"], at_most: float
) -> OpenSet:
    """known [U], unknown [V]: scores (`certainty`) of utterances of enrolled and of unknown languages.

    IsoglossError for a rate outside (0, 1), scores that are not finite, and too few utterances for the rate: fewer than
    1/at_most − 1 can promise nothing (19 for 5 %).
    """
    enrolled = np.asarray(known, dtype=np.float64)
    strange = np.asarray([] if unknown is None else unknown, dtype=np.float64)
    if not (np.isfinite(enrolled).all() and np.isfinite(strange).all()):
        raise IsoglossError(
            "open-set scores that are not finite; an utterance without a voiced frame has none: leave it out"
        )
    if not 0 < at_most < 1 or rate not in ("reject", "accept"):
        raise IsoglossError(f"{rate} at most {at_most}; expected 'reject' or 'accept', and a share between 0 and 1")
    chosen_on = enrolled if rate == "reject" else strange
    allowed = int(at_most * (len(chosen_on) + 1) + 1e-9)  # errors among these that the rate allows
    if allowed < 1:
        which = "enrolled" if rate == "reject" else "unknown"
        raise IsoglossError(
            f"{len(chosen_on)} utterances of {which} languages cannot state a rate of {at_most:.3g}; it takes "
            f"{int(np.ceil(1 / at_most - 1 - 1e-9))}: give more, or a higher rate"
        )
    ordered = np.sort(chosen_on)
    # In both cases `allowed − 1` of these lie on the wrong side, ties included.
    threshold = ordered[allowed - 1] if rate == "reject" else np.nextafter(ordered[-allowed], np.inf)
    return OpenSet(
        threshold=float(threshold),
        rate=rate,
        at_most=at_most,
        num_known=len(enrolled),
        num_unknown=len(strange),
        known_rejected=float((enrolled < threshold).mean()) if len(enrolled) else None,
        unknown_accepted=float((strange >= threshold).mean()) if len(strange) else None,
    )
