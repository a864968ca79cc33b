import itertools
import math

import numpy as np
import pytest

from isogloss.phones.hmm.gmm import (
    MIN_SPLIT_COUNT,
    VARIANCE_FLOOR,
    GmmSums,
    PackedGmm,
    accumulate,
    estimate,
    group_frames,
    precision_sums,
    split,
)
from isogloss.phones.hmm.kernels import BLOCK
from isogloss.types import IsoglossError

SIZES = (3, 1, 7)  # Gaussians of the three pdfs


def random_gmm(rng, dim, sizes=SIZES, spread=1.5):
    weights = np.concatenate([rng.dirichlet(np.full(size, 5.0)) for size in sizes])
    total = sum(sizes)
    return PackedGmm(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        np.log(weights).astype(np.float32),
        (spread * rng.normal(size=(total, dim))).astype(np.float32),
        rng.uniform(0.5, 3.0, size=(total, dim)).astype(np.float32),
    )


def gaussian_logliks(gmm, x):
    """log w + log N(x) of every Gaussian, float64, by the textbook."""
    x = x.astype(np.float64)
    scores = []
    for weight, mean, inv_var in zip(gmm.log_weights, gmm.means, gmm.inv_vars, strict=True):
        variance = 1 / inv_var.astype(np.float64)
        density = -0.5 * np.log(2 * math.pi * variance) - 0.5 * (x - mean.astype(np.float64)) ** 2 / variance
        scores.append(float(weight) + density.sum())
    return np.array(scores)


def log_sum(scores):
    return scores.max() + math.log(np.exp(scores - scores.max()).sum())


def posteriors(gmm, x, pdf):
    """[G], zero outside the pdf."""
    result = np.zeros(gmm.num_gaussians)
    span = slice(gmm.offsets[pdf], gmm.offsets[pdf + 1])
    scores = gaussian_logliks(gmm, x)[span]
    result[span] = np.exp(scores - log_sum(scores))
    return result


