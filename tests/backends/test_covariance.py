import numpy as np
import pytest
from clouds import ENROL, MODELS, NAMES, clouds, scatter

from isogloss.backends.covariance import class_means, within_covariance
from isogloss.backends.lda import LDA
from isogloss.types import IsoglossError


def indexed(x, languages):
    return x, np.unique(languages, return_inverse=True)[1]


def test_class_means_are_kaldis():
    x, index = indexed(*ENROL)
    means, count = class_means(x, index)
    assert np.abs(means - MODELS["enroll_means"]).max() < 1e-5
    assert count.tolist() == [12] * len(NAMES)


def test_without_shrinkage_it_is_the_covariance_and_with_it_drawn_to_the_identity():
    x, languages = clouds()
    _, within = scatter(x, languages)
    assert within_covariance(*indexed(x, languages), 0.0) == pytest.approx(within)
    round_one = np.eye(6) * within.trace() / 6
    assert within_covariance(*indexed(x, languages), 0.25) == pytest.approx(0.75 * within + 0.25 * round_one)


def test_too_few_or_equal_utterances():
    few = indexed(*clouds(3, 4, 20))
    with pytest.raises(IsoglossError, match="12 embeddings of 3 languages vary in 9 of 20 dimensions"):
        within_covariance(*few, 0.0)
    assert np.linalg.eigvalsh(within_covariance(*few, 0.1)).min() > 0
    with pytest.raises(IsoglossError, match="do not vary within a language"):
        within_covariance(np.eye(3), np.arange(3), 0.1)
    with pytest.raises(IsoglossError, match="one of each language"):
        within_covariance(np.eye(3), np.arange(3), 0.1)
    with pytest.raises(IsoglossError, match="do not vary within a language"):
        within_covariance(np.full((4, 3), 0.1), np.array([0, 0, 1, 1]), 0.1)
    projected = LDA().fit(*clouds(3, 4, 20)).transform(clouds(3, 4, 20)[0])  # LDA found where nothing varies within
    with pytest.raises(IsoglossError, match=r"before an lda\? Then reduce those first: pca\(4\)"):
        within_covariance(projected, few[1], 0.1)
    with pytest.raises(IsoglossError, match="shrinkage 2; expected 0 to 1"):
        within_covariance(*few, 2)
