import time

import numpy as np
import pytest

from isogloss.phones.hmm.fmllr import FmllrStats, apply, compose, maximise_rows, objective, weighted_moments
from isogloss.types import IsoglossError


def mixture(generator, num_gaussians, dim):
    """(log weights, means, inverse variances) of one mixture with unequal weights, in float64."""
    weights = generator.uniform(0.5, 1.5, num_gaussians)
    means = generator.normal(size=(num_gaussians, dim)) * 3
    inv_vars = generator.uniform(0.5, 4.0, (num_gaussians, dim))
    return np.log(weights / weights.sum()), means, inv_vars


def draw(generator, gmm, num_frames):
    log_weights, means, inv_vars = gmm
    which = generator.choice(len(means), num_frames, p=np.exp(log_weights))
    return means[which] + generator.normal(size=(num_frames, means.shape[1])) / np.sqrt(inv_vars[which])


def log_joint(gmm, frames):
    """[T, G] log w_g N(x_t; μ_g, σ²_g)."""
    log_weights, means, inv_vars = gmm
    distance = (((frames[:, None] - means) ** 2) * inv_vars).sum(2)
    return log_weights + 0.5 * np.log(inv_vars).sum(1) - 0.5 * means.shape[1] * np.log(2 * np.pi) - 0.5 * distance


def posteriors(gmm, frames):
    joint = log_joint(gmm, frames)
    joint -= joint.max(axis=1, keepdims=True)
    gamma = np.exp(joint)
    return gamma / gamma.sum(axis=1, keepdims=True)


def stats_of(gmm, frames, gamma, block=700):
    stats = FmllrStats(frames.shape[1])
    _, means, inv_vars = gmm
    for first in range(0, len(frames), block):
        span = slice(first, first + block)
        stats.accumulate(frames[span], gamma[span] @ inv_vars, gamma[span] @ (inv_vars * means), gamma[span].sum(1))
    return stats


def auxiliary(gmm, frames, gamma, transform):
    """Per frame, straight from the definition: log |det A| + Σ γ log N(A x + b)."""
    moved = frames @ transform[:, :-1].T + transform[:, -1]
    return np.linalg.slogdet(transform[:, :-1])[1] + (gamma * log_joint(gmm, moved)).sum() / gamma.sum()


@pytest.fixture
def generator():
    return np.random.default_rng(4)


