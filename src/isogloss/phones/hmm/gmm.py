"""Diagonal-covariance Gaussian mixtures, one per pdf, packed in flat arrays; their likelihoods, EM sums, update and splitting.

    log p(x | pdf) = log Σ_g w_g N(x; μ_g, σ²_g)

Re-estimation and splitting follow Kaldi's recipes (`gmm-est`): a Gaussian with fewer than `min_count` frames is removed,
variances are floored, and the number of Gaussians of a pdf grows with a power of its frames.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from isogloss.phones.hmm import kernels
from isogloss.types import IsoglossError

VARIANCE_FLOOR = 1e-3  # Kaldi's min_variance
MIN_GAUSSIAN_COUNT = 10.0  # frames; with fewer a Gaussian is removed
MIN_WEIGHT = 1e-5
MIN_SPLIT_COUNT = 20.0  # frames per Gaussian that a split must leave
PERTURBATION = 0.01  # of a deviation, by which the halves of a split part
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class PackedGmm:
    """P mixtures of G Gaussians in all; pdf p has Gaussians offsets[p] … offsets[p + 1] − 1."""

    offsets: np.ndarray  # [P + 1] int32
    log_weights: np.ndarray  # [G] float32
    means: np.ndarray  # [G, D] float32
    inv_vars: np.ndarray  # [G, D] float32

    def __post_init__(self) -> None:
        shapes = (self.log_weights.shape[0], self.means.shape[0], self.inv_vars.shape[0], int(self.offsets[-1]))
        if len(set(shapes)) != 1 or self.means.shape != self.inv_vars.shape:
            raise IsoglossError(
                f"a mixture with {shapes} weights, means, variances and offsets: these must be one number"
            )

    @property
    def num_pdfs(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_gaussians(self) -> int:
        return len(self.log_weights)

    @property
    def dim(self) -> int:
        return int(self.means.shape[1])

    @cached_property
    def constants(self) -> np.ndarray:
        """[G] float32: log w_g and everything of log N that does not depend on x."""
        norm = self.dim * LOG_2PI - np.log(self.inv_vars.astype(np.float64)).sum(1)
        exponent = np.einsum("gd,gd,gd->g", self.means, self.means, self.inv_vars, dtype=np.float64)
        return (self.log_weights - 0.5 * (norm + exponent)).astype(np.float32)

    @cached_property
    def linear(self) -> np.ndarray:
        """[G, D] float32: μ/σ²."""
        return np.ascontiguousarray(self.means * self.inv_vars)

    @cached_property
    def terms(self) -> np.ndarray:
        """[G, 2, D'] float32: what x and x² are multiplied with, D padded with zeros as `kernels` wants it."""
        terms = np.zeros((self.num_gaussians, 2, -(-self.dim // 4) * 4), dtype=np.float32)
        terms[:, 0, : self.dim], terms[:, 1, : self.dim] = self.linear, -0.5 * self.inv_vars
        return terms

    def loglik(self, frames: np.ndarray) -> np.ndarray:
        """frames [T, D] → float32 [T, P] natural-log likelihoods of every pdf."""
        frames = self.checked(frames)
        out = np.empty((len(frames), self.num_pdfs), dtype=np.float32)
        kernels.loglik(frames, self.offsets, self.constants, self.terms, out)
        return out

    def checked(self, frames: np.ndarray) -> np.ndarray:
        """Frames [T, D] as the compiled loops want them, or IsoglossError."""
        if frames.ndim != 2 or frames.shape[1] != self.dim:
            raise IsoglossError(
                f"frames of shape {frames.shape} for mixtures of {self.dim} dimensions; were they made by this model's features?"
            )
        return np.ascontiguousarray(frames, dtype=np.float32)

    def boosted(self, pdfs: np.ndarray, factor: float) -> PackedGmm:
        """With the weights of `pdfs` times `factor`, unnormalised: Kaldi's boost-silence."""
        weights = self.log_weights.copy()
        for pdf in pdfs.tolist():
            weights[self.offsets[pdf] : self.offsets[pdf + 1]] += np.float32(np.log(factor))
        return replace(self, log_weights=weights)

    def transformed_means(self, matrix: np.ndarray) -> PackedGmm:
        """With μ → M μ (variances kept): what follows a change of the feature space by `matrix` [D, D]."""
        return replace(self, means=(self.means @ matrix.T).astype(np.float32))


@dataclass(frozen=True, eq=False)
class GmmSums:
    """Sums of one EM pass: γ = posterior of a Gaussian within its frame's pdf."""

    counts: np.ndarray  # [G] Σ γ
    first: np.ndarray  # [G, D] Σ γ x
    second: np.ndarray  # [G, D] Σ γ x²
    loglik: float  # Σ log p(x | pdf)
    num_frames: float


def group_frames(pdf_ids: np.ndarray, num_pdfs: int) -> tuple[np.ndarray, np.ndarray]:
    """(order [T], starts [P + 1]): the frames of pdf p are order[starts[p] : starts[p + 1]], in time order."""
    order = np.argsort(pdf_ids, kind="stable")
    starts = np.searchsorted(pdf_ids[order], np.arange(num_pdfs + 1))
    return order, starts


def accumulate(gmm: PackedGmm, frames: np.ndarray, pdf_ids: np.ndarray, sums_of: np.ndarray | None = None) -> GmmSums:
    """One E step over frames [T, D], each aligned with its pdf [T]; a negative pdf leaves a frame out.

    `sums_of` [T, D]: other features of the same frames, to be summed with the posteriors of `frames`.
    """
    frames = gmm.checked(frames)
    summed = frames if sums_of is None else gmm.checked(sums_of)
    order, starts = group_frames(pdf_ids, gmm.num_pdfs)
    counts = np.zeros(gmm.num_gaussians)
    first, second = np.zeros((2, *gmm.means.shape))
    loglik = np.zeros(gmm.num_pdfs)
    kernels.em_sums(frames, summed, order, starts, gmm.offsets, gmm.constants, gmm.terms, counts, first, second, loglik)
    return GmmSums(counts, first, second, float(loglik.sum()), float(starts[-1] - starts[0]))


@dataclass(frozen=True, eq=False)
class PrecisionSums:
    """What the linear transforms need of an E step: per frame Σ_g γ/σ² and Σ_g γ μ/σ², per Gaussian Σ γ and Σ γ x."""

    precision: np.ndarray  # [T, D] a
    target: np.ndarray  # [T, D] b
    weights: np.ndarray  # [T] Σ γ: 1, or 0 for a frame left out
    gaussian_counts: np.ndarray  # [G]
    gaussian_first: np.ndarray  # [G, D]


def precision_sums(
    gmm: PackedGmm, frames: np.ndarray, pdf_ids: np.ndarray, posterior_gmm: PackedGmm | None = None,
    posterior_frames: np.ndarray | None = None,
) -> PrecisionSums:  # fmt: skip
    """γ from `gmm` itself, or from another model of the same Gaussians on other frames (Kaldi's two-model fMLLR)."""
    source = posterior_gmm or gmm
    frames = gmm.checked(frames)
    shown = frames if posterior_frames is None else gmm.checked(posterior_frames)
    order, starts = group_frames(pdf_ids, gmm.num_pdfs)
    a, b = np.zeros((2, *frames.shape), dtype=np.float32)
    counts, first = np.zeros(gmm.num_gaussians), np.zeros(gmm.means.shape)
    if source.num_gaussians != gmm.num_gaussians:
        raise IsoglossError("the model that gives posteriors must have the same Gaussians as the one adapted to")
    kernels.precision_sums(
        frames,
        shown,
        order,
        starts,
        gmm.offsets,
        source.constants,
        source.terms,
        gmm.linear,
        gmm.inv_vars,
        a,
        b,
        counts,
        first,
    )
    return PrecisionSums(a, b, (pdf_ids >= 0).astype(np.float32), counts, first)


def estimate(
    gmm: PackedGmm,
    sums: GmmSums,
    *,
    min_count: float = MIN_GAUSSIAN_COUNT,
    remove: bool = True,
    smoothing: float = 0.0,
) -> PackedGmm:
    """The M step. A Gaussian seen too little is removed (its frames go to the others next time), or kept as it is.

    `smoothing`: frames' worth of the pdf's mean variance within Gaussians that each variance is averaged with (0: maximum
    likelihood, Kaldi's way). A Gaussian of 20 frames knows 40 variances badly.
    """
    kept = np.zeros(gmm.num_gaussians, dtype=bool)
    weights = np.exp(gmm.log_weights.astype(np.float64))
    means, variances = gmm.means.astype(np.float64), 1.0 / gmm.inv_vars.astype(np.float64)
    totals = np.add.reduceat(sums.counts, gmm.offsets[:-1])
    pdf_of = np.repeat(np.arange(gmm.num_pdfs), np.diff(gmm.offsets))
    share = sums.counts / np.maximum(totals[pdf_of], 1e-10)
    enough = (sums.counts > min_count) & (share > MIN_WEIGHT)
    counts = sums.counts[enough, None]
    means[enough] = sums.first[enough] / counts
    scatter = sums.second[enough] - means[enough] ** 2 * counts
    if smoothing > 0:
        of = pdf_of[enough]
        within, of_pdf = np.zeros((gmm.num_pdfs, gmm.dim)), np.zeros(gmm.num_pdfs)
        np.add.at(within, of, scatter)
        np.add.at(of_pdf, of, counts[:, 0])
        shared = within[of] / of_pdf[of, None]
        variances[enough] = np.maximum((scatter + smoothing * shared) / (counts + smoothing), VARIANCE_FLOOR)
    else:
        variances[enough] = np.maximum(scatter / counts, VARIANCE_FLOOR)
    kept[:] = enough | (not remove)
    untouched = ~np.logical_or.reduceat(kept, gmm.offsets[:-1])  # no Gaussian left: the pdf stays as it was
    kept |= untouched[pdf_of]
    weights = np.where(untouched[pdf_of] | (totals[pdf_of] < 1e-3), weights, np.maximum(share, MIN_WEIGHT))[kept]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(pdf_of[kept], minlength=gmm.num_pdfs))]).astype(np.int32)
    weights /= np.add.reduceat(weights, offsets[:-1])[pdf_of[kept]]
    return PackedGmm(
        offsets,
        np.log(weights).astype(np.float32),
        means[kept].astype(np.float32),
        (1.0 / variances[kept]).astype(np.float32),
    )


def split(gmm: PackedGmm, pdf_counts: np.ndarray, target: int, *, power: float = 0.25, seed: int = 0) -> PackedGmm:
    """Grow to `target` Gaussians in all: the next one goes where frames^power per Gaussian is largest.

    Within a pdf the heaviest Gaussian is halved, and the halves parted by a hundredth of a deviation.
    """
    sizes = np.diff(gmm.offsets)
    queue = [
        (-(float(count) ** power) / size, pdf) for pdf, (count, size) in enumerate(zip(pdf_counts, sizes, strict=True))
    ]
    heapq.heapify(queue)
    wanted = sizes.copy()
    total = int(wanted.sum())
    while total < target and queue:
        _, pdf = heapq.heappop(queue)
        if (wanted[pdf] + 1) * MIN_SPLIT_COUNT >= pdf_counts[pdf]:
            continue  # it never comes back: its frames do not grow
        wanted[pdf] += 1
        total += 1
        heapq.heappush(queue, (-(float(pdf_counts[pdf]) ** power) / wanted[pdf], pdf))
    rng = np.random.default_rng(seed)
    weights, means, inv_vars = [], [], []
    for pdf, size in enumerate(wanted.tolist()):
        span = slice(gmm.offsets[pdf], gmm.offsets[pdf + 1])
        w = np.exp(gmm.log_weights[span].astype(np.float64)).tolist()
        m, iv = list(gmm.means[span]), list(gmm.inv_vars[span])
        while len(w) < size:
            heaviest = int(np.argmax(w))
            w[heaviest] /= 2
            step = (PERTURBATION * rng.standard_normal(gmm.dim) / np.sqrt(iv[heaviest])).astype(np.float32)
            w.append(w[heaviest])
            m.append(m[heaviest] + step)
            m[heaviest] = m[heaviest] - step
            iv.append(iv[heaviest])
        weights += w
        means += m
        inv_vars += iv
    offsets = np.concatenate([[0], np.cumsum(wanted)]).astype(np.int32)
    return PackedGmm(offsets, np.log(weights).astype(np.float32), np.stack(means), np.stack(inv_vars))
