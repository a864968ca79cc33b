"""Which score tells unknown languages from enrolled ones: every detector over the networks of finished recipe runs.

python bench/open_set.py PREPARED RUN [RUN …]      PREPARED: OUT/data; RUN: OUT/seed1024 …

Known are the clips of `full`, unknown those of `out_of_set`. What a detector has to learn or choose, it learns on the
validation clips (of recordings the network has not seen) and two of the unknown languages, and is judged on the others;
every such pair in turn. The intervals are 95 %, over recordings, of the mean over the networks.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import spearmanr

from isogloss.backends import Head, unit_length
from isogloss.backends.calibration import Calibration
from isogloss.backends.fusion import Fusion
from isogloss.backends.linear_logistic import UnseenLanguage
from isogloss.backends.logistic import log_softmax
from isogloss.backends.open_set import certainty, choose_threshold
from isogloss.metrics.open_set import auroc, fpr_at_recall, oscr
from isogloss.stages.backend import EMBEDDING_OF, read_backend
from isogloss.stages.extract import Embeddings
from isogloss.stages.prepare import read_cuts

PARTS = ("enrol", "valid", "full", "out_of_set", "short", "channel")
NUM_RESAMPLES = 1000
Scores = dict[str, np.ndarray]  # part → [U], higher: more likely an enrolled language


@dataclass
class Network:
    """One trained network, its embeddings of every part and its back ends' scores of them."""

    parts: dict[str, Embeddings]
    loglik: dict[str, dict[str, np.ndarray]]  # back end → part → [U, C], as they are and calibrated on valid
    head: Head
    languages: list[str]

    def truth(self, part: str) -> np.ndarray:
        return np.array([self.languages.index(language) for language in self.parts[part].languages])


def load(fold: Path) -> Network:
    parts = {name: Embeddings.load(fold / "embeddings" / f"{name}.npz") for name in PARTS}
    fitted = {path.stem: read_backend(path) for path in sorted((fold / "backend").glob("*.npz"))}
    head = fitted["head"]
    assert isinstance(head, Head)
    network = Network(parts, {}, head, head.languages)
    shares = np.bincount(network.truth("enrol"))
    for name, backend in fitted.items():
        raw = {part: backend.loglik(getattr(of, EMBEDDING_OF[name]).astype(np.float64)) for part, of in parts.items()}
        calibration, out_of_fold = Calibration.cross_fit(
            raw["valid"],
            network.truth("valid"),
            parts["valid"].voiced_frames,
            languages=network.languages,
            groups=parts["valid"].recordings,
            form="duration",
            score_prior=None if name == "head" else shares,
        )
        calibrated = {part: calibration.apply(scores, parts[part].voiced_frames) for part, scores in raw.items()}
        network.loglik[name] = raw
        network.loglik[f"{name}, calibrated"] = calibrated | {"valid": out_of_fold}
    return network


