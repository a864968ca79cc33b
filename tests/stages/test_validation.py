"""Back ends calibrated on the validation clips, utterances without an answer, and the model file that carries both."""

import json

import numpy as np
import pytest

from isogloss.backends import Calibration, Cosine, Gaussian, Head
from isogloss.config import EvaluateConfig
from isogloss.metrics import read_scores
from isogloss.stages.calibrate import read_calibration
from isogloss.stages.extract import Embeddings
from isogloss.stages.ledger import write_json
from isogloss.stages.score import score
from isogloss.stages.validation import calibrate_on_validation, calibration_of
from isogloss.types import IsoglossError

LANGUAGES = ["aaa", "bbb", "ccc"]


def embeddings(rng, number, frames, noise=1.0):
    """`number` utterances a language, two a recording: the language's axis plus noise that grows as the frames get fewer."""
    truth = np.repeat(np.arange(3), number)
    vectors = (2 * np.eye(3)[truth] + noise * rng.normal(size=(3 * number, 3)) * np.sqrt(300 / frames)).astype(
        np.float32
    )
    names = [f"u{row}" for row in range(len(truth))]
    recordings = [f"r{row // 2}" for row in range(len(truth))]
    return Embeddings(names, [LANGUAGES[c] for c in truth], recordings, np.full(len(truth), frames), vectors, vectors)


@pytest.fixture
def folders(tmp_path):
    """(embeddings, backend) with a head that is four times too sure."""
    rng = np.random.default_rng(3)
    for name, frames in (("valid", 900), ("valid_short", 100), ("full", 900), ("short", 100)):
        embeddings(rng, 40, frames).save(tmp_path / "embeddings" / f"{name}.npz")
    write_json(tmp_path / "embeddings" / "stage.json", {"stamp": "by hand"})
    (tmp_path / "backend").mkdir()
    head = Head(LANGUAGES, 8 * np.eye(3))
    np.savez(tmp_path / "backend" / "head.npz", **head.state())
    write_json(tmp_path / "backend" / "stage.json", {"stamp": "by hand"})
    return tmp_path / "embeddings", tmp_path / "backend", head


def test_whole_and_short_validation_clips_make_a_scale_by_duration(folders):
    made, backends, head = folders
    folder = calibration_of(backends, "head")
    assert calibrate_on_validation(head, "near", made, LANGUAGES, 0.1, folder)
    calibration, open_set = read_calibration(folder)
    about = json.loads((folder / "calibration.json").read_text())
    assert about["form"] == "duration" and about["num_utterances"] == 240
    assert (
        calibration.by_duration and calibration.scales[0] < calibration.scales[1] < 1
    )  # too sure, most of all when short
    assert about["out_of_fold"]["cllr"] < 0.6 * about["before"]["cllr"]
    assert open_set.rate == "reject" and open_set.known_rejected == pytest.approx(0.1, abs=0.01)
    assert open_set.num_known == 120  # the whole ones


def test_cosines_become_as_sure_as_they_are_right(folders):
    """Few clips, so that the pull counts: to ten, for a cosine is no log-likelihood."""
    made, backends, _ = folders
    for name, seed in (("valid", 5), ("valid_short", 6)):
        rng = np.random.default_rng(seed)
        embeddings(rng, 5, 900 if name == "valid" else 100, noise=0.5).save(made / f"{name}.npz")
    enrol = embeddings(np.random.default_rng(7), 40, 900)
    cosine = Cosine().fit(enrol.far.astype(float), enrol.languages)
    folder = calibration_of(backends, "cosine")
    assert calibrate_on_validation(cosine, "far", made, enrol.languages, None, folder)
    calibration, _ = read_calibration(folder)
    test = embeddings(np.random.default_rng(8), 200, 900, noise=0.5)
    posteriors = np.exp(calibration.apply(cosine.loglik(test.far.astype(float)), test.voiced_frames))
    truth = np.repeat(np.arange(3), 200)
    right = (posteriors.argmax(axis=1) == truth).mean()
    assert posteriors.max(axis=1).mean() == pytest.approx(right, abs=0.05) and right > 0.9


def test_scores_are_calibrated_and_those_of_validation_by_fits_that_have_not_seen_the_recording(folders, tmp_path):
    made, backends, head = folders
    calibrate_on_validation(head, "near", made, LANGUAGES, 0.1, calibration_of(backends, "head"))
    out = score(made, backends, tmp_path / "scores", EvaluateConfig())
    calibration, _ = read_calibration(calibration_of(backends, "head"))
    for name in ("full", "short", "valid"):
        of = Embeddings.load(made / f"{name}.npz")
        expected = calibration.apply(head.loglik(of.near.astype(float)), of.voiced_frames)
        got = read_scores(out / "head" / f"{name}.scores").loglik
        if name == "valid":  # other fits: near, and not the same
            assert not np.allclose(got, expected, atol=1e-6) and np.abs(got - expected).max() < 2
        else:
            np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_handful_of_frames_gets_no_answer(folders, tmp_path):
    made, backends, _ = folders
    few = Embeddings.load(made / "short.npz")
    few.voiced_frames[:3] = 0, 6, 9
    few.near[0] = np.nan
    few.save(made / "short.npz")
    out = score(made, backends, tmp_path / "scores", EvaluateConfig(min_voiced_frames=9))
    got = read_scores(out / "head" / "short.scores").loglik
    assert np.isneginf(got[:2]).all() and np.isfinite(got[2:]).all()
    assert json.loads((out / "tests.json").read_text())["short"]["no_speech"] == ["u0", "u1"]


def test_too_few_validation_clips_calibrate_nothing(folders, tmp_path):
    made, _, head = folders
    for name in ("valid", "valid_short"):
        of = Embeddings.load(made / f"{name}.npz")
        of.voiced_frames[4:] = 0
        of.save(made / f"{name}.npz")
    assert not calibrate_on_validation(head, "near", made, LANGUAGES, 0.1, tmp_path / "cal")
    assert not (tmp_path / "cal").exists()


def test_the_shares_of_the_enrolment_are_taken_out_of_logistic_posteriors_alone(folders, tmp_path):
    made, _, head = folders
    enrolled = ["aaa"] * 6 + ["bbb"] * 3 + ["ccc"]
    from isogloss.backends import LogisticRegression

    of = Embeddings.load(made / "valid.npz")
    for fitted, expected in (
        (LogisticRegression().fit(of.far, of.languages), [0.6, 0.3, 0.1]),
        (Gaussian().fit(of.far, of.languages), [1 / 3] * 3),
        (head, [1 / 3] * 3),
    ):
        calibrate_on_validation(fitted, "far", made, enrolled, None, tmp_path / "cal")
        calibration, open_set = read_calibration(tmp_path / "cal")
        assert calibration.score_prior == pytest.approx(expected) and open_set is None


def test_two_calibrations_in_a_row_are_one():
    rng = np.random.default_rng(0)
    first = Calibration(LANGUAGES, [0.4, 0.9], rng.normal(size=3), np.array([0.5, 0.3, 0.2]))
    second = Calibration(LANGUAGES, [1.7], rng.normal(size=3), np.array([0.2, 0.2, 0.6]))
    loglik, frames = 5 * rng.normal(size=(20, 3)), rng.integers(50, 2000, 20)
    twice = second.apply(first.apply(loglik, frames))
    np.testing.assert_allclose(first.then(second).apply(loglik, frames), twice, atol=1e-12)
    with pytest.raises(IsoglossError, match="use the affine form"):
        second.then(first)
