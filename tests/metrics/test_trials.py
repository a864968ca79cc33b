import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.metrics import (
    cavg_olr,
    mark_out_of_set,
    read_scored_trials,
    read_scores,
    read_trials,
    write_scores,
    write_trials,
)
from isogloss.metrics.trial_files import Unmatched
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


@pytest.mark.parametrize("shift", [0.0, 100.0, -100.0])
def test_a_missing_trial_is_as_the_lowest_of_the_file_wherever_that_is(tmp_path, shift):
    write_trials(tmp_path / "trials", {"u1": "a", "u2": "b"}, ["a", "b"])
    (tmp_path / "scores").write_text(f"b u1 {shift - 1}\na u2 {shift + 0.5}\nb u2 {shift + 0.75}\n")
    with pytest.warns(UserWarning, match="1 of the 4 trials"):
        scores, key = read_scored_trials(tmp_path / "trials", tmp_path / "scores", missing="reject")
    assert (scores.loglik - shift).tolist() == [[-1, -1], [0.5, 0.75]]
    assert cavg_olr(scores, key) == 0.25  # a missed, b never accepted wrongly


def test_half_an_utterance_missing_and_the_rest_without_answer_is_no_answer(tmp_path):
    write_trials(tmp_path / "trials", {"u1": "a", "u2": "b"}, ["a", "b"])
    (tmp_path / "scores").write_text("a u1 -inf\na u2 5\nb u2 6\n")
    with pytest.warns(UserWarning, match="1 of the 4 trials"):
        scores, _ = read_scored_trials(tmp_path / "trials", tmp_path / "scores", missing="reject")
    assert scores.loglik.tolist() == [[-np.inf, -np.inf], [5, 6]]


def test_what_only_one_file_has_is_counted(tmp_path):
    write_trials(tmp_path / "trials", {"u1": "a", "u2": "b", "u3": "c"}, ["a", "b", "c"])
    (tmp_path / "scores").write_text("d u1 9\na u1 3\nb u1 1\na u9 7\nb u8 2\na u2 0.5\n")
    files = tmp_path / "trials", tmp_path / "scores"
    with pytest.raises(IsoglossError, match=r"3 names are not in .*, first 'u9'; do the two files belong"):
        read_scored_trials(*files, missing="reject")
    with pytest.warns(UserWarning) as warned:
        scores, _ = read_scored_trials(*files, missing="reject", extra="ignore")
    said = " ".join(str(warning.message) for warning in warned)
    assert "3 names are not in" in said and "6 of the 9 trials" in said and "1 whole utterances, all of c" in said
    assert scores.loglik.tolist() == [[3, 1, 0.5], [0.5] * 3, [-np.inf] * 3]  # d and u9 have no part in it
    assert scores.unmatched == Unmatched(1, 6, 2, ["d"])
    for text in ("a u9 1\nb u9 2\n", "x u1 1\ny u1 2\n"):
        (tmp_path / "scores").write_text(text)
        with pytest.raises(IsoglossError, match="do the two files belong to the same test set"):
            read_scored_trials(*files, missing="reject", extra="ignore")


@pytest.mark.parametrize("text", ["u1 zh 1\nu1 nan 2\nu2 zh 3\n", "utt u1 u2 u3\nzh 1 2 3\nnan 1 2 3\n"])
def test_languages_and_utterances_in_each_others_place(tmp_path, text):
    write_trials(tmp_path / "trials", KEY, LANGUAGES)
    (tmp_path / "scores").write_text(text)
    with pytest.raises(IsoglossError, match="languages and utterances stand in each other's place"):
        read_scored_trials(tmp_path / "trials", tmp_path / "scores", extra="ignore")


@pytest.mark.parametrize("corner", ["utt", "segmentid", "utterance", "lang", "#utt", "0001", ""])
@pytest.mark.parametrize("languages", [["a"], ["a", "b"], ["nan", "b"], ["nan", "b", "c"], ["a", "b", "nan"]])
def test_any_corner_word_of_a_matrix(tmp_path, corner, languages):
    values = np.arange(2.0 * len(languages)).reshape(2, -1)
    rows = [f"000{u} {' '.join(map(str, row))}" for u, row in enumerate(values)]
    (tmp_path / "scores").write_text("\n".join([" ".join([corner, *languages]), *rows]))
    scores = read_scores(tmp_path / "scores")
    assert (scores.utterances, scores.languages) == (["0000", "0001"], languages)
    assert (scores.loglik == values).all()


def test_pairs_of_utterances_and_languages_that_look_like_numbers(tmp_path):
    (tmp_path / "scores").write_text("zh 0001 0.5\nnan 0001 1\nzh 0002 -inf\nnan 0002 -inf\n")
    scores = read_scores(tmp_path / "scores")
    assert scores.utterances == ["0001", "0002"] and scores.languages == ["zh", "nan"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no scores in it"),
        ("utt a b\n", "a header but no scores"),
        ("a u1 0.5\na u1 0.5\nb u1 0.5\n", "1 trials are scored more than once, first 'a' on 'u1'"),
        ("utt a b\nu1 1 2\nu1 1 2\n", "2 trials are scored more than once"),
        (
            "a u1 nan\nb u1 inf\n",
            "scores:1: not a finite score, 2 in all; .* Leave the utterance out, or write -inf for all",
        ),
        ("a 0001 nan\nb 0001 0.5\n", "scores:1: not a finite score"),
        ("1 2 3 4\n2 3 4 5\n", "expected 'language utterance score', or a header line of the languages"),
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
