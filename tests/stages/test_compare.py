"""Runs side by side: means over seeds, paired differences, what is missing."""

import json

import numpy as np
import pytest

from isogloss.stages.compare import compare, table
from isogloss.types import IsoglossError

LANGUAGES = ("aaa", "bbb")


def write_run(folder, source, seed, right, multitask=True, system="2"):
    """A run in which `right` [12] of the utterances are named right; utterances come two to a recording."""
    (folder / f"system{system}" / "fold0" / "model").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"phones": {"source": source}, "train": {"seed": seed}}))
    model = {"system": {"id": system, "multitask": multitask}}
    (folder / f"system{system}" / "fold0" / "model" / "model.json").write_text(json.dumps(model))
    scores = folder / f"system{system}" / "fold0" / "scores"
    (scores / "head").mkdir(parents=True)
    true = [LANGUAGES[u // 6] for u in range(12)]
    lines = ["utt " + " ".join(LANGUAGES)]
    for u in range(12):
        likely = np.log([0.8, 0.2]) if (u < 6) == right[u] else np.log([0.2, 0.8])
        lines.append(f"u{u} {likely[0]:.4f} {likely[1]:.4f}")
    (scores / "head" / "full.scores").write_text("\n".join(lines) + "\n")
    test = {
        "key": {f"u{u}": true[u] for u in range(12)},
        "recordings": {f"u{u}": f"r{u // 2}" for u in range(12)},
        "no_speech": [],
    }
    (scores / "tests.json").write_text(json.dumps({"full": test}))
    return folder


def right(number):
    return [u % 6 < number for u in range(12)]


def test_means_over_seeds_and_paired_differences(tmp_path):
    runs = [
        write_run(tmp_path / "a1", "gmm", 1, right(6)),
        write_run(tmp_path / "a2", "gmm", 2, right(4)),
        write_run(tmp_path / "b1", "kaldi", 1, right(3)),
        write_run(tmp_path / "b2", "kaldi", 2, right(1)),
        write_run(tmp_path / "c1", "kaldi", 1, right(2), multitask=False, system="1"),
    ]
    compared = compare(runs, num_resamples=200)
    rows = {(row["system"], row["labels"]): row for row in compared["rows"]}
    assert list(rows) == [("1", "none"), ("2", "gmm"), ("2", "kaldi")]  # a single-task system reads no labels
    gmm, kaldi = rows["2", "gmm"]["accuracy"], rows["2", "kaldi"]["accuracy"]
    assert gmm["by_seed"] == [1.0, pytest.approx(4 / 6)] and gmm["value"] == pytest.approx(5 / 6)
    assert gmm["low"] <= gmm["value"] <= gmm["high"] and rows["2", "gmm"]["seeds"] == [1, 2]
    (pair,) = [pair for pair in compared["differences"] if pair["a"] == "2 gmm" and pair["b"] == "2 kaldi"]
    assert pair["accuracy"]["value"] == pytest.approx(gmm["value"] - kaldi["value"])
    # every resample redraws the same recordings on both sides: the difference varies less than its two sides
    spread = pair["accuracy"]["high"] - pair["accuracy"]["low"]
    assert spread < (gmm["high"] - gmm["low"]) + (kaldi["high"] - kaldi["low"])
    text = table(compared)
    assert "| 2 | gmm | 2 | 0.833" in text and "| 2 gmm − 2 kaldi | 0.500" in text
    assert compare(runs, num_resamples=200) == compared


def test_what_is_missing_is_named(tmp_path):
    run = write_run(tmp_path / "a", "gmm", 1, right(6))
    with pytest.raises(IsoglossError, match=r"has no condition 'short'; it has full"):
        compare([run], condition="short")
    with pytest.raises(IsoglossError, match=r"holds no run \(no config.json\)"):
        compare([tmp_path])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_text("{}")
    with pytest.raises(IsoglossError, match="no scores in"):
        compare([tmp_path / "b"])
