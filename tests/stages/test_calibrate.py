"""Score files in, calibrated score files out: what `calibrate` and `fuse` leave behind, and what they refuse."""

import json

import numpy as np
import pytest

from isogloss.backends.calibration import Calibration
from isogloss.backends.fusion import Fusion
from isogloss.backends.logistic import log_softmax
from isogloss.backends.open_set import certainty
from isogloss.cli import main
from isogloss.metrics import evaluate, read_scored_trials, read_scores, write_scores, write_trials
from isogloss.stages.calibrate import calibrate, read_calibration
from isogloss.stages.fuse import fuse
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

LANGUAGES = ["aaa", "bbb", "ccc"]


@pytest.fixture
def files(tmp_path):
    """120 known and 40 unknown utterances, overconfident by a factor of 3; utterance `silent` has no answer."""
    rng = np.random.default_rng(0)
    truth = np.arange(160) % 3
    x = rng.normal(0, 1, (160, 3)) + 2 * np.eye(3)[truth] * (np.arange(160) < 120)[:, None]
    loglik = 3 * 2 * x
    names = [f"u{u}" for u in range(160)]
    key = {n: LANGUAGES[c] if u < 120 else OUT_OF_SET for u, (n, c) in enumerate(zip(names, truth, strict=True))}
    write_trials(tmp_path / "dev.trials", key | {"silent": "aaa"}, LANGUAGES)
    with_silent = np.vstack([loglik, np.full(3, -np.inf)])
    write_scores(tmp_path / "a.scores", Scores([*names, "silent"], LANGUAGES, with_silent), form="matrix")
    noisier = loglik + rng.normal(0, 3, loglik.shape)
    write_scores(tmp_path / "b.scores", Scores(names[1:], LANGUAGES, noisier[1:]))
    reordered = Scores(["t0", "t1"], LANGUAGES[::-1], np.array([[1.0, 2, 3], [9, 0, 0]]))
    write_scores(tmp_path / "test.scores", reordered, form="matrix")
    every = [*names, "silent", "t0", "t1"]
    (tmp_path / "utt2spk").write_text("".join(f"{u} r{i // 4}\n" for i, u in enumerate(every)))
    (tmp_path / "utt2frames").write_text("".join(f"{u} {100 + i}\n" for i, u in enumerate(every)))
    return tmp_path, loglik, truth


def test_calibrate_writes_what_the_library_says(files):
    folder, loglik, truth = files
    out = calibrate(
        folder / "dev.trials",
        folder / "a.scores",
        folder / "out",
        apply=[folder / "test.scores"],
        recordings=folder / "utt2spk",
        rate=("accept", 0.1),
    )
    groups = [f"r{u // 4}" for u in range(120)]
    expected, out_of_fold = Calibration.cross_fit(loglik[:120], truth[:120], languages=LANGUAGES, groups=groups)
    calibration, open_set = read_calibration(out)
    np.testing.assert_allclose(calibration.offset, expected.offset)
    dev = read_scores(out / "dev.scores")
    np.testing.assert_allclose(dev.loglik[:120], out_of_fold)
    np.testing.assert_allclose(dev.loglik[120:160], expected.apply(loglik[120:]))
    assert dev.utterances[160] == "silent" and np.isneginf(dev.loglik[160]).all()
    test = read_scores(out / "test.scores")
    assert test.languages == LANGUAGES
    np.testing.assert_allclose(test.loglik, expected.apply(np.array([[3.0, 2, 1], [0, 0, 9]])))
    about = json.loads((out / "calibration.json").read_text())
    assert about["out_of_fold"]["cllr"] < about["before"]["cllr"]
    assert about["num_utterances"] == 120 and about["scales"] == pytest.approx(expected.scales)
    assert open_set.rate == "accept" and (open_set.num_known, open_set.num_unknown) == (120, 40)
    unknown = certainty(expected.apply(loglik[120:])) < open_set.threshold
    assert open_set.unknown_accepted == 3 / 40 == pytest.approx(1 - unknown.mean())


def test_scores_with_the_shares_of_their_enrolment(files):
    folder, loglik, _ = files
    (folder / "utt2lang").write_text("".join(f"e{i} {c}\n" for i, c in enumerate("aaa aaa aaa bbb bbb ccc".split())))
    shares = np.array([3, 2, 1]) / 6
    posterior = log_softmax(loglik + np.log(shares))
    write_scores(folder / "a.scores", Scores([f"u{u}" for u in range(160)], LANGUAGES, posterior), form="matrix")
    (folder / "dev.trials").write_text("".join(line for line in (folder / "dev.trials").open() if "silent" not in line))
    out = calibrate(folder / "dev.trials", folder / "a.scores", folder / "out", enrolled=folder / "utt2lang")
    np.testing.assert_allclose(read_calibration(out)[0].score_prior, shares)
    (folder / "utt2lang").write_text("e0 aaa\ne1 bbb\n")
    with pytest.raises(IsoglossError, match="no utterance of ccc, which the scores have"):
        calibrate(folder / "dev.trials", folder / "a.scores", folder / "out", enrolled=folder / "utt2lang")


