"""The whole chain on whistles: what it leaves behind, what it skips, what it does after a kill."""

import json
import os

import numpy as np
import pytest

import isogloss
from isogloss.backends.open_set import certainty
from isogloss.corpora import manifest
from isogloss.frontend.store import Store, StoreWriter
from isogloss.metrics import read_scores
from isogloss.stages import features as features_stage
from isogloss.stages.calibrate import calibrate, read_calibration
from isogloss.stages.extract import Embeddings
from isogloss.stages.features import features, open_frames, telephone_key, training_key
from isogloss.stages.pack import pack
from isogloss.stages.phones import phones
from isogloss.stages.prepare import prepare, read_splits
from isogloss.stages.recipe import run_recipe
from isogloss.stages.train import train
from isogloss.systems import TABLE_1
from isogloss.types import IGNORE_PDF, OUT_OF_SET, IsoglossError


@pytest.fixture(scope="module")
def ran(corpus, tiny, tmp_path_factory):
    """Systems 1 and 5 on two of the three folds: (folder, results, the call to run it again)."""
    out = tmp_path_factory.mktemp("out")

    def run():
        return run_recipe(
            manifest.items(corpus), out, [TABLE_1["1"], TABLE_1["5"]], tiny,
            title="whistles", corpus="whistles", folds=["fold0", "fold2"], notes=["not speech"],
        )  # fmt: skip

    return out, run(), run


def test_every_arrow_is_a_file(ran):
    out, results, _ = ran
    for path in (results.metrics_json, results.report_html, results.model_file):
        assert path.stat().st_size > 1000
    assert json.loads((out / "leaks" / "leaks.json").read_text())["shared"]["train-test"]["duplicates"] == 0
    fold = out / "seed1024" / "system5" / "fold2"
    for name in ("model/model.safetensors", "model/margins.json", "model/log.jsonl", "embeddings/short.npz",
                 "backend/olr2020.npz", "scores/olr2020/open.scores", "scores/open.trials"):  # fmt: skip
        assert (fold / name).stat().st_size > 100, name


def test_a_second_run_changes_nothing_but_the_report(ran):
    out, _, run = ran
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    run()
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    allowed = {path for path in changed if "report" in path.parts or path.name in ("config.json", "model.isogloss")}
    assert changed == allowed


def test_the_store_holds_every_version_a_split_needs(ran):
    out, _, _ = ran
    stores = open_frames(out / "frames")
    for split in read_splits(out / "data").values():
        for name in split.train:
            assert training_key(name, 0.9) in stores.frames and training_key(name, 1.0) in stores.frames
        for name in split.test:
            assert name in stores.frames and telephone_key(name) in stores.frames
    for key in stores.frames:
        assert stores.voiced[key].sum() == len(stores.frames[key])
    slow, plain = (len(stores.voiced[key]) for key in (training_key("aaa2", 0.9), "aaa2"))
    assert slow == pytest.approx(plain / 0.9, abs=2)


def test_labels_lie_on_their_frames(ran):
    out, _, _ = ran
    frames, labels = open_frames(out / "frames").frames, Store(out / "pdf_ids-teacher")
    assert labels.meta["pdf_names"] == ["p300:0", "p600:0", "p900:0"]  # one teacher's phones, for every language
    assert all(frames.span(key) == labels.span(key) for key in frames)
    assert set(np.unique(labels.rows)) <= {0, 1, 2}


def test_the_conditions_are_what_they_say(ran):
    out, _, _ = ran
    folder = out / "seed1024" / "system5" / "fold0"
    full, short, unknown = (
        Embeddings.load(folder / "embeddings" / f"{n}.npz") for n in ("full", "short", "out_of_set")
    )
    assert (short.voiced_frames == np.minimum(full.voiced_frames, 40)).all()
    assert set(unknown.languages) == {OUT_OF_SET} and len(unknown.utterances) == 4
    trials = (folder / "scores" / "open.trials").read_text().splitlines()
    assert len(trials) == 3 * (len(full.utterances) + 4)
    assert sum(line.endswith("nontarget") for line in trials) == 2 * len(full.utterances) + 3 * 4


