"""Scores from phone sequences, and of several systems as one."""

import json

import numpy as np
import pytest

from isogloss.config import EvaluateConfig
from isogloss.corpora import manifest
from isogloss.metrics import accuracy, read_scored_trials, read_scores
from isogloss.stages.features import features, open_frames
from isogloss.stages.fused_scores import fused_scores
from isogloss.stages.phonotactic_scores import phonotactic_scores
from isogloss.stages.prepare import prepare, read_splits
from isogloss.types import IsoglossError

CONFIG = EvaluateConfig(short_frames=40)


@pytest.fixture(scope="module")
def prepared(corpus, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    data = prepare(manifest.items(corpus), out / "data", tiny.prepare)
    return data, features(data, out / "frames", tiny.features)


@pytest.fixture(scope="module")
def decoded(prepared, tmp_path_factory):
    """Three phones a clip, in the language's own order (as its tones are); one test clip has none."""
    out = tmp_path_factory.mktemp("decoded")
    order = {"aaa": "xyz", "bbb": "zyx", "ccc": "yxy", "ooo": "zzx"}
    silent = read_splits(prepared[0])["fold0"].test[0]
    lines = [
        f"{name} 1 {0.7 * place:.2f} 0.70 {phone}\n"
        for name in open_frames(prepared[1]).frames
        if "#" not in name and name != silent
        for place, phone in enumerate(order[name[:3]])
    ]
    (out / "phones.ctm").write_text("".join(lines))
    return out, silent


def test_phone_sequences_tell_the_language_and_a_clip_without_phones_has_no_answer(prepared, decoded, tmp_path):
    folder, silent = decoded
    out = phonotactic_scores(*prepared, folder, tmp_path / "phones", CONFIG, "fold0")
    scores, key = read_scored_trials(out / "full.trials", out / "phones" / "full.scores", missing="reject")
    row = scores.utterances.index(silent)
    assert np.isneginf(scores.loglik[row]).all() and np.isfinite(np.delete(scores.loglik, row, axis=0)).all()
    right = {
        u: scores.languages[best] == key[u] for u, best in zip(scores.utterances, scores.loglik.argmax(1), strict=True)
    }
    assert [u for u, hit in right.items() if not hit and u != silent] == []
    tests = json.loads((out / "tests.json").read_text())
    assert set(tests) == {"valid", "full", "short", "open"} and tests["full"]["no_speech"] == [silent]
    assert np.isneginf(read_scores(out / "phones" / "channel.scores").loglik).all()  # nobody decoded those


def test_the_short_condition_reads_the_first_phones_alone(prepared, decoded, tmp_path):
    out = phonotactic_scores(*prepared, decoded[0], tmp_path / "phones", CONFIG, "fold0")
    full, short = (read_scores(out / "phones" / f"{name}.scores") for name in ("full", "short"))
    heard = [u for u in full.utterances if u != decoded[1]]
    row = full.utterances.index(heard[0])
    # one phone for three: less is said
    assert np.ptp(short.loglik[row]) < np.ptp(full.loglik[row])
    assert short.loglik[row].max() > full.loglik[row].max()  # of fewer phones, each a factor below 1


def test_phones_of_other_clips_are_refused(prepared, tmp_path):
    (tmp_path / "phones.ctm").write_text("stranger 1 0.00 0.70 x\n")
    with pytest.raises(IsoglossError, match="no phones of the training clips"):
        phonotactic_scores(*prepared, tmp_path, tmp_path / "out", CONFIG, "fold0")


def system(folder, seed, size=40, conditions=("valid", "full")):
    """A scores folder of a system that is right more often than not, in its own way."""
    rng = np.random.default_rng(seed)
    languages, tests = ["aaa", "bbb", "ccc"], {}
    (folder / "head").mkdir(parents=True)
    for number, condition in enumerate(conditions):
        truth = np.random.default_rng(number).integers(3, size=size)
        names = [f"{condition}{row}" for row in range(size)]
        loglik = 1.2 * np.eye(3)[truth] + rng.normal(size=(size, 3))
        rows = [" ".join([name, *map(repr, row.tolist())]) for name, row in zip(names, loglik, strict=True)]
        (folder / "head" / f"{condition}.scores").write_text("\n".join(["utt " + " ".join(languages), *rows]) + "\n")
        trials = [
            f"{language} {name} {'target' if languages[c] == language else 'nontarget'}\n"
            for name, c in zip(names, truth, strict=True)
            for language in languages
        ]
        (folder / f"{condition}.trials").write_text("".join(trials))
        key = {name: languages[c] for name, c in zip(names, truth, strict=True)}
        tests[condition] = {"languages": languages, "no_speech": [], "key": key, "recordings": {n: n for n in names}}
    (folder / "tests.json").write_text(json.dumps(tests))
    (folder / "stage.json").write_text(json.dumps({"stamp": f"by hand {seed}"}))
    return folder, "head"


def test_fused_systems_beat_each_of_them(tmp_path):
    systems = [system(tmp_path / name, seed, size=400) for seed, name in enumerate("abc")]
    out = fused_scores(systems, tmp_path / "fused", "three fused")

    def right(folder, name):
        return accuracy(*read_scored_trials(folder / "full.trials", folder / name / "full.scores"))

    assert right(out, "fusion") > max(right(*one) for one in systems) + 0.05
    weights = json.loads((out / "fusion" / "fusion.json").read_text())["weights"]
    assert len(weights) == 3 and all(value > 0 for value in weights.values())
    valid = read_scores(out / "fusion" / "valid.scores")
    assert valid.utterances == [f"valid{row}" for row in range(400)]
    before = (out / "fusion" / "full.scores").stat().st_mtime_ns
    fused_scores(systems, tmp_path / "fused", "three fused")
    assert (out / "fusion" / "full.scores").stat().st_mtime_ns == before  # finished work is skipped


def test_a_system_without_a_condition_is_named(tmp_path):
    systems = [system(tmp_path / "a", 0), system(tmp_path / "b", 1, conditions=("valid",))]
    with pytest.raises(IsoglossError, match=r"b/head/full\.scores is not there; fusion needs every condition"):
        fused_scores(systems, tmp_path / "fused", "two fused")