def margin(x: np.ndarray) -> np.ndarray:
    two = np.sort(x, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def gen(power: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: -((np.exp(x) * -np.expm1(np.minimum(x, -1e-12))) ** power).sum(axis=1)


OF_LOGLIK: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "max posterior": {"": lambda x: x.max(axis=1)},  # the highest detection log-likelihood ratio orders alike
    "max − mean log-likelihood": {"": lambda x: x.max(axis=1) - x.mean(axis=1)},
    "best − second": {"": margin},
    "certainty (log C − entropy)": {"": certainty},
    "− generalised entropy (GEN)": {f"power {p}": gen(p) for p in (0.1, 0.5)},
    "divergence of flat (− mean log posterior)": {"": lambda x: -x.mean(axis=1)},
}
"""Detector → setting → function of log-posteriors [U, C]."""


def score_detectors(network: Network) -> dict[str, dict[str, Scores]]:
    """Name → setting → scores, of the detectors that see the back end's scores alone."""
    made: dict[str, dict[str, Scores]] = {}
    for backend, parts in network.loglik.items():
        posterior = {part: log_softmax(scores) for part, scores in parts.items()}
        for name, settings in OF_LOGLIK.items():
            made[f"{name} · {backend}"] = {s: {p: f(x) for p, x in posterior.items()} for s, f in settings.items()}
    head = network.head
    logits = {}
    for part, of in network.parts.items():
        x = of.near.astype(np.float64)
        dot = unit_length(x) @ unit_length(head.weight).T if head.cosine else x @ head.weight.T
        logits[part] = head.scale * dot + head.bias
    made["energy of the logits · head"] = {"": {p: logsumexp(x, axis=1) for p, x in logits.items()}}
    made["max logit · head"] = {"": {p: x.max(axis=1) for p, x in logits.items()}}
    return made


def embedding_detectors(network: Network, kind: str) -> dict[str, dict[str, Scores]]:
    """The same of those that see embeddings, the enrolment ones among them."""
    plain = {part: getattr(of, kind).astype(np.float64) for part, of in network.parts.items()}
    x = {part: unit_length(rows) for part, rows in plain.items()}
    truth = network.truth("enrol")
    means = np.stack([x["enrol"][truth == c].mean(axis=0) for c in range(len(network.languages))])
    mean = x["enrol"].mean(axis=0)
    within, total = np.cov((x["enrol"] - means[truth]).T), np.cov(x["enrol"].T)

    def distance(rows: np.ndarray, centre: np.ndarray, covariance: np.ndarray, shrink: float) -> np.ndarray:
        scale = np.trace(covariance) / len(covariance)
        inverse = np.linalg.inv((1 - shrink) * covariance + shrink * scale * np.eye(len(covariance)))
        return np.einsum("ud,de,ue->u", rows - centre, inverse, rows - centre)

    near: dict[str, dict[str, Scores]] = {"− Mahalanobis": {}, "background − class Mahalanobis": {}, "− k-nearest": {}}
    for shrink in (0.01, 0.1, 0.5):
        to_class = {p: np.min([distance(rows, m, within, shrink) for m in means], axis=0) for p, rows in x.items()}
        near["− Mahalanobis"][f"shrink {shrink}"] = {p: -d for p, d in to_class.items()}
        near["background − class Mahalanobis"][f"shrink {shrink}"] = {
            p: distance(rows, mean, total, shrink) - to_class[p] for p, rows in x.items()
        }
    squared = {p: np.sort(2 - 2 * rows @ x["enrol"].T, axis=1) for p, rows in x.items()}
    for k in (1, 5, 20, 50):
        near["− k-nearest"][f"k {k}"] = {p: -rows[:, k - 1] for p, rows in squared.items()}
    near["length of the embedding"] = {"": {p: np.linalg.norm(rows, axis=1) for p, rows in plain.items()}}
    return {f"{name} · {kind}": settings for name, settings in near.items()}


def trained(network: Network, dev: np.ndarray) -> dict[str, dict[str, Scores]]:
    """Logistic regression of known (validation) against unknown (the rows of out_of_set marked in `dev`)."""
    inputs = {f"scores of {name}": parts for name, parts in network.loglik.items() if "calibrated" in name}
    for kind in ("far", "near"):
        inputs[kind] = {p: unit_length(getattr(of, kind).astype(np.float64)) for p, of in network.parts.items()}
    made: dict[str, dict[str, Scores]] = {}
    for name, parts in inputs.items():
        for decay in (0.01, 0.1, 1.0):
            score = logistic(parts["valid"], parts["out_of_set"][dev], decay)
            made.setdefault(f"trained unknown class · {name}", {})[f"decay {decay}"] = {
                p: score(rows) for p, rows in parts.items()
            }
    return made


def logistic(known: np.ndarray, unknown: np.ndarray, decay: float) -> Callable[[np.ndarray], np.ndarray]:
    """The log odds of known against unknown rows [., E], both kinds weighing the same."""
    x = np.concatenate([known, unknown])
    sign = np.repeat([1.0, -1.0], [len(known), len(unknown)])
    weight = np.repeat([0.5 / len(known), 0.5 / len(unknown)], [len(known), len(unknown)])
    mean, size = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = np.c_[(x - mean) / size, np.ones(len(x))]

    def cost(v: np.ndarray) -> tuple[float, np.ndarray]:
        agreement = sign * (z @ v)
        decayed = decay * np.append(v[:-1], 0)
        gradient = decayed - (weight * sign / (1 + np.exp(agreement))) @ z
        return float(weight @ np.logaddexp(0, -agreement) + 0.5 * decayed @ v), gradient

    v = minimize(cost, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x
    return lambda rows: np.c_[(rows - mean) / size, np.ones(len(rows))] @ v


def fused(networks: list[Network]) -> tuple[float, dict[str, tuple[float, float, float]]]:
    """(share right, detector → AUROC, FPR95, OSCR) of the fusion of these networks, all back ends, fitted on valid."""
    one = networks[0]
    raw = [parts for network in networks for name, parts in network.loglik.items() if "calibrated" not in name]
    fusion = Fusion.fit([parts["valid"] for parts in raw], one.truth("valid"), languages=one.languages)
    known, unknown = (fusion.apply([parts[part] for parts in raw]) for part in ("full", "out_of_set"))
    correct = known.argmax(axis=1) == one.truth("full")
    figures = {}
    for name, settings in OF_LOGLIK.items():
        k, u = (next(iter(settings.values()))(x) for x in (known, unknown))
        figures[name] = (auroc(k, u), fpr_at_recall(k, u), oscr(k, correct, u))
    return float(correct.mean()), figures


def main(prepared: Path, runs: list[Path]) -> None:
    about = {cut.id: cut.supervisions[0].language for cut in read_cuts(prepared)}
    folds = sorted(path.parents[1] for run in runs for path in run.rglob("embeddings/out_of_set.npz"))
    figures: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    wins: dict[str, list[np.ndarray]] = defaultdict(list)  # per network [K, U]: known above unknown
    points: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    networks: list[Network] = []
    for fold in folds:
        network = load(fold)
        networks.append(network)
        parts = network.parts
        language = np.array([about[u] for u in parts["out_of_set"].utterances])
        pairs = [np.isin(language, two) for two in combinations(sorted(set(language)), 2)]
        fixed = score_detectors(network) | embedding_detectors(network, "far") | embedding_detectors(network, "near")
        shape = (len(parts["full"].utterances), len(language))
        won: dict[str, np.ndarray] = {}
        for dev in pairs:
            every = fixed | trained(network, dev)
            for name, settings in every.items():
                chosen = max(settings.values(), key=lambda s: auroc(s["valid"], s["out_of_set"][dev]))
                known, unknown = chosen["full"], chosen["out_of_set"][~dev]
                backend = next((b for b in network.loglik if name.endswith(f" {b}")), "olr2020")
                correct = network.loglik[backend]["full"].argmax(axis=1) == network.truth("full")
                figures[name].append(
                    (
                        auroc(known, unknown),
                        fpr_at_recall(known, unknown),
                        oscr(known, correct, unknown),
                        spearmanr(known, parts["full"].voiced_frames).statistic,
                        auroc(known, chosen["channel"]),
                        auroc(known, chosen["short"]),
                    )
                )
                difference = known[:, None] - unknown[None]
                won.setdefault(name, np.zeros(shape))[:, ~dev] += (difference > 0) + 0.5 * (difference == 0)
        for name, matrix in won.items():
            wins[name].append(matrix / np.sum([~dev for dev in pairs], axis=0))
        for backend in ("head", "olr2020"):
            x = {part: certainty(scores) for part, scores in network.loglik[f"{backend}, calibrated"].items()}
            for at_most in (0.05, 0.1, 0.2):
                point = choose_threshold(x["valid"], rate="reject", at_most=at_most)
                got = rates(x, point.threshold, slice(None))
                points[f"reject at most {at_most:.0%} of known · {backend}"].append(got)
                for dev in pairs:
                    point = choose_threshold(x["valid"], x["out_of_set"][dev], rate="accept", at_most=at_most)
                    got = rates(x, point.threshold, ~dev)
                    points[f"accept at most {at_most:.0%} of unknown · {backend}"].append(got)
    draws = resamples(parts["full"].recordings), resamples(parts["out_of_set"].recordings)
    mark = bootstrap(np.mean(wins["max posterior · head"], axis=0), *draws)
    print(f"{len(folds)} networks, {len(parts['full'].utterances)} known and {len(language)} unknown clips\n")
    print("| detector | AUROC | against the first | FPR95 | OSCR | ρ frames | telephone | 1 s |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, rows in figures.items():
        value = np.mean(rows, axis=0)
        low, high = np.quantile(bootstrap(np.mean(wins[name], axis=0), *draws) - mark, [0.025, 0.975])
        print(f"| {name} | {value[0]:.3f} | {low:+.3f} … {high:+.3f} |" + "".join(f" {v:.3f} |" for v in value[1:]))
    print("\n| threshold of certainty | known rejected | of 1 s | unknown accepted |\n|---|--:|--:|--:|")
    for name, pairs_of_rates in points.items():
        print(f"| {name} | " + " | ".join(f"{rate:.1%}" for rate in np.mean(pairs_of_rates, axis=0)) + " |")
    by_run: dict[str, list[Network]] = defaultdict(list)
    for fold, network in zip(folds, networks, strict=True):
        by_run[fold.parents[1].name].append(network)
    of_runs, (right, of_all) = [fused(some) for some in by_run.values()], fused(networks)
    print(
        f"\n| fused | {len(of_runs)} runs, {np.mean([r for r, _ in of_runs]):.1%} right: AUROC | FPR95 | OSCR ", end=""
    )
    print(f"| all {len(networks)}, {right:.1%} right: AUROC | FPR95 | OSCR |\n|---|--:|--:|--:|--:|--:|--:|")
    for name in OF_LOGLIK:
        value = (*np.mean([of[name] for _, of in of_runs], axis=0), *of_all[name])
        print(f"| {name} |" + "".join(f" {v:.3f} |" for v in value))


def rates(x: Scores, threshold: float, unknown: slice | np.ndarray) -> tuple[float, ...]:
    """Shares: known rejected, known of one second rejected, unknown accepted."""
    rejected = [float((x[part] < threshold).mean()) for part in ("full", "short")]
    return (*rejected, float((x["out_of_set"][unknown] >= threshold).mean()))


def resamples(recordings: list[str]) -> np.ndarray:
    """[R, U] how often each utterance is drawn when recordings are."""
    names, member = np.unique(recordings, return_inverse=True)
    drawn = np.random.default_rng(1024).multinomial(len(names), np.full(len(names), 1 / len(names)), NUM_RESAMPLES)
    return drawn[:, member].astype(np.float64)


def bootstrap(won: np.ndarray, known: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """[R] AUROC of a win matrix [K, U] under each resample."""
    total = np.einsum("rk,ku,ru->r", known, won, unknown, optimize=True)
    return total / (known.sum(axis=1) * unknown.sum(axis=1))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    warnings.simplefilter("ignore", UnseenLanguage)
    main(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]])
