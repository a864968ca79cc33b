"""Files of other tools: NIST LRE, large ones read in pieces, and what is odd about real ones."""

import json

import numpy as np
import pytest

from isogloss.metrics import (
    fields,
    read_recordings,
    read_scored_trials,
    read_scores,
    read_trials,
    write_scores,
    write_trials,
)
from isogloss.stages.evaluate import evaluate_trials
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

KEY = {"lre22_1": "ara-aeb", "lre22_2": "zho-yue", "lre22_3": "ara-aeb"}
SCORES = Scores(list(KEY), ["ara-aeb", "zho-yue"], np.array([[1.5, -2.0], [0.25, 0.5], [-3.0, 4.0]]))


def test_nist_files(tmp_path):
    (tmp_path / "key.tsv").write_text(
        "segmentid\tlanguage_code\nlre22_1\tara-aeb\nlre22_2\tzho-yue\nlre22_3\tara-aeb\n"
    )
    (tmp_path / "out.tsv").write_text(
        "segmentid\tara-aeb\tzho-yue\nlre22_3\t-3.0\t4.0\nlre22_1\t1.5\t-2.0\nlre22_2\t0.25\t0.5\n"
    )
    scores, key = read_scored_trials(tmp_path / "key.tsv", tmp_path / "out.tsv")
    assert key == KEY and scores.utterances == list(KEY) and scores.languages == SCORES.languages
    assert (scores.loglik == SCORES.loglik).all()
    assert read_trials(tmp_path / "key.tsv") == (KEY, ["ara-aeb", "zho-yue"])
    write_trials(tmp_path / "key2.tsv", KEY, SCORES.languages, form="nist")
    assert (tmp_path / "key2.tsv").read_text() == (tmp_path / "key.tsv").read_text()
    write_scores(tmp_path / "out2.tsv", SCORES, form="nist")
    assert (tmp_path / "out2.tsv").read_text().splitlines()[:2] == ["segmentid\tara-aeb\tzho-yue", "lre22_1\t1.5\t-2.0"]
    write_trials(tmp_path / "trials", KEY, SCORES.languages)
    assert evaluate_trials(tmp_path / "trials", tmp_path / "out2.tsv") == evaluate_trials(
        tmp_path / "key2.tsv", tmp_path / "out.tsv"
    )


def test_nist_key_with_other_columns_and_languages_that_were_not_enrolled(tmp_path):
    (tmp_path / "key.tsv").write_text(
        "segmentid\tdata_source\tlanguage_code\tspeech_duration\n"
        "s1\tmls14\tara-aeb\t3\ns2\t\tzho-yue\t10\ns3\tvast\tqaa\t\n"
    )
    (tmp_path / "out.tsv").write_text("segmentid\tzho-yue\tara-aeb\ns1\t0\t1\ns2\t1\t0\ns3\t0\t0\n")
    with pytest.warns(UserWarning, match="no scores for qaa; taken as out of set"):
        scores, key = read_scored_trials(tmp_path / "key.tsv", tmp_path / "out.tsv")
    assert key == {"s1": "ara-aeb", "s2": "zho-yue", "s3": OUT_OF_SET} and scores.languages == ["zho-yue", "ara-aeb"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("segmentid\tara-aeb\tzho-yue\ns1\t0\t1\n", "no language_code: is this the score file"),
        ("segmentid\tlanguage_code\n", "a header but no segments"),
        ("segmentid\tlanguage_code\ns1\n", "key:2: 's1', no segment and language"),
        ("segmentid\tlanguage_code\ns1\ta\ns1\tb\n", "key:3: 's1' is there twice"),
    ],
)
def test_bad_nist_keys(tmp_path, text, message):
    (tmp_path / "key").write_text(text)
    with pytest.raises(IsoglossError, match=message) as error:
        read_trials(tmp_path / "key")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 24])