@pytest.mark.parametrize("dim", [1, 3, 4, 13, 40])
def test_loglik_is_the_log_of_the_sum_over_gaussians(dim):
    rng = np.random.default_rng(dim)
    gmm = random_gmm(rng, dim)
    frames = rng.normal(size=(BLOCK + 9, dim)).astype(np.float32)
    expected = [
        [log_sum(gaussian_logliks(gmm, x)[begin:end]) for begin, end in itertools.pairwise(gmm.offsets)] for x in frames
    ]
    assert gmm.loglik(frames).dtype == np.float32
    np.testing.assert_allclose(gmm.loglik(frames), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(gmm.loglik(frames[5:7]), gmm.loglik(frames)[5:7])  # a frame's is its own
    assert gmm.loglik(frames[:0]).shape == (0, 3)


def test_far_gaussians_and_far_frames_neither_under_nor_overflow():
    """And no likelihood is made of a frame that is no number."""
    gmm = PackedGmm(
        np.array([0, 2], dtype=np.int32),
        np.log(np.array([0.5, 0.5], dtype=np.float32)),
        np.array([[0.0], [300.0]], dtype=np.float32),
        np.ones((2, 1), dtype=np.float32),
    )
    frames = np.array([[0.0], [300.0], [150.0], [-1000.0], [np.nan]], dtype=np.float32)
    expected = [log_sum(gaussian_logliks(gmm, x)) for x in frames[:4]]
    np.testing.assert_allclose(gmm.loglik(frames)[:4, 0], expected, rtol=1e-5, atol=4e-3)  # of 45,000
    assert not np.isfinite(gmm.loglik(frames)[4, 0])


def test_frames_of_another_dimension_are_refused():
    gmm = random_gmm(np.random.default_rng(0), 5)
    frames, pdf_ids = np.zeros((4, 6), dtype=np.float32), np.zeros(4, dtype=np.int32)
    for work in (gmm.loglik, lambda x: accumulate(gmm, x, pdf_ids), lambda x: precision_sums(gmm, x, pdf_ids)):
        with pytest.raises(IsoglossError, match=r"\(4, 6\) for mixtures of 5 dimensions"):
            work(frames)


def test_frames_are_grouped_by_pdf_in_order_of_time():
    order, starts = group_frames(np.array([2, -1, 0, 2, 0, -100]), 4)
    assert [order[a:b].tolist() for a, b in itertools.pairwise(starts)] == [[2, 4], [], [0, 3], []]


@pytest.mark.parametrize("dim", [3, 13])
@pytest.mark.parametrize("others", [False, True])
def test_accumulators_are_the_brute_force_sums(dim, others):
    rng = np.random.default_rng(dim)
    gmm = random_gmm(rng, dim)
    frames = rng.normal(size=(3 * BLOCK, dim)).astype(np.float32)
    summed = rng.normal(size=frames.shape).astype(np.float32) if others else frames
    pdf_ids = rng.choice([-100, -1, 0, 2], p=[0.1, 0.1, 0.3, 0.5], size=len(frames))  # pdf 1 has none
    counts, first, second, loglik = np.zeros(11), np.zeros((11, dim)), np.zeros((11, dim)), 0.0
    for x, y, pdf in zip(frames, summed.astype(np.float64), pdf_ids, strict=True):
        if pdf >= 0:
            gamma = posteriors(gmm, x, pdf)
            counts, first, second = counts + gamma, first + np.outer(gamma, y), second + np.outer(gamma, y * y)
            loglik += log_sum(gaussian_logliks(gmm, x)[gmm.offsets[pdf] : gmm.offsets[pdf + 1]])
    sums = accumulate(gmm, frames, pdf_ids, sums_of=summed if others else None)
    np.testing.assert_allclose(sums.counts, counts, atol=2e-3)
    np.testing.assert_allclose(sums.first, first, atol=5e-3)
    np.testing.assert_allclose(sums.second, second, atol=5e-3)
    assert math.isclose(sums.loglik, loglik, rel_tol=1e-5)
    assert sums.num_frames == (pdf_ids >= 0).sum()
    assert math.isclose(sums.counts.sum(), sums.num_frames, rel_tol=1e-5)


@pytest.mark.parametrize("two_models", [False, True])
def test_precision_sums_are_the_brute_force_sums(two_models):
    rng = np.random.default_rng(0)
    dim = 6
    gmm, other = random_gmm(rng, dim), random_gmm(rng, dim)
    frames, shown = rng.normal(size=(2, 2 * BLOCK, dim)).astype(np.float32)
    pdf_ids = rng.choice([-100, 0, 1, 2], size=len(frames))
    source, seen = (other, shown) if two_models else (gmm, frames)
    gammas = np.array(
        [posteriors(source, x, pdf) if pdf >= 0 else np.zeros(11) for x, pdf in zip(seen, pdf_ids, strict=True)]
    )
    sums = precision_sums(gmm, frames, pdf_ids, *((other, shown) if two_models else ()))
    np.testing.assert_allclose(sums.precision, gammas @ gmm.inv_vars, atol=1e-3)
    np.testing.assert_allclose(sums.target, gammas @ (gmm.inv_vars * gmm.means), atol=1e-3)
    np.testing.assert_array_equal(sums.weights, pdf_ids >= 0)
    np.testing.assert_allclose(sums.gaussian_counts, gammas.sum(0), atol=2e-3)
    np.testing.assert_allclose(sums.gaussian_first, gammas.T @ frames, atol=5e-3)


def test_posteriors_come_from_a_model_of_the_same_gaussians():
    rng = np.random.default_rng(0)
    with pytest.raises(IsoglossError, match="same Gaussians"):
        precision_sums(
            random_gmm(rng, 2),
            np.zeros((1, 2), dtype=np.float32),
            np.zeros(1, dtype=int),
            random_gmm(rng, 2, (3, 2, 7)),
        )


@pytest.mark.parametrize("seed", range(8))
def test_em_on_a_fixed_alignment_never_lowers_the_likelihood(seed):
    rng = np.random.default_rng(seed)
    truth, gmm = random_gmm(rng, 5), random_gmm(rng, 5, spread=0.5)
    pdf_ids = rng.integers(0, 3, size=600)
    drawn = np.array([rng.integers(truth.offsets[pdf], truth.offsets[pdf + 1]) for pdf in pdf_ids])
    noise = rng.normal(size=(600, 5)) / np.sqrt(truth.inv_vars[drawn])
    frames = (truth.means[drawn] + noise).astype(np.float32)
    logliks = []
    for _ in range(12):
        sums = accumulate(gmm, frames, pdf_ids)
        logliks.append(sums.loglik)
        gmm = estimate(gmm, sums, min_count=0.5, remove=False)
    assert (np.diff(logliks) > -1e-3).all()  # of some −5,000: rounding of float32
    assert logliks[-1] > logliks[0] + 50
    weights = np.exp(gmm.log_weights.astype(float))
    np.testing.assert_allclose(np.add.reduceat(weights, gmm.offsets[:-1]), 1, rtol=1e-6)


def known_sums(counts, means, variances):
    counts, means = np.array(counts, dtype=float), np.array(means, dtype=float)
    second = counts[:, None] * (np.array(variances, dtype=float) + means**2)
    return GmmSums(counts, counts[:, None] * means, second, 0.0, counts.sum())


def test_the_m_step_is_the_weighted_mean_and_variance():
    gmm = random_gmm(np.random.default_rng(0), 2, (2, 1))
    made = estimate(gmm, known_sums([30, 90, 50], [[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 4], [VARIANCE_FLOOR / 9, 1]]))
    np.testing.assert_allclose(np.exp(made.log_weights), [0.25, 0.75, 1], rtol=1e-6)
    np.testing.assert_allclose(made.means, [[1, 2], [3, 4], [5, 6]], rtol=1e-6)
    np.testing.assert_allclose(1 / made.inv_vars, [[1, 2], [3, 4], [VARIANCE_FLOOR, 1]], rtol=1e-5)


def test_starved_gaussians_are_removed_and_starved_pdfs_are_not():
    gmm = random_gmm(np.random.default_rng(0), 2, (3, 2, 1))
    sums = known_sums([40, 9, 20, 3, 4, 0], np.ones((6, 2)), np.ones((6, 2)))
    made = estimate(gmm, sums)
    assert made.offsets.tolist() == [0, 2, 4, 5]
    np.testing.assert_allclose(np.exp(made.log_weights[:2]), [40 / 60, 20 / 60], rtol=1e-6)
    np.testing.assert_array_equal(made.means[2:], gmm.means[3:])  # nothing is known of these: they stay
    np.testing.assert_allclose(made.log_weights[2:], gmm.log_weights[3:], atol=1e-6)
    kept = estimate(gmm, sums, remove=False)
    assert kept.offsets.tolist() == gmm.offsets.tolist()
    np.testing.assert_array_equal(kept.means[1], gmm.means[1])
    np.testing.assert_allclose(np.exp(kept.log_weights[:3]), np.array([40, 9, 20]) / 69, rtol=1e-6)
    np.testing.assert_allclose(kept.means[0], 1)


def test_smoothing_draws_variances_to_those_within_the_pdf():
    gmm = random_gmm(np.random.default_rng(0), 1, (2, 1))
    made = estimate(gmm, known_sums([20, 60, 30], [[0], [5], [1]], [[1], [3], [2]]), smoothing=10.0)
    within = (20 * 1 + 60 * 3) / 80
    expected = [(20 * 1 + 10 * within) / 30, (60 * 3 + 10 * within) / 70, (30 * 2 + 10 * 2) / 40]
    np.testing.assert_allclose(1 / made.inv_vars[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(made.means[:, 0], [0, 5, 1], atol=1e-6)


def test_splits_go_where_there_are_most_frames_for_a_gaussian():
    gmm = random_gmm(np.random.default_rng(0), 3, (2, 1, 1, 3))
    counts, power = np.array([900, 5000, 30, 170]), 0.4
    made = split(gmm, counts, 40, power=power)
    sizes = np.array([2, 1, 1, 3])
    while sizes.sum() < 40:  # the same rule without a queue
        ratio = counts**power / sizes
        ratio[(sizes + 1) * MIN_SPLIT_COUNT >= counts] = -1
        sizes[ratio.argmax()] += 1
    assert np.diff(made.offsets).tolist() == sizes.tolist()
    assert made.num_gaussians == 40
    weights = np.exp(made.log_weights.astype(float))
    np.testing.assert_allclose(np.add.reduceat(weights, made.offsets[:-1]), 1, rtol=1e-5)
    for pdf in range(4):  # a split moves neither the mean of a mixture nor its variances
        old, new = (slice(of.offsets[pdf], of.offsets[pdf + 1]) for of in (gmm, made))
        np.testing.assert_allclose(
            weights[new] @ made.means[new], np.exp(gmm.log_weights[old]) @ gmm.means[old], atol=1e-5
        )
        assert {row.tobytes() for row in made.inv_vars[new]} == {row.tobytes() for row in gmm.inv_vars[old]}


def test_splits_leave_twenty_frames_to_a_gaussian_and_never_shrink():
    gmm = random_gmm(np.random.default_rng(0), 3, (2, 1, 3))
    counts = np.array([100, 150, 10])
    made = split(gmm, counts, 1000)
    assert np.diff(made.offsets).tolist() == [4, 7, 3]
    assert split(gmm, counts, 3).num_gaussians == 6
    again = split(gmm, counts, 1000)
    np.testing.assert_array_equal(made.means, again.means)
    assert not np.array_equal(made.means, split(gmm, counts, 1000, seed=1).means)


def test_boosted_weights_and_moved_means():
    gmm = random_gmm(np.random.default_rng(0), 3)
    frames = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    boosted = gmm.boosted(np.array([2]), 1.25).loglik(frames) - gmm.loglik(frames)
    np.testing.assert_allclose(boosted, np.log(1.25) * np.array([[0, 0, 1]] * 5), atol=1e-4)
    matrix = np.random.default_rng(2).normal(size=(3, 3))
    np.testing.assert_allclose(gmm.transformed_means(matrix).means, gmm.means @ matrix.T, atol=1e-5)


def test_arrays_that_do_not_fit_together_are_refused():
    gmm = random_gmm(np.random.default_rng(0), 3)
    with pytest.raises(IsoglossError, match="must be one number"):
        PackedGmm(gmm.offsets, gmm.log_weights[:-1], gmm.means, gmm.inv_vars)
