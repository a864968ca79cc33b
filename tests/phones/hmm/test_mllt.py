import numpy as np
import pytest

from isogloss.phones.hmm.mllt import MlltStats
from isogloss.types import IsoglossError


@pytest.fixture
def generator():
    return np.random.default_rng(7)


def mixture(generator, num_frames, dim, num_gaussians=5, mixing=None):
    """(frames, posteriors [T, G], means, inverse variances): Gaussians of diagonal covariance, then mixed by a matrix.

    Means and variances are the maximum-likelihood ones of the mixed frames, as training has them when MLLT begins.
    """
    which = generator.integers(0, num_gaussians, num_frames)
    deviations = generator.uniform(0.3, 2.0, (num_gaussians, dim))
    frames = 3 * generator.normal(size=(num_gaussians, dim))[which] + deviations[which] * generator.normal(
        size=(num_frames, dim)
    )
    if mixing is not None:
        frames = frames @ mixing.T
    gamma = 0.9 * np.eye(num_gaussians)[which] + 0.1 / num_gaussians
    counts = gamma.sum(0)[:, None]
    means = gamma.T @ frames / counts
    return frames, gamma, means, 1.0 / (gamma.T @ frames**2 / counts - means**2)


def stats_of(frames, gamma, means, inv_vars, block=600):
    stats = MlltStats(frames.shape[1])
    for first in range(0, len(frames), block):
        span = slice(first, first + block)
        stats.accumulate(frames[span], gamma[span] @ inv_vars)
    stats.add_gaussians(gamma.sum(0), gamma.T @ frames, means, inv_vars)
    return stats


def auxiliary(frames, gamma, means, inv_vars, matrix):
    """Per frame, straight from the definition (without constants): log |det M| + Σ γ log N(M x; M μ, σ²)."""
    distance = np.zeros(gamma.shape)
    for g in range(len(means)):
        distance[:, g] = (((frames - means[g]) @ matrix.T) ** 2 * inv_vars[g]).sum(1)
    return np.linalg.slogdet(matrix)[1] - 0.5 * (gamma * distance).sum() / gamma.sum()


def test_statistics_equal_a_loop_over_frames_gaussians_and_dimensions(generator):
    dim = 3
    frames, gamma, means, inv_vars = mixture(generator, 50, dim)
    gamma = gamma * generator.uniform(0, 1, (50, 1))
    means = means + generator.normal(size=means.shape)  # the identity must hold for means of any model
    gamma[:, 2] = 0.0  # a Gaussian without frames
    stats = stats_of(frames, gamma, means, inv_vars, block=7)
    expected = np.zeros((dim, dim, dim))
    for t in range(len(frames)):
        for g in range(len(means)):
            offset = frames[t] - means[g]
            for i in range(dim):
                expected[i] += gamma[t, g] * inv_vars[g, i] * np.outer(offset, offset)
    np.testing.assert_allclose(stats.g, expected, rtol=1e-11, atol=1e-11)
    assert stats.beta == pytest.approx(gamma.sum(), rel=1e-12)


def test_objective_rises_with_every_sweep_and_the_improvement_is_that_of_the_likelihood(generator):
    dim = 6
    data = mixture(generator, 4000, dim, mixing=generator.normal(size=(dim, dim)))
    stats = stats_of(*data)
    before = auxiliary(*data, np.eye(dim))
    reached = [before]
    for iterations in range(1, 15):
        matrix, improvement = stats.update(iterations, convergence=0.0)
        reached.append(auxiliary(*data, matrix))
        assert improvement == pytest.approx(reached[-1] - before, abs=1e-9)
    assert (np.diff(reached) > 0).all()
    assert reached[-1] > before + 0.5


def test_every_row_solves_the_stationary_condition(generator):
    """dQ/dM = 0: (M⁻¹)ᵀ = rows m_iᵀ G_i / β."""
    dim = 5
    stats = stats_of(*mixture(generator, 4000, dim, mixing=generator.normal(size=(dim, dim))))
    matrix, _ = stats.update(2000, convergence=0.0)
    gradient = np.linalg.inv(matrix).T - np.stack([matrix[i] @ stats.g[i] for i in range(dim)]) / stats.beta
    assert np.abs(gradient).max() < 1e-5