def test_statistics_equal_a_loop_over_frames_gaussians_and_dimensions(generator):
    dim, num_frames = 3, 40
    gmm = mixture(generator, 4, dim)
    frames = generator.normal(size=(num_frames, dim)) * 2
    gamma = posteriors(gmm, frames) * generator.uniform(0, 1, (num_frames, 1))  # frames weigh less than 1
    stats = stats_of(gmm, frames, gamma, block=7)
    _, means, inv_vars = gmm
    k, g, beta = np.zeros((dim, dim + 1)), np.zeros((dim, dim + 1, dim + 1)), 0.0
    for t in range(num_frames):
        extended = np.append(frames[t], 1.0)
        for c in range(len(means)):
            beta += gamma[t, c]
            for d in range(dim):
                k[d] += gamma[t, c] * inv_vars[c, d] * means[c, d] * extended
                g[d] += gamma[t, c] * inv_vars[c, d] * np.outer(extended, extended)
    np.testing.assert_allclose(stats.k, k, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(stats.g, g, rtol=1e-12, atol=1e-12)
    assert stats.beta == pytest.approx(beta, rel=1e-12)
    assert (stats.g == stats.g.transpose(0, 2, 1)).all()


def test_objective_rises_with_every_sweep_and_the_improvement_is_that_of_the_likelihood(generator):
    dim = 6
    gmm = mixture(generator, 5, dim)
    true = draw(generator, gmm, 3000)
    mixing = np.eye(dim) + 0.4 * generator.normal(size=(dim, dim))
    frames = true @ mixing.T + generator.normal(size=dim)
    gamma = posteriors(gmm, true)
    stats = stats_of(gmm, frames, gamma)
    before = auxiliary(gmm, frames, gamma, np.eye(dim, dim + 1))
    reached = [before]
    for num_iters in range(1, 12):
        estimate = stats.estimate(num_iters=num_iters)
        reached.append(auxiliary(gmm, frames, gamma, estimate.transform))
        assert estimate.improvement == pytest.approx(reached[-1] - before, abs=1e-9)
    assert (np.diff(reached) >= -1e-10).all()
    assert reached[-1] > reached[1] > reached[0] + 0.1


def test_at_the_optimum_no_small_change_of_the_transform_is_better(generator):
    gmm = mixture(generator, 5, 4)
    frames = draw(generator, gmm, 2000) * [1.0, 0.5, 2.0, -1.0] + 0.3 * generator.normal(size=(2000, 4))
    stats = stats_of(gmm, frames, posteriors(gmm, frames))
    best = stats.estimate(num_iters=200).transform
    k, g = stats.k / stats.beta, stats.g / stats.beta
    value = objective(best, k, g)
    for _ in range(100):
        assert objective(best + 1e-3 * generator.normal(size=best.shape), k, g) < value


def test_recovers_the_distortion_of_a_speaker(generator):
    """From the posteriors of the undistorted frames; then, a smaller distortion, from those of the distorted ones."""
    dim, num_frames = 8, 20000
    gmm = mixture(generator, 12, dim)
    true = draw(generator, gmm, num_frames)
    restoring = np.concatenate(
        [np.eye(dim) + 0.15 * generator.normal(size=(dim, dim)), generator.normal(size=(dim, 1))], 1
    )
    frames = (true - restoring[:, -1]) @ np.linalg.inv(restoring[:, :-1]).T
    estimate = stats_of(gmm, frames, posteriors(gmm, true)).estimate()
    assert estimate.problem == "" and estimate.improvement > 0.1
    np.testing.assert_allclose(estimate.transform, restoring, atol=0.03)

    restoring = np.eye(dim, dim + 1) + 0.3 * (restoring - np.eye(dim, dim + 1))
    frames = (true - restoring[:, -1]) @ np.linalg.inv(restoring[:, :-1]).T
    total, seen = np.eye(dim, dim + 1), frames
    likelihood = []
    for _ in range(8):  # as in decoding: posteriors of the frames as they are so far, and compose
        gamma = posteriors(gmm, seen)
        total = compose(total, stats_of(gmm, seen, gamma).estimate().transform)
        seen = apply(frames, total).astype(np.float64)
        log_likelihood = np.logaddexp.reduce(log_joint(gmm, seen), axis=1).mean()
        likelihood.append(log_likelihood + np.linalg.slogdet(total[:, :-1])[1])
    assert (np.diff(likelihood) > -1e-6).all()
    np.testing.assert_allclose(total, restoring, atol=0.05)


def test_frames_of_the_model_itself_give_about_the_identity(generator):
    gmm = mixture(generator, 6, 5)
    frames = draw(generator, gmm, 20000)
    estimate = stats_of(gmm, frames, posteriors(gmm, frames)).estimate()
    np.testing.assert_allclose(estimate.transform, np.eye(5, 6), atol=0.03)
    assert 0 <= estimate.improvement < 0.005


def test_too_few_frames_give_the_identity_and_say_so(generator):
    gmm = mixture(generator, 3, 2)
    frames = draw(generator, gmm, 500) + 5
    estimate = stats_of(gmm, frames, posteriors(gmm, frames)).estimate()
    assert (estimate.transform == np.eye(2, 3)).all()
    assert estimate.improvement == 0.0 and "500 frames" in estimate.problem
    assert estimate.count == pytest.approx(500)
    assert not stats_of(gmm, frames, posteriors(gmm, frames)).estimate(min_count=499).problem
    assert "0 frames" in FmllrStats(2).estimate().problem


@pytest.mark.parametrize("case", ["constant", "zero", "twice", "silence"])
def test_frames_that_do_not_vary_give_the_identity_and_say_so(generator, case):
    gmm = mixture(generator, 4, 5)
    frames = draw(generator, gmm, 2000)
    if case == "constant":
        frames[:, 2] = 7.3
    elif case == "zero":
        frames[:, 2] = 0.0
    elif case == "twice":
        frames[:, 2] = frames[:, 4]
    else:
        frames[:] = frames[0]
    estimate = stats_of(gmm, frames, posteriors(gmm, frames)).estimate()
    assert (estimate.transform == np.eye(5, 6)).all()
    assert estimate.improvement == 0.0 and "frames" in estimate.problem


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.0), (1e-4, 10.0), (1e4, -1e4), (1e-6, 0.0)])
def test_a_dimension_of_another_scale_is_brought_back(generator, scale, offset):
    dim = 5
    gmm = mixture(generator, 6, dim)
    true = draw(generator, gmm, 5000)
    frames = true.copy()
    frames[:, 2] = frames[:, 2] * scale + offset
    gamma = posteriors(gmm, true)
    estimate = stats_of(gmm, frames, gamma).estimate()
    assert estimate.problem == ""
    restored = frames @ estimate.transform[:, :-1].T + estimate.transform[:, -1]
    unscaled = stats_of(gmm, true, gamma).estimate()  # maximum likelihood does not depend on the frames' units
    np.testing.assert_allclose(restored, true @ unscaled.transform[:, :-1].T + unscaled.transform[:, -1], atol=0.01)
    expected = unscaled.improvement
    expected += auxiliary(gmm, true, gamma, np.eye(dim, dim + 1)) - auxiliary(gmm, frames, gamma, np.eye(dim, dim + 1))
    assert estimate.improvement == pytest.approx(expected - np.log(scale), rel=1e-3, abs=1e-3)


