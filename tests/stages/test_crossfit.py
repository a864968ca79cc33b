"""Cross-fitted enrolment: what fold models are trained on, how their embeddings are mapped, and that back ends enrol on them."""

import json
import shutil

import numpy as np
import pytest

from isogloss.backends import make_backend
from isogloss.config import BackendConfig, EvaluateConfig, override
from isogloss.corpora import manifest
from isogloss.stages.backend import backend, read_backend
from isogloss.stages.crossfit import Similarity, crossfit
from isogloss.stages.extract import Embeddings, extract
from isogloss.stages.prepare import read_split
from isogloss.stages.recipe import run_recipe
from isogloss.systems import TABLE_1
from isogloss.types import IsoglossError


@pytest.fixture(scope="module")
def ran(corpus, tiny, tmp_path_factory):
    """System 1 on one fold with two fold models, by the recipe: (its folder, the call to run it again)."""
    out = tmp_path_factory.mktemp("out")
    config = override(tiny, ["backend.fold_models=2"])

    def run():
        return run_recipe(
            manifest.items(corpus), out, [TABLE_1["1"]], config, title="whistles", corpus="whistles", folds=["fold0"]
        )

    run()
    return out, run


def test_every_training_utterance_is_embedded_by_a_network_that_has_not_seen_it(ran):
    out, _ = ran
    folder = out / "seed1024" / "system1" / "fold0"
    train = read_split(out / "data", "fold0").train
    with np.load(folder / "crossfit" / "unseen.npz") as arrays:
        unseen = {key: arrays[key] for key in arrays}
    assert sorted(unseen["utterances"].tolist()) == sorted(train)
    assert unseen["languages"].tolist() == [name[:3] for name in unseen["utterances"]]
    assert unseen["far"].shape == (len(train), 8) and np.isfinite(unseen["far"]).all()
    for number in (1, 2):
        part = read_split(out / "data", f"fold0.part{number}of2")
        trained_on = folder / "crossfit" / f"part{number}of2"
        assert json.loads((trained_on / "model" / "model.json").read_text())["num_chunks"] > 0
        embedded = Embeddings.load(trained_on / "embeddings" / "enrol.npz")
        assert embedded.utterances == part.enrol and not set(part.enrol) & set(part.train)
        rows = [unseen["utterances"].tolist().index(name) for name in part.enrol]
        pairs = np.linalg.norm(embedded.far[:, None] - embedded.far[None], axis=2)
        mapped = np.linalg.norm(unseen["far"][rows][:, None] - unseen["far"][rows][None], axis=2)
        ratio = mapped[pairs > 0] / pairs[pairs > 0]
        assert ratio.std() < 1e-4 * ratio.mean()  # turned, scaled and shifted, nothing else


def test_back_ends_enrol_on_both_and_say_so(ran):
    out, _ = ran
    folder = out / "seed1024" / "system1" / "fold0"
    seen, copies = (Embeddings.load(folder / "embeddings" / f"{name}.npz") for name in ("enrol", "enrol.copies"))
    assert copies.utterances == seen.utterances  # at speed 0.9; 1.0 is no other sound
    assert not np.allclose(copies.far, seen.far)
    with np.load(folder / "crossfit" / "unseen.npz") as arrays:
        far = np.concatenate([seen.far.astype(float), copies.far.astype(float), arrays["far"]])
        languages = seen.languages + copies.languages + arrays["languages"].tolist()
    expected = make_backend("olr2020").fit(far, languages)
    probe = np.random.default_rng(0).normal(size=(5, 8))
    assert np.allclose(read_backend(folder / "backend" / "olr2020.npz").loglik(probe), expected.loglik(probe))
    assert json.loads((folder / "backend" / "stage.json").read_text())["enrolment"].startswith("cross-fitted")
    page = (out / "seed1024" / "report" / "report.html").read_text()
    assert "and their training copies (cross-fitted: embedded by the network" in page


def test_a_second_run_trains_nothing(ran):
    out, run = ran
    before = {path: path.stat().st_mtime_ns for path in (out / "seed1024" / "system1").rglob("*") if path.is_file()}
    run()
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_without_them_a_back_end_enrols_on_the_seen_alone(ran, tmp_path):
    out, _ = ran
    folder = out / "seed1024" / "system1" / "fold0"
    shutil.copytree(folder / "embeddings", tmp_path / "embeddings")
    config = EvaluateConfig(short_frames=40, enrol_copies=False)
    embeddings = extract(out / "data", out / "frames", folder / "model", tmp_path / "embeddings", config, "fold0")
    assert not (embeddings / "enrol.copies.npz").exists()  # left over from the call before
    made = backend(embeddings, folder / "model", tmp_path / "seen", BackendConfig(names=("olr2020",)))
    about = json.loads((made / "stage.json").read_text())
    num_train = len(read_split(out / "data", "fold0").train)
    assert about["enrolment"] is None and about["copies"] == 0 and about["enrolled"] == num_train


def test_an_enrolment_set_of_its_own_needs_none(ran, tmp_path):
    out, _ = ran
    splits = json.loads((out / "data" / "splits.json").read_text())
    own = splits["fold0"] | {"enrol": splits["fold0"]["valid"], "valid": []}
    (tmp_path / "splits.json").write_text(json.dumps({"fold0": own}))
    model = out / "seed1024" / "system1" / "fold0" / "model"
    assert crossfit(tmp_path, out / "frames", None, model, tmp_path / "made", "fold0", 2) is None
    assert not (tmp_path / "made").exists()


def test_bad_input_says_what_to_do(ran, tmp_path):
    out, _ = ran
    model = out / "seed1024" / "system1" / "fold0" / "model"
    with pytest.raises(IsoglossError, match="1 fold model; expected 2 or more"):
        crossfit(out / "data", out / "frames", None, model, tmp_path / "x", "fold0", 1)
    with pytest.raises(IsoglossError, match="no split 'fold0.part1of' in"):
        read_split(out / "data", "fold0.part1of")
    with pytest.raises(IsoglossError, match="part 9 of 9 is empty"):
        read_split(out / "data", "fold0.part9of9")
    splits = json.loads((out / "data" / "splits.json").read_text())
    (tmp_path / "splits.json").write_text(json.dumps({"fold0": splits["fold0"] | {"valid": []}}))
    with pytest.raises(IsoglossError, match="no validation utterance.*backend.fold_models=0"):
        crossfit(tmp_path, out / "frames", None, model, tmp_path / "x", "fold0", 2)


def test_the_map_finds_a_rotation_scale_and_shift_and_bears_noise():
    draw = np.random.default_rng(1)
    source = draw.normal(size=(40, 6)) * [3, 2, 1, 1, 1, 0.5]
    rotation, _ = np.linalg.qr(draw.normal(size=(6, 6)))
    goal = 1.7 * source @ rotation + draw.normal(size=6)
    found = Similarity(source, goal)
    assert found.explained == pytest.approx(1) and np.allclose(found(source[:3]), goal[:3])
    noisy = Similarity(source, goal + 0.1 * draw.normal(size=goal.shape))
    assert 0.99 < noisy.explained < 1 and np.abs(noisy(source) - goal).max() < 0.3
    unrelated = Similarity(source, draw.normal(size=(40, 6)))
    assert unrelated.explained < 0.5 and np.linalg.norm(unrelated.matrix) < np.linalg.norm(found.matrix)
    assert np.isfinite(Similarity(np.ones((4, 3)), np.ones((4, 3)))(np.ones((2, 3)))).all()
