"""Fusion: what calibration promises, for several systems, some of them silent at times."""

import numpy as np
import pytest

from isogloss.backends.calibration import Calibration
from isogloss.backends.fusion import Fusion
from isogloss.backends.linear_logistic import UnseenLanguage
from isogloss.backends.logistic import log_softmax
from isogloss.types import IsoglossError

LANGUAGES = ["aaa", "bbb", "ccc"]


def systems(num=3000, separations=(1.0, 1.5), seed=0):
    """Systems with errors of their own, each with true log-likelihoods: all weights 1, no offset."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, num)
    made = []
    for separation in separations:
        x = rng.normal(0, 1, (num, 3)) + separation * np.eye(3)[truth]
        made.append(-0.5 * ((x[:, None] - separation * np.eye(3)) ** 2).sum(axis=2))
    return made, truth


def cross_entropy(loglik, truth):
    return -np.mean([log_softmax(loglik)[truth == c, c].mean() for c in set(truth.tolist())])


def test_a_fusion_of_one_is_a_calibration():
    (scores,), truth = systems(200, [1.5])
    fusion = Fusion.fit([scores], truth, languages=LANGUAGES)
    alone = Calibration.fit(scores, truth, languages=LANGUAGES)
    np.testing.assert_allclose(fusion.apply([scores]), alone.apply(scores))


def test_what_was_put_in_is_found():
    (first, second), truth = systems(20_000)
    fusion = Fusion.fit([first / 3, 2 * second + [1, 0, -1]], truth, languages=LANGUAGES)
    np.testing.assert_allclose(fusion.weights, [3, 0.5], rtol=0.06)
    np.testing.assert_allclose(fusion.offset, [-0.5, 0, 0.5], atol=0.06)


def test_it_is_better_than_each_and_a_system_of_noise_gets_little():
    (first, second, noise), truth = systems(3000, (1.0, 1.5, 0.0))
    noise = np.random.default_rng(9).normal(0, 3, noise.shape)
    train, test = slice(0, 1500), slice(1500, None)
    parts = [first, second, noise]
    fusion = Fusion.fit([part[train] for part in parts], truth[train], languages=LANGUAGES)
    fused = cross_entropy(fusion.apply([part[test] for part in parts]), truth[test])
    assert fused < min(cross_entropy(part[test], truth[test]) for part in parts)
    assert fusion.weights[2] < 0.05 and fusion.weights[:2].min() > 0.5


def test_with_little_to_learn_from_it_is_the_average():
    parts, truth = systems(12, (1.0, 1.0, 1.0), seed=4)
    truth[:3] = range(3)
    fusion = Fusion.fit(parts, truth, languages=LANGUAGES)
    assert ((fusion.weights > 0.1) & (fusion.weights < 1)).all()


def test_a_missing_system_says_nothing():
    (first, second), truth = systems(500)
    second = second + 50  # of no meaning, also where the other is missing
    absent = np.arange(500) % 3 == 0
    second[absent] = np.nan
    fusion = Fusion.fit([first, second], truth, languages=LANGUAGES)
    fused = fusion.apply([first, second])
    np.testing.assert_allclose(fused[absent], log_softmax(fusion.weights[0] * first[absent] + fusion.offset))
    flat = second.copy()
    flat[absent] = -7.0
    np.testing.assert_allclose(fused, Fusion.fit([first, flat], truth, languages=LANGUAGES).apply([first, flat]))
    first[0] = np.nan  # now no system has utterance 0
    np.testing.assert_allclose(fusion.apply([first, second])[0], np.log(1 / 3))


def test_out_of_fold_scores_never_saw_their_recording():
    (first, second), truth = systems(80, seed=6)
    groups = [f"r{u // 4}" for u in range(80)]
    fusion, out = Fusion.cross_fit([first, second], truth, languages=LANGUAGES, groups=groups)
    changed = truth.copy()
    inside = np.array(groups) == "r3"
    changed[inside] = (changed[inside] + 1) % 3  # what r3 is called cannot matter to its own scores
    order = np.argsort(groups, kind="stable")
    assert (changed[order] != truth[order]).sum() == 4
    _, again = Fusion.cross_fit([first, second], changed, languages=LANGUAGES, groups=groups, num_folds=20)
    _, before = Fusion.cross_fit([first, second], truth, languages=LANGUAGES, groups=groups, num_folds=20)
    np.testing.assert_allclose(again[inside], before[inside])
    assert np.abs(again[~inside] - before[~inside]).max() > 1e-6
    np.testing.assert_array_equal(fusion.weights, Fusion.fit([first, second], truth, languages=LANGUAGES).weights)
    assert np.isfinite(out).all()


def test_it_comes_back_from_its_arrays():
    (first, second), truth = systems(100)
    keep = truth != 2
    priors = [np.array([2.0, 1, 1]), None]
    with pytest.warns(UnseenLanguage, match="ccc"):
        fusion = Fusion.fit([first[keep], second[keep]], truth[keep], languages=LANGUAGES, score_prior=priors)
    again = Fusion.from_state(fusion.state())
    np.testing.assert_array_equal(again.apply([first, second]), fusion.apply([first, second]))
    assert again.unseen == ["ccc"]


def test_bad_input_is_explained():
    (first, second), truth = systems(30)
    fusion = Fusion.fit([first, second], truth, languages=LANGUAGES)
    for given, message in [
        ([first], "1 systems for a fusion of 2"),
        ([first, second[:-1]], "expected the same utterances and languages"),
    ]:
        with pytest.raises(IsoglossError, match=message):
            fusion.apply(given)
    half = second.copy()
    half[3, 1] = np.nan
    for given, message in [
        ([], "no systems to fuse"),
        ([first, half], "1 of 30 rows of scores are not finite, first row 3"),
        ([first, np.full_like(first, np.nan)], "system 2 of 2 has no scores"),
    ]:
        with pytest.raises(IsoglossError, match=message):
            Fusion.fit(given, truth, languages=LANGUAGES)
    with pytest.raises(IsoglossError, match="1 score priors for 2 systems"):
        Fusion.fit([first, second], truth, languages=LANGUAGES, score_prior=[None])
    with pytest.raises(IsoglossError, match="expected a fusion, found 'calibration'"):
        Fusion.from_state(Calibration(LANGUAGES).state())