def test_rows_updated_within_a_sweep_keep_the_inverse_exact(generator):
    """One sweep against one that inverts A afresh for every row, and finds the better root by trying both."""
    dim = 5
    gmm = mixture(generator, 5, dim)
    frames = draw(generator, gmm, 1000) @ generator.normal(size=(dim, dim))
    stats = stats_of(gmm, frames, posteriors(gmm, frames))
    k, g = stats.k / stats.beta, stats.g / stats.beta
    expected = np.eye(dim, dim + 1)
    for d in range(dim):
        cofactors = np.append(np.linalg.inv(expected[:, :dim])[:, d], 0.0)
        inverse = np.linalg.inv(g[d])
        e1, e2 = cofactors @ inverse @ cofactors, cofactors @ inverse @ k[d]
        candidates = []
        for sign in (1, -1):
            alpha = (-e2 + sign * np.sqrt(e2**2 + 4 * e1)) / (2 * e1)
            moved = expected.copy()
            moved[d] = inverse @ (alpha * cofactors + k[d])
            candidates.append(moved)
        expected = max(candidates, key=lambda w: objective(w, k, g))
    np.testing.assert_allclose(maximise_rows(k, g, 1, 0.0)[0], expected, rtol=1e-8, atol=1e-10)


def test_apply_and_compose(generator):
    first, second = generator.normal(size=(2, 4, 5))
    frames = generator.normal(size=(30, 4)).astype(np.float32)
    by_hand = np.array([[sum(first[d, e] * x[e] for e in range(4)) + first[d, 4] for d in range(4)] for x in frames])
    moved = apply(frames, first)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, by_hand, atol=1e-5)
    np.testing.assert_allclose(apply(moved, second), apply(frames, compose(first, second)), atol=1e-4)
    np.testing.assert_array_equal(apply(frames, np.eye(4, 5)), frames)


def test_weighted_moments_over_several_blocks(generator):
    x, weights = generator.normal(size=(1500, 3)).astype(np.float32), generator.random((1500, 2)).astype(np.float32)
    expected = np.einsum("td,ti,tj->dij", weights.astype(np.float64), x.astype(np.float64), x.astype(np.float64))
    np.testing.assert_allclose(weighted_moments(x, weights), expected, rtol=1e-12)
    assert weighted_moments(x[:0], weights[:0]).shape == (2, 3, 3)


def test_thirty_thousand_frames_take_less_than_a_second(generator):
    frames, a, b = generator.random((3, 30000, 40)).astype(np.float32)
    stats = FmllrStats(40)
    begin = time.process_time()  # of all threads; 0.09 s measured on one
    stats.accumulate(frames, a, b, np.ones(30000, dtype=np.float32))
    assert time.process_time() - begin < 1.0


def test_bad_input_is_named():
    stats = FmllrStats(2)
    good = np.ones((3, 2))
    with pytest.raises(IsoglossError, match="expected both to be"):
        stats.accumulate(np.ones((3, 4)), good, good, np.ones(3))
    with pytest.raises(IsoglossError, match=r"counts \(2,\)"):
        stats.accumulate(good, good, good, np.ones(2))
    with pytest.raises(IsoglossError, match="frames hold NaN"):
        stats.accumulate(good * np.nan, good, good, np.ones(3))
    with pytest.raises(IsoglossError, match="mean sums b hold NaN"):
        stats.accumulate(good, good, good * np.inf, np.ones(3))
    assert stats.beta == 0.0 and not stats.k.any()
    with pytest.raises(IsoglossError, match="same stage"):
        apply(good.astype(np.float32), np.eye(3, 4))