def test_folds_are_pooled_so_that_every_test_clip_counts_once(ran):
    _, results, _ = ran
    measured = json.loads(results.metrics_json.read_text())
    splits = read_splits(results.metrics_json.parents[2] / "data")
    expected = len(splits["fold0"].test) + len(splits["fold2"].test)
    for system in measured["systems"]:
        for conditions in system["backends"].values():
            assert conditions["full"]["num_utterances"] == expected
            assert conditions["open"]["num_out_of_set"] == 2 * 4
            assert conditions["full"]["accuracy"]["low"] <= conditions["full"]["accuracy"]["value"]
            assert sum(map(sum, conditions["short"]["confusion"]["counts"])) == expected
    assert measured["warnings"][0] == "not speech"
    assert measured["systems"][1]["p_mean"] == pytest.approx(0.002, rel=1e-3)


def test_the_packed_model_scores_as_the_chain_did(ran, corpus):
    """The runtime, from the audio file on, against the scores of the stages: one path, the same numbers."""
    out, results, _ = ran
    identifier = isogloss.load(results.model_file)
    assert identifier.languages == ["aaa", "bbb", "ccc"]
    provenance = identifier.manifest.provenance
    folder = out / "seed1024" / f"system{provenance['system']['id']}" / provenance["split"]
    scores = (folder / "scores" / identifier.manifest.backend / "full.scores").read_text().splitlines()
    assert scores[0].split()[1:] == identifier.languages
    for line in scores[1:]:
        name, *loglik = line.split()
        answer = identifier(corpus.parent / f"{name}.wav")
        expected = dict(zip(identifier.languages, np.exp(np.array(loglik, float)), strict=True))
        assert answer.probabilities == pytest.approx(expected, abs=5e-3)  # the chain's frames are stored as float16


def test_a_packed_threshold_makes_the_runtime_say_unknown(ran, corpus, tmp_path):
    out, _, _ = ran
    fold = out / "seed1024" / "system5" / "fold0"
    calibrated = calibrate(
        fold / "scores" / "open.trials",
        fold / "scores" / "head" / "open.scores",
        tmp_path / "cal",
        rate=("accept", 0.2),
    )
    packed = pack(fold / "model", fold / "backend", tmp_path / "x.isogloss", "head", calibration=calibrated)
    identifier = isogloss.load(packed)
    calibration, open_set = read_calibration(calibrated)
    assert identifier.open_set == open_set and open_set.num_unknown == 4
    scores = read_scores(fold / "scores" / "head" / "full.scores")
    expected = calibration.apply(scores.loglik)
    answers = [identifier(corpus.parent / f"{name}.wav") for name in scores.utterances]
    for row, answer in zip(expected, answers, strict=True):
        posteriors = dict(zip(scores.languages, np.exp(row), strict=True))
        assert answer.probabilities == pytest.approx(posteriors, abs=0.02)  # the chain's frames are stored as float16
        if abs(certainty(row[None])[0] - open_set.threshold) > 0.05:
            assert (answer.status == "unknown") == open_set.is_unknown(row[None])[0]


def test_features_go_on_after_a_kill(corpus, tiny, tmp_path, monkeypatch):
    data = prepare(manifest.items(corpus), tmp_path / "data", tiny.prepare)
    whole = open_frames(features(data, tmp_path / "whole", tiny.features))
    add, added = StoreWriter.add, []

    def dying(self, key, rows):
        if len(added) == 30:
            raise KeyboardInterrupt
        added.append(key)
        add(self, key, rows)

    monkeypatch.setattr(StoreWriter, "add", dying)
    with pytest.raises(KeyboardInterrupt):
        features(data, tmp_path / "killed", tiny.features)
    monkeypatch.undo()
    seen = []
    clips = features_stage.map_clips

    def watching(cuts, wanted, *rest):
        return clips(cuts, lambda name: wanted(name) and (seen.append(name) or True), *rest)

    monkeypatch.setattr(features_stage, "map_clips", watching)
    resumed = open_frames(features(data, tmp_path / "killed", tiny.features))
    assert 0 < len(seen) < 34
    assert list(resumed.frames) == list(whole.frames)
    for key in whole.frames:
        np.testing.assert_array_equal(resumed.frames[key], whole.frames[key])
        np.testing.assert_array_equal(resumed.voiced[key], whole.voiced[key])