def test_the_duration_form_reads_frames(files):
    folder, _, _ = files
    common = {"form": "duration", "apply": [folder / "test.scores"], "recordings": folder / "utt2spk"}
    out = calibrate(folder / "dev.trials", folder / "a.scores", folder / "out", frames=folder / "utt2frames", **common)
    calibration, _ = read_calibration(out)
    expected = calibration.apply(np.array([[3.0, 2, 1], [0, 0, 9]]), np.array([261, 262]))
    np.testing.assert_allclose(read_scores(out / "test.scores").loglik, expected)
    lines = (folder / "utt2frames").read_text().splitlines()
    (folder / "utt2frames").write_text("\n".join(lines[:-1]))
    with pytest.raises(IsoglossError, match="no voiced frames given for 1 utterances, first 't1'"):
        calibrate(folder / "dev.trials", folder / "a.scores", folder / "new", frames=folder / "utt2frames", **common)
    assert not (folder / "new").exists()


def test_fuse_writes_what_the_library_says(files):
    folder, loglik, truth = files
    systems = [folder / "a.scores", folder / "b.scores"]
    out = fuse(
        folder / "dev.trials",
        systems,
        folder / "out",
        apply=[[folder / "test.scores", folder / "a.scores"]],
        recordings=folder / "utt2spk",
    )
    second = read_scores(folder / "b.scores").loglik
    stacked = [loglik[:120], np.vstack([np.full((1, 3), np.nan), second[:119]])]
    groups = [f"r{u // 4}" for u in range(120)]
    expected, out_of_fold = Fusion.cross_fit(stacked, truth[:120], languages=LANGUAGES, groups=groups)
    dev = read_scores(out / "dev.scores")
    np.testing.assert_allclose(dev.loglik[:120], out_of_fold)
    np.testing.assert_allclose(dev.loglik[120:160], expected.apply([loglik[120:], second[119:]]))
    assert np.isneginf(dev.loglik[160]).all()  # silent in both: no answer, and not every language
    about = json.loads((out / "fusion.json").read_text())
    assert list(about["weights"].values()) == pytest.approx(expected.weights.tolist())
    assert about["out_of_fold"]["cllr"] < min(system["cllr"] for system in about["systems"])
    applied = read_scores(out / "test.scores")
    assert applied.utterances[:3] == ["t0", "t1", "u0"]
    alone = expected.apply([np.array([[3.0, 2, 1]]), np.full((1, 3), np.nan)])
    np.testing.assert_allclose(applied.loglik[0], alone[0])
    assert applied.utterances[-1] == "silent" and np.isneginf(applied.loglik[-1]).all()
    assert np.isfinite(applied.loglik[:-1]).all()
    figures = evaluate(*read_scored_trials(folder / "dev.trials", out / "dev.scores"))
    assert figures["num_without_answer"] == 1


def test_the_commands(files, capsys):
    folder, _, _ = files
    trials = ["--trials", str(folder / "dev.trials"), "--scores", str(folder / "a.scores")]

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        return ended.value.code, capsys.readouterr()

    code, _ = run("calibrate", folder / "cal", *trials, "--reject", "0.05", "--form", "temperature")
    assert code == 0 and read_calibration(folder / "cal")[1].at_most == 0.05
    code, _ = run("fuse", folder / "both", *trials, "--scores", folder / "b.scores")
    assert code == 0 and (folder / "both" / "fusion.npz").exists()
    for arguments, message in [
        (("calibrate", folder / "x", *trials, "--form", "matrix"), "--form matrix: expected affine"),
        (("calibrate", folder / "x", *trials, "--reject", "0.1", "--accept", "0.1"), "give one of them"),
        (("calibrate", folder / "x", *trials, "--accept", "0.001"), "cannot state a rate of 0.001; it takes 999"),
        (("calibrate", folder, *trials, "--apply", folder / "test.scores"), "write to another folder"),
        (("calibrate", folder / "x", *trials, *2 * ("--apply", folder / "test.scores")), "rename one"),
        (("fuse", folder / "x", *trials, "--apply", f"{folder}/a.scores,{folder}/b.scores"), "2 score files to fuse"),
    ]:
        code, said = run(*arguments)
        assert code == 2 and message in said.err
    assert not (folder / "x").exists()


def test_no_calibration_to_read(tmp_path):
    with pytest.raises(IsoglossError, match="run `isogloss calibrate` first"):
        read_calibration(tmp_path)