def test_undoes_the_mixing_of_independent_dimensions(generator):
    """Up to the order and scale of the dimensions, which MLLT does not determine."""
    dim = 4
    mixing = np.eye(dim) + 0.4 * generator.normal(size=(dim, dim))
    frames, gamma, means, inv_vars = mixture(generator, 30000, dim, num_gaussians=4, mixing=mixing)
    gamma = np.round(gamma)  # the Gaussian that made the frame
    total = np.eye(dim)
    for _ in range(10):  # training alternates: MLLT, then variances in the new space
        matrix, improvement = stats_of(frames, gamma, means, inv_vars).update()
        assert improvement > -1e-12
        total = matrix @ total
        frames = frames @ matrix.T
        counts = gamma.sum(0)[:, None]
        means = gamma.T @ frames / counts
        inv_vars = 1.0 / (gamma.T @ frames**2 / counts - means**2)
    whole = np.abs(total @ mixing)
    whole /= whole.max(axis=1, keepdims=True)
    assert (np.sort(whole, axis=1)[:, :-1] < 0.06).all()
    assert sorted(whole.argmax(axis=1)) == list(range(dim))


def test_dimensions_independent_already_give_about_the_identity(generator):
    frames, gamma, means, inv_vars = mixture(generator, 30000, 5)
    gamma = np.round(gamma)
    counts = gamma.sum(0)[:, None]
    means = gamma.T @ frames / counts
    inv_vars = 1.0 / (gamma.T @ frames**2 / counts - means**2)
    matrix, improvement = stats_of(frames, gamma, means, inv_vars).update()
    np.testing.assert_allclose(matrix, np.eye(5), atol=0.06)
    assert 0 <= improvement < 0.005


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.0), (1e-3, 10.0), (1e4, 1e5)])
def test_a_dimension_of_another_scale_gains_as_much(generator, scale, offset):
    """A nearly constant one, also far from zero, where the Gaussian terms cancel all but the last digits."""
    frames, gamma, means, inv_vars = mixture(generator, 4000, 4, mixing=generator.normal(size=(4, 4)))
    _, expected = stats_of(frames, gamma, means, inv_vars).update(400)
    factor = np.array([1.0, scale, 1.0, 1.0])
    shift = np.array([0.0, offset, 0.0, 0.0])
    scaled = stats_of(frames * factor + shift, gamma, means * factor + shift, inv_vars / factor**2)
    matrix, improvement = scaled.update(400)
    assert np.isfinite(matrix).all()
    assert improvement == pytest.approx(expected, abs=1e-3)


def test_frames_in_float32_are_summed_in_float64(generator):
    frames, gamma, means, inv_vars = mixture(generator, 4000, 4, mixing=generator.normal(size=(4, 4)))
    _, expected = stats_of(frames, gamma, means, inv_vars).update()
    _, improvement = stats_of(*(array.astype(np.float32) for array in (frames, gamma, means, inv_vars))).update()
    assert improvement == pytest.approx(expected, abs=1e-4)


def test_too_few_frames_are_an_error(generator):
    frames, gamma, means, inv_vars = mixture(generator, 39, 4)
    with pytest.raises(IsoglossError, match="MLLT of 4 dimensions from 39 frames; expected at least 40"):
        stats_of(frames, gamma, means, inv_vars).update()
    forgotten = MlltStats(4)  # without its Gaussians
    forgotten.accumulate(frames, gamma @ inv_vars)
    with pytest.raises(IsoglossError, match="from 0 frames"):
        forgotten.update()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", ["zero", "constant", "huge", "twice"])
def test_frames_that_do_not_vary_are_an_error(generator, case, dtype):
    """Also where the Gaussian terms cancel to rounding errors, which would pass for a variance."""
    frames, gamma, means, inv_vars = mixture(generator, 400, 4)
    if case == "twice":
        frames[:, 3], means[:, 3] = frames[:, 2], means[:, 2]
    else:
        frames[:, 3] = means[:, 3] = {"zero": 0.0, "constant": 7.3, "huge": -1e6}[case]
    with pytest.raises(
        IsoglossError, match=r"no transform can be estimated|do not vary within a Gaussian in dimension 3 of 4"
    ):
        stats_of(*(array.astype(dtype) for array in (frames, gamma, means, inv_vars))).update()


def test_bad_input_is_named():
    stats = MlltStats(2)
    with pytest.raises(IsoglossError, match="expected both to be"):
        stats.accumulate(np.ones((3, 2)), np.ones((2, 2)))
    with pytest.raises(IsoglossError, match="precision sums a hold NaN"):
        stats.accumulate(np.ones((3, 2)), np.full((3, 2), np.nan))
    with pytest.raises(IsoglossError, match="of shapes"):
        stats.add_gaussians(np.ones(3), np.ones((3, 2)), np.ones((3, 2)), np.ones((4, 2)))
