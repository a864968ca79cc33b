"""Calibration against its own formula in plain loops, truths that were put in, and everything it must refuse."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from isogloss.backends.calibration import HALF_FRAMES, Calibration, folds
from isogloss.backends.linear_logistic import OFFSET_PULL, SCALE_PULL, UnseenLanguage, fit_linear, likelihoods
from isogloss.backends.logistic import log_softmax
from isogloss.metrics import cllr
from isogloss.types import IsoglossError, Scores

LANGUAGES = ["aaa", "bbb", "ccc", "ddd"]


def speech(num=400, num_languages=4, separation=2.0, seed=0, shares=None):
    """([U, C] true log-likelihoods, truth [U]): unit Gaussians around orthogonal means, so that a = 1, b = 0 is right."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(num_languages, size=num, p=shares)
    x = rng.normal(0, 1, (num, num_languages)) + separation * np.eye(num_languages)[truth]
    means = separation * np.eye(num_languages)
    return -0.5 * ((x[:, None] - means) ** 2).sum(axis=2), truth


def cost(weights, offset, stack, truth, prior, pull):
    """The objective, spelt out."""
    seen = sorted(set(truth.tolist()))
    mass = {c: prior[c] / sum(prior[s] for s in seen) for c in seen}
    total = 0.0
    for u, c in enumerate(truth.tolist()):
        row = {s: sum(w * part[u][s] for w, part in zip(weights, stack, strict=True)) + offset[s] for s in seen}
        joint = {s: row[s] + math.log(mass[s]) for s in seen}
        top = max(joint.values())
        log_sum = top + math.log(sum(math.exp(value - top) for value in joint.values()))
        total -= len(truth) * mass[c] / (truth == c).sum() * (joint[c] - log_sum)
    ratios = [weight / pull for weight in weights]
    if min(ratios) <= 0:
        return math.inf
    total += SCALE_PULL * sum(r - 1 - math.log(r) for r in ratios) / len(ratios)
    return total + 0.5 * OFFSET_PULL * sum(offset[s] ** 2 for s in seen)


@pytest.mark.parametrize("prior", [[0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]])
@pytest.mark.parametrize("num_weights", [1, 2])
def test_the_fit_is_the_minimum_of_the_formula(prior, num_weights):
    loglik, truth = speech(60, seed=3)
    stack = np.stack([3 * loglik + 100, np.cumsum(loglik[::-1], axis=1)])[:num_weights]
    weights, offset, unseen = fit_linear(stack, truth, np.array(prior), pull=0.5, offsets=True)
    assert not unseen.any()

    def flat(v):
        return cost(v[:num_weights], v[num_weights:], stack, truth, prior, pull=0.5)

    at = np.concatenate([weights, offset])
    gradient = [(flat(at + h) - flat(at - h)) / 2e-6 for h in 1e-6 * np.eye(len(at))]
    assert np.abs(gradient).max() < 1e-4
    brute = minimize(
        flat, np.r_[np.full(num_weights, 0.3), np.zeros(4)], method="Nelder-Mead", options={"maxiter": 1500}
    )
    assert brute.fun - 0.2 < flat(at) <= brute.fun + 1e-9


def test_what_was_done_to_the_scores_is_undone():
    loglik, truth = speech(20_000)
    offset = np.array([1.0, -0.5, 0.0, -0.5])
    fitted = Calibration.fit((loglik - offset) / 4, truth, languages=LANGUAGES)
    assert fitted.scales == pytest.approx([4], rel=0.05)
    np.testing.assert_allclose(fitted.offset, offset, atol=0.1)
    cooled = Calibration.fit(5 * loglik, truth, languages=LANGUAGES, form="temperature")
    assert cooled.scales == pytest.approx([0.2], rel=0.05)
    assert not cooled.offset.any()


def test_scores_of_any_size_are_calibrated():
    """Cosines and sums over thousands of frames need a = 50 and a = 0.001."""
    loglik, truth = speech(3000)
    right = log_softmax(loglik)
    for factor in (0.02, 1000.0):
        fitted = Calibration.fit(factor * loglik, truth, languages=LANGUAGES)
        assert fitted.scales == pytest.approx([1 / factor], rel=0.15)
        assert np.abs(np.exp(fitted.apply(factor * loglik)) - np.exp(right)).mean() < 0.02


