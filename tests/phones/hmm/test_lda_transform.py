import numpy as np
import pytest

from isogloss.phones.hmm.lda_transform import LdaStats
from isogloss.types import IGNORE_PDF, IsoglossError


@pytest.fixture
def generator():
    return np.random.default_rng(2)


def classes(generator, num_frames=3000, dim=6, num_classes=8):
    """Frames [T, D] of classes with a full common covariance, and their labels; class 5 has no frame."""
    labels = generator.choice(np.delete(np.arange(num_classes), 5), num_frames)
    frames = generator.normal(size=(num_frames, dim)) @ generator.normal(size=(dim, dim))
    return frames + 2 * generator.normal(size=(num_classes, dim))[labels] + 4, labels


def stats_of(frames, labels, num_classes=8, block=500):
    stats = LdaStats(num_classes, frames.shape[1])
    for first in range(0, len(frames), block):
        stats.accumulate(frames[first : first + block], labels[first : first + block])
    return stats


def covariances(frames, labels):
    """(within, between) by a loop over frames."""
    mean = frames.mean(axis=0)
    within, between = np.zeros((2, frames.shape[1], frames.shape[1]))
    for x, label in zip(frames, labels, strict=True):
        centre = frames[labels == label].mean(axis=0)
        within += np.outer(x - centre, x - centre) / len(frames)
        between += np.outer(centre - mean, centre - mean) / len(frames)
    return within, between


def test_statistics_equal_a_loop_over_frames(generator):
    frames, labels = classes(generator, num_frames=60)
    stats = stats_of(frames, labels, block=7)
    counts, first, second = np.zeros(8), np.zeros((8, 6)), np.zeros((6, 6))
    for x, label in zip(frames, labels, strict=True):
        counts[label] += 1
        first[label] += x
        second += np.outer(x, x)
    np.testing.assert_array_equal(stats.counts, counts)
    np.testing.assert_allclose(stats.first, first, rtol=1e-12)
    np.testing.assert_allclose(stats.second, second, rtol=1e-12)


def test_blocks_of_a_long_call_are_summed(generator):
    frames, labels = classes(generator, num_frames=20000)
    at_once, in_parts = stats_of(frames, labels, block=20000), stats_of(frames, labels)
    for name in ("counts", "first", "second"):
        np.testing.assert_allclose(getattr(at_once, name), getattr(in_parts, name), rtol=1e-10, atol=1e-8)


def test_within_becomes_the_identity_and_between_diagonal_and_descending(generator):
    frames, labels = classes(generator)
    within, between = covariances(frames, labels)
    transform = stats_of(frames, labels).estimate(4)
    assert transform.shape == (4, 6)
    np.testing.assert_allclose(transform @ within @ transform.T, np.eye(4), atol=1e-9)
    projected = transform @ between @ transform.T
    np.testing.assert_allclose(projected, np.diag(np.diagonal(projected)), atol=1e-9)
    assert (np.diff(np.diagonal(projected)) < 0).all()


def test_equals_kaldi_s_own_computation(generator):
    """LdaEstimate::Estimate: Cholesky factor of the within-class covariance, then SVD of the whitened between-class one."""
    frames, labels = classes(generator)
    within, between = covariances(frames, labels)
    whiten = np.linalg.inv(np.linalg.cholesky(within))
    rotation = np.linalg.svd(whiten @ between @ whiten.T)[0]
    expected = (rotation.T @ whiten)[:5]
    transform = stats_of(frames, labels).estimate(5)
    signs = np.sign(np.sum(transform * expected, axis=1))
    np.testing.assert_allclose(transform, expected * signs[:, None], rtol=1e-6, atol=1e-9)
    assert (transform[np.arange(5), np.abs(transform).argmax(axis=1)] > 0).all()


def test_finds_the_direction_that_separates_the_classes(generator):
    labels = generator.integers(0, 3, 6000)
    frames = generator.normal(size=(6000, 5)) * [10, 1, 1, 5, 1]
    frames[:, 2] += labels * 2.0
    transform = stats_of(frames, labels, 3).estimate(1)[0]
    assert transform[2] == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.delete(transform, 2)).max() < 0.05


def test_frames_without_a_label_are_left_out(generator):
    frames, labels = classes(generator)
    silent = generator.random(len(labels)) < 0.3
    expected = stats_of(frames[~silent], labels[~silent]).estimate(3)
    frames[silent] = 1e6
    stats = stats_of(frames, np.where(silent, IGNORE_PDF, labels))
    np.testing.assert_allclose(stats.estimate(3), expected, rtol=1e-7, atol=1e-9)
    stats.accumulate(frames[:5], np.full(5, IGNORE_PDF))
    np.testing.assert_allclose(stats.estimate(3), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_a_dimension_of_another_scale_changes_nothing(generator, scale):
    """One nearly constant, or huge, is only in another unit: the projected frames stay."""
    frames, labels = classes(generator)
    expected = frames @ stats_of(frames, labels).estimate(5).T
    scaled = frames * [1, 1, scale, 1, 1, 1]
    projected = scaled @ stats_of(scaled, labels).estimate(5).T
    projected *= np.sign(np.sum(projected * expected, axis=0))
    np.testing.assert_allclose(projected, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", ["constant", "zero", "twice", "class", "few"])
def test_frames_that_do_not_vary_within_a_class_are_an_error(generator, case):
    frames, labels = classes(generator)
    if case == "constant":
        frames[:, 3] = 123.456
    elif case == "zero":
        frames[:, 3] = 0.0
    elif case == "twice":
        frames[:, 3] = frames[:, 1]
    elif case == "class":
        frames[:, 3] = labels * 1.1
    else:
        frames, labels = frames[:11], np.array([0, 1, 2, 3, 4, 6, 0, 1, 2, 3, 4])
    with pytest.raises(IsoglossError, match="do not vary within a class"):
        stats_of(frames, labels).estimate(2)


def test_dimensions_that_are_not_there_are_an_error(generator):
    frames, labels = classes(generator)
    stats = stats_of(frames, labels)
    assert stats.estimate(6).shape == (6, 6)
    with pytest.raises(IsoglossError, match="LDA of 6 to 7 dimensions"):
        stats.estimate(7)
    with pytest.raises(IsoglossError, match="frames of 3 classes; expected 1 to 2 "):
        stats_of(frames, labels % 3).estimate(3)
    with pytest.raises(IsoglossError, match="frames of 0 classes"):
        LdaStats(4, 6).estimate(1)


def test_bad_input_is_named(generator):
    stats = LdaStats(3, 2)
    with pytest.raises(IsoglossError, match="same shift"):
        stats.accumulate(np.ones((4, 2)), np.zeros(5, dtype=int))
    with pytest.raises(IsoglossError, match="labels from 0 to 3; expected 0 to 2"):
        stats.accumulate(np.ones((4, 2)), np.arange(4))
    with pytest.raises(IsoglossError, match="NaN"):
        stats.accumulate(np.full((1, 2), np.nan), np.zeros(1, dtype=int))
    assert not stats.counts.any()
