import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.metrics import (
    mark_out_of_set,
    read_scored_trials,
    read_scores,
    read_trials,
    write_scores,
    write_trials,
)
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

KEY = {"u1": "zh", "u2": OUT_OF_SET, "u3": "nan"}
LANGUAGES = ["zh", "nan"]  # nan: Min Nan in ISO 639-3
SCORES = Scores(list(KEY), LANGUAGES, np.array([[-0.1, -2.5], [1e-17, -1 / 3], [-700.0, 3.0]]))


@pytest.mark.parametrize("form", ["pairs", "matrix"])
def test_scores_and_key_come_back(tmp_path, form):
    write_trials(tmp_path / "trials", KEY, LANGUAGES)
    write_scores(tmp_path / "scores", SCORES, form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores", "trials"]
    key, languages = read_trials(tmp_path / "trials")
    assert key == KEY and languages == LANGUAGES
    scores, key = read_scored_trials(tmp_path / "trials", tmp_path / "scores")
    assert key == KEY and scores.utterances == list(KEY) and scores.languages == LANGUAGES
    assert (scores.loglik == SCORES.loglik).all()
    assert (read_scores(tmp_path / "scores").loglik == SCORES.loglik).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    st.sampled_from(["pairs", "matrix"]),
)
def test_every_float_survives_the_text(tmp_path_factory, values, form):
    path = tmp_path_factory.mktemp("floats") / "scores"
    write_scores(path, Scores(["0001", "0002"], ["a", "b"], np.array(values).reshape(2, 2)), form)
    assert read_scores(path).loglik.ravel().tolist() == values


def test_olr_matrix_without_corner_and_lines_in_any_order(tmp_path):
    (tmp_path / "trials").write_text("zh u1 target\njp u1 nontarget\nzh u2 nontarget\njp u2 target\n")
    (tmp_path / "scores").write_text("      jp zh\n\nu2 0.5 -1\nu1 2 3e0\n")
    scores, _ = read_scored_trials(tmp_path / "trials", tmp_path / "scores")
    assert scores.utterances == ["u1", "u2"] and scores.languages == ["zh", "jp"]
    assert scores.loglik.tolist() == [[3.0, 2.0], [-1.0, 0.5]]


def test_missing_trials_are_counted_and_rejected_on_request(tmp_path):
    write_trials(tmp_path / "trials", KEY, LANGUAGES)
    (tmp_path / "scores").write_text("zh u1 -0.5\nnan u3 -9\nnan u1 -3\n")
    with pytest.raises(IsoglossError, match="3 of the 6 trials"):
        read_scored_trials(tmp_path / "trials", tmp_path / "scores")
    with pytest.warns(UserWarning, match="3 of the 6 trials"):
        scores, _ = read_scored_trials(tmp_path / "trials", tmp_path / "scores", missing="reject")
    assert scores.loglik.tolist() == [[-0.5, -3.0], [-np.inf, -np.inf], [-9.0, -9.0]]  # u2 has no answer at all
    with pytest.raises(IsoglossError, match=r"1 of 4 scores are missing, first 'zh' on 'u3'"):
        read_scores(tmp_path / "scores")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no scores in it"),
        ("utt a b\n", "a header but no scores"),
        ("a u1 0.5\na u1 0.5\nb u1 0.5\n", "1 trials are scored more than once, first 'a' on 'u1'"),
        ("utt a b\nu1 1 2\nu1 1 2\n", "2 trials are scored more than once"),
        ("a u1 nan\nb u1 inf\n", "scores:1: not a finite score, 2 in all"),
        ("utt a b\nu1 1 2\nu2 nan 2\n", "scores:3: not a finite score, 1 in all"),
        ("a u1 0.5\nb u1\n", "scores:2: 'b u1'; expected 'language utterance score'"),
        ("utt a b\nu1 1\n", "scores:2: 1 scores; line 1 names 2 languages"),
        ("a u1 high\nb u1 low\n", "scores:1: 'high' is not a score"),
    ],
)
def test_bad_score_files(tmp_path, text, message):
    (tmp_path / "scores").write_text(text)
    with pytest.raises(IsoglossError, match=message) as error:
        read_scores(tmp_path / "scores")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "0 trials"),
        ("a u1 yes\n", "trials:1: 'a u1 yes', not 'language utterance target|nontarget'"),
        ("a u1 target\na u1 target\n", "trials:2: .* there twice"),
        ("a u1 target\nb u1 target\n", "trials:2: 'u1' is a target of a and of b"),
        ("a u1 target\nb u1 nontarget\na u2 target\n", "3 trials, 1 missing of 2 utterances × 2 languages"),
    ],
)
def test_bad_trial_files(tmp_path, text, message):
    (tmp_path / "trials").write_text(text)
    with pytest.raises(IsoglossError, match=message):
        read_trials(tmp_path / "trials")


def test_names_that_do_not_fit_together(tmp_path):
    write_trials(tmp_path / "trials", KEY, LANGUAGES)
    (tmp_path / "scores").write_text("zh u9 -0.5\nnan u9 1\n")
    with pytest.raises(IsoglossError, match=r"1 names are not in .*'u9'"):
        read_scored_trials(tmp_path / "trials", tmp_path / "scores")
    with pytest.raises(IsoglossError, match="the key has nan, not among the languages zh"):
        write_trials(tmp_path / "other", KEY, ["zh"])
    with pytest.raises(IsoglossError, match="'u 1' is empty or has whitespace"):
        write_scores(tmp_path / "other", Scores(["u 1"], ["a", "b"], np.zeros((1, 2))))
    with pytest.raises(IsoglossError, match="cannot be read"):
        read_scores(tmp_path / "absent")
    assert not (tmp_path / "other").exists()


def test_mark_out_of_set():
    assert mark_out_of_set({"u1": "zh", "u2": "el"}, ["zh"]) == {"u1": "zh", "u2": OUT_OF_SET}