def test_labels_of_other_frames_are_refused(ran, tiny, tmp_path):
    out, _, _ = ran
    with StoreWriter(tmp_path / "labels", np.int16, meta={"num_pdfs": 3, "source": "wrong"}) as writer:
        frames = open_frames(out / "frames").frames
        for key in sorted(frames, key=frames.span):
            writer.add(key, np.zeros(frames.span(key)[1] - (key == "aaa2#sp0.9")))
    (tmp_path / "labels" / "stage.json").write_text('{"stamp": "made by hand"}')
    with pytest.raises(IsoglossError, match=r"voiced frames but \d+ labels; were the labels"):
        train(out / "data", out / "frames", tmp_path / "labels", tmp_path / "model", TABLE_1["5"], tiny.train, "fold0")
    assert not (tmp_path / "model" / "model.json").exists()


def test_the_corpus_own_phone_times_become_labels(ran, tiny, tmp_path):
    out, _, _ = ran
    config = tiny.phones.model_copy(update={"source": "espeak"})
    labels = Store(phones(out / "data", out / "frames", tmp_path / "labels", config))
    name = labels.meta["pdf_names"]
    voiced = open_frames(out / "frames").voiced["aaa0"]
    expected = [["p300:0", "p600:0", "p900:0"][min(int((0.01 * t + 0.0125) / 0.7), 2)] for t in np.flatnonzero(voiced)]
    assert [name[label] for label in labels["aaa0"] if label != IGNORE_PDF] == expected


def test_a_full_disk_leaves_nothing_half_written(corpus, tiny, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("isogloss.stages.ledger.os.replace", full)
    with pytest.raises(IsoglossError, match="disk full while writing"):
        prepare(manifest.items(corpus), tmp_path / "data", tiny.prepare)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_unknown_splits_and_missing_labels_are_named(ran, corpus, tiny, tmp_path):
    out, _, _ = ran
    with pytest.raises(IsoglossError, match="no split 'fold9'; this corpus has fold0, fold1, fold2"):
        run_recipe(manifest.items(corpus), out, [TABLE_1["1"]], tiny, title="", corpus="", folds=["fold9"])
    none = tiny.model_copy(update={"phones": tiny.phones.model_copy(update={"source": "none"})})
    with pytest.raises(IsoglossError, match="systems 5 need phoneme labels"):
        run_recipe(manifest.items(corpus), tmp_path, [TABLE_1["1"], TABLE_1["5"]], none, title="", corpus="")


def test_a_corpus_may_bring_recordings_of_a_condition(corpus, tiny, tmp_path):
    """A manifest with splits, two noisy test clips and two real telephone ones: each is tested where it belongs."""
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    for row in rows:
        row["path"] = str(corpus.parent / row["path"])
        part = int(row["recording"][3:])
        row |= {"split": ("train", "train", "train", "test", "test")[part]} if row.pop("fold", None) is not None else {}
    for condition, numbers in (("noisy", (8,)), ("channel", (9,))):
        for row in rows:
            if row.get("split") == "test" and row["path"].endswith(tuple(f"{n}.wav" for n in numbers)):
                row["condition"] = condition
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = run_recipe(
        manifest.items(tmp_path / "m.jsonl"), tmp_path / "out", [TABLE_1["1"]], tiny, title="", corpus=""
    )
    measured = json.loads(results.metrics_json.read_text())
    assert measured["conditions"] == ["full", "short", "channel", "open", "noisy"]
    of = measured["systems"][0]["backends"]["olr2020"]
    assert of["noisy"]["num_utterances"] == of["channel"]["num_utterances"] == 3  # recorded, not made from the others
    assert of["full"]["num_utterances"] == of["short"]["num_utterances"] == 6
    assert of["open"]["num_out_of_set"] == 4