def test_the_scale_of_the_duration_form_follows_the_frames():
    rng = np.random.default_rng(5)
    loglik, truth = speech(20_000)
    frames = rng.integers(20, 3000, len(truth))
    scale = 0.2 + 0.8 * frames / (frames + HALF_FRAMES)
    fitted = Calibration.fit(loglik / scale[:, None], truth, frames, languages=LANGUAGES, form="duration")
    np.testing.assert_allclose(fitted.scales, [0.2, 1.0], rtol=0.1)
    short, long = np.array([1]), np.array([10**6])
    row = np.array([[1.0, 0.0, 0.0, 0.0]])
    for n, expected in [(short, 0.2), (long, 1.0), (np.array([HALF_FRAMES]), 0.6)]:
        calibrated = fitted.apply(row, n)[0]
        assert calibrated[0] - calibrated[1] == pytest.approx(expected + fitted.offset[0] - fitted.offset[1], abs=0.08)
    # where all are of one length, what it says of others stays between that and nothing done
    one_length = Calibration.fit(3 * loglik, truth, np.full(len(truth), 900), languages=LANGUAGES, form="duration")
    assert (one_length.scales > 0).all()
    assert one_length.scales.max() <= 1.01


def test_a_constant_added_to_a_row_changes_nothing():
    rng = np.random.default_rng(1)
    loglik, truth = speech()
    frames = rng.integers(50, 1000, len(truth))
    constant = rng.normal(0, 1000, (len(truth), 1))
    for form in ("affine", "temperature", "duration"):
        plain = Calibration.fit(loglik, truth, frames, languages=LANGUAGES, form=form)
        shifted = Calibration.fit(loglik + constant, truth, frames, languages=LANGUAGES, form=form)
        np.testing.assert_allclose(shifted.apply(loglik, frames), plain.apply(loglik + constant, frames), atol=1e-5)
        np.testing.assert_allclose(np.exp(plain.apply(loglik, frames)).sum(axis=1), 1)


@pytest.mark.parametrize("form", ["affine", "temperature", "duration"])
@pytest.mark.parametrize("seed", range(5))
def test_cllr_never_rises_where_it_was_fitted(form, seed):
    rng = np.random.default_rng(seed)
    loglik, truth = speech(40, separation=rng.uniform(0, 3), seed=seed, shares=[0.4, 0.3, 0.2, 0.1])
    truth[:4] = range(4)
    loglik = loglik * rng.uniform(0.05, 20) + rng.normal(0, 2, 4)
    frames = rng.integers(1, 2000, len(truth))
    fitted = Calibration.fit(loglik, truth, frames, languages=LANGUAGES, form=form)
    names = [f"u{u}" for u in range(len(truth))]
    key = {name: LANGUAGES[c] for name, c in zip(names, truth, strict=True)}
    before, after = (
        float(cllr(Scores(names, LANGUAGES, scores), key)) for scores in (loglik, fitted.apply(loglik, frames))
    )
    assert after <= before + 1e-9


def test_few_utterances_change_little_and_the_fit_is_the_same_every_time():
    loglik, truth = speech(10, seed=2)
    truth[:4] = range(4)
    fitted = Calibration.fit(loglik, truth, languages=LANGUAGES)
    assert 0.5 < fitted.scales[0] < 2 and np.abs(fitted.offset).max() < 1
    again = Calibration.fit(loglik, truth, languages=LANGUAGES)
    np.testing.assert_array_equal(again.offset, fitted.offset)
    np.testing.assert_array_equal(again.scales, fitted.scales)


def test_every_language_weighs_as_much_however_many_utterances_it_has():
    loglik, truth = speech(300, seed=4)
    copies = np.where(truth == 2, 4, 1)
    few = Calibration.fit(loglik, truth, languages=LANGUAGES)
    many = Calibration.fit(np.repeat(loglik, copies, axis=0), np.repeat(truth, copies), languages=LANGUAGES)
    np.testing.assert_allclose(many.offset, few.offset, atol=0.03)
    np.testing.assert_allclose(many.scales, few.scales, rtol=0.02)


def test_posteriors_with_the_shares_of_the_enrolment_become_likelihoods():
    loglik, truth = speech(seed=6)
    shares = np.array([8.0, 4.0, 2.0, 1.0])
    posterior = log_softmax(loglik + np.log(shares / shares.sum()))
    np.testing.assert_allclose(log_softmax(likelihoods(posterior, shares)), log_softmax(loglik))
    told = Calibration(LANGUAGES, score_prior=shares)
    np.testing.assert_allclose(told.apply(posterior), log_softmax(loglik))
    fitted = Calibration.fit(posterior, truth, languages=LANGUAGES, score_prior=shares)
    plain = Calibration.fit(loglik, truth, languages=LANGUAGES)
    np.testing.assert_allclose(fitted.apply(posterior), plain.apply(loglik), atol=1e-5)