def test_lines_in_pieces_keep_their_numbers(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(fields, "_CHUNK_BYTES", chunk)
    text = "\n \na u1  1.0\r\n\n\tb  u1 2.0\n" + "\n" * 9 + "a u2 3\n\nb u2 4"
    (tmp_path / "scores").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_scores(tmp_path / "scores").loglik.tolist() == [[1, 2], [3, 4]]
    lines = [int(n) for part in fields.read_fields(tmp_path / "scores") for n in part.line]
    assert lines == [number for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    (tmp_path / "scores").write_text(text.replace("b u2 4", "b u2 four"))
    with pytest.raises(IsoglossError, match="scores:17: 'four' is not a score"):
        read_scores(tmp_path / "scores")
    (tmp_path / "scores").write_text(text.replace("a u2 3", "a u2 3 b") + "\n")
    with pytest.raises(IsoglossError, match="scores:15: 'a u2 3 b'; expected 'language utterance score'"):
        read_scores(tmp_path / "scores")


def test_lines_whose_number_of_fields_only_comes_out_even(tmp_path):
    (tmp_path / "scores").write_text("a u1 1\nb u1\n2 a u2 3\nb u2 4\n")
    with pytest.raises(IsoglossError, match="scores:2: 'b u1'"):
        read_scores(tmp_path / "scores")


def test_a_system_without_answers_writes_minus_inf(tmp_path):
    loglik = SCORES.loglik.copy()
    loglik[1] = -np.inf
    for form in ("pairs", "matrix", "nist"):
        write_scores(tmp_path / form, Scores(SCORES.utterances, SCORES.languages, loglik), form)
        assert (read_scores(tmp_path / form).loglik == loglik).all()
    (tmp_path / "half").write_text("utt a b\nu1 0 1\nu2 -inf 1\n")
    with pytest.raises(IsoglossError, match="half:3: not a finite score, 1 in all"):
        read_scores(tmp_path / "half")


def test_evaluating_counts_what_is_missing(tmp_path):
    write_trials(tmp_path / "trials", KEY, SCORES.languages)
    (tmp_path / "scores").write_text("utt ara-aeb zho-yue\nlre22_1 1 0\nlre22_2 0 1\n")
    with pytest.warns(UserWarning, match=r"2 of the 6 trials .* counted as rejected \(1 whole utterances\)"):
        result = evaluate_trials(tmp_path / "trials", tmp_path / "scores")
    assert json.loads(json.dumps(result)) == result
    assert result["num_trials"] == 6 and result["num_without_answer"] == result["num_unscored"] == 1
    assert (result["num_missing_trials"], result["num_unknown_scored"], result["languages_ignored"]) == (2, 0, [])
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert (
        result["cavg_actual"] == result["cavg_min"] == pytest.approx(0.5 * 0.5 / 2)
    )  # half of ara-aeb missed, no more
    with pytest.raises(IsoglossError, match="2 of the 6 trials .* --missing reject"):
        evaluate_trials(tmp_path / "trials", tmp_path / "scores", missing="error")


def test_intervals_over_recordings(tmp_path):
    rng = np.random.default_rng(0)
    key = {f"u{i}": f"l{i % 2}" for i in range(40)}
    scores = Scores(list(key), ["l0", "l1"], rng.normal(size=(40, 2)) + np.eye(2)[np.arange(40) % 2])
    write_trials(tmp_path / "trials", key, scores.languages)
    write_scores(tmp_path / "scores", scores)
    (tmp_path / "utt2spk").write_text("".join(f"u{i} speaker{i // 4}\n" for i in range(40)))
    assert read_recordings(tmp_path / "utt2spk")["u5"] == "speaker1"
    intervals = evaluate_trials(tmp_path / "trials", tmp_path / "scores", tmp_path / "utt2spk")["intervals"]
    assert intervals["eer"][0] < intervals["eer"][1]
    (tmp_path / "utt2spk").write_text("u0 a b\n")
    with pytest.raises(IsoglossError, match="utt2spk:1: 'u0 a b', not 'utterance recording'"):
        read_recordings(tmp_path / "utt2spk")


def test_names_are_utf_8(tmp_path):
    (tmp_path / "scores").write_bytes("ελ u1 0\nçà u1 1\n".encode())
    assert read_scores(tmp_path / "scores").languages == ["ελ", "çà"]
    (tmp_path / "scores").write_bytes("ç u1 0\nb u1 1\n".encode("latin-1"))
    with pytest.raises(IsoglossError, match="cannot be read as text"):
        read_scores(tmp_path / "scores")