def test_a_language_without_utterances_keeps_its_offset_and_is_named():
    loglik, truth = speech(seed=7)
    loglik, truth = loglik[truth != 1], truth[truth != 1]
    with pytest.warns(UnseenLanguage, match="no utterance of bbb to calibrate on: offset 0"):
        fitted = Calibration.fit(loglik + np.array([0, 5, 2, 0]), truth, languages=LANGUAGES)
    assert fitted.unseen == ["bbb"] and fitted.offset[1] == 0
    assert fitted.offset[[0, 2, 3]].sum() == pytest.approx(0, abs=1e-4)


def test_out_of_fold_scores_are_those_of_a_fit_without_the_recording():
    loglik, truth = speech(60, seed=8)
    truth[:8] = np.arange(8) % 4
    groups = [f"r{u // 2}" for u in range(60)]
    fitted, out = Calibration.cross_fit(loglik, truth, languages=LANGUAGES, groups=groups, num_folds=3)
    np.testing.assert_array_equal(fitted.offset, Calibration.fit(loglik, truth, languages=LANGUAGES).offset)
    for test in folds(groups, truth, 3):
        alone = Calibration.fit(loglik[~test], truth[~test], languages=LANGUAGES)
        np.testing.assert_allclose(out[test], alone.apply(loglik[test]))


def test_folds_hold_recordings_together_and_spread_languages():
    rng = np.random.default_rng(9)
    recording = rng.integers(0, 40, 200)
    truth = recording % 4
    groups = [f"r{r}" for r in recording]
    made = folds(groups, truth, 5)
    assert (np.sum(made, axis=0) == 1).all()
    for fold in made:
        assert not {g for g, inside in zip(groups, fold, strict=True) if inside} & {
            g for g, inside in zip(groups, fold, strict=True) if not inside
        }
        assert set(truth[fold]) == {0, 1, 2, 3}
    assert all((a == b).all() for a, b in zip(made, folds(groups, truth, 5), strict=True))
    assert len(folds(["a", "b", "a"], np.array([0, 1, 0]), 5)) == 2


def test_it_comes_back_from_its_arrays():
    loglik, truth = speech(seed=10)
    frames = np.arange(len(truth)) + 30
    keep = truth != 3
    with pytest.warns(UnseenLanguage):
        fitted = Calibration.fit(
            loglik[keep],
            truth[keep],
            frames[keep],
            languages=LANGUAGES,
            form="duration",
            score_prior=np.array([1, 2, 3, 4.0]),
        )
    state = fitted.state()
    assert not any(array.dtype.hasobject for array in state.values())
    again = Calibration.from_state(state)
    np.testing.assert_array_equal(again.apply(loglik, frames), fitted.apply(loglik, frames))
    assert again.languages == LANGUAGES and again.unseen == ["ddd"] and again.by_duration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loglik": np.full((20, 4), np.nan)}, "20 of 20 rows of scores are not finite, first row 0"),
        ({"loglik": np.zeros((20, 3))}, r"scores of shape \(20, 3\) for 4 languages"),
        ({"truth": np.arange(20) % 5}, "leave those out"),
        ({"truth": np.arange(19) % 4}, "19 true languages for 20 utterances"),
        ({"truth": np.zeros(20, int)}, "20 utterances of 1 languages to calibrate on; expected two"),
        ({"loglik": np.zeros((5, 4)), "truth": np.arange(5) % 4}, "5 utterances to calibrate on; expected at least 10"),
        ({"form": "duration"}, "needs the voiced frames"),
        ({"form": "duration", "frames": np.full(20, -1)}, "voiced frames"),
        ({"form": "matrix"}, "form 'matrix'; expected affine, temperature, duration"),
        ({"prior": np.array([1, 1, 1, 0])}, "a prior of"),
        ({"score_prior": np.ones(3)}, "expected 4 positive shares"),
    ],
)
def test_bad_input_is_explained(change, message):
    good = {"loglik": np.random.default_rng(0).normal(size=(20, 4)), "truth": np.arange(20) % 4, "languages": LANGUAGES}
    with pytest.raises(IsoglossError, match=message):
        Calibration.fit(**{**good, **change})


def test_one_recording_cannot_be_cross_validated():
    with pytest.raises(IsoglossError, match="1 recordings in 5 folds"):
        folds(["r"] * 20, np.arange(20) % 4)
    with pytest.raises(IsoglossError, match="19 recordings for 20 utterances"):
        folds(["r"] * 19, np.arange(20) % 4)
    with pytest.raises(IsoglossError, match="expected a calibration, found 'head'"):
        Calibration.from_state({"kind": np.array("head")})
    state = Calibration(LANGUAGES).state()
    del state["offset"]
    with pytest.raises(IsoglossError, match="lacks its array 'offset'"):
        Calibration.from_state(state)
