import itertools
import json
import shutil

import numpy as np
import pytest
from toy_speech import PHONES, PHONETICS, SILENCE

from isogloss.phones.hmm.model import ARRAYS, GRAMMAR, MODEL, PhoneModel
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.types import IsoglossError

NAMES = ["sil", "ā", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def models(toy, stages):
    lm = PhoneLM.train([[word[0][0] for word in words] for words in toy.speech.words], 2, list(PHONES))
    return {
        name: PhoneModel.of(stage, NAMES, lm, with_pitch=False, normalise_variance=False, note="täst", seconds=1.5)
        for name, stage in stages.items()
    }


@pytest.mark.parametrize("name", ["mono", "tri1", "tri2b", "tri3b", "tri4b"])
def test_a_model_read_again_is_the_same(models, toy, name, tmp_path):
    model = models[name]
    again = PhoneModel.load(model.save(tmp_path / "deep" / name))
    assert (again.stage, again.phones, again.silence) == (name, ["<eps>", *NAMES], SILENCE)
    assert again.adapts == model.adapts == (name in ("tri3b", "tri4b"))
    assert again.about == model.about == {"note": "täst", "seconds": 1.5}
    cepstra = toy.speech.frames[:100]
    frames = model.frames(cepstra)
    np.testing.assert_array_equal(again.frames(cepstra), frames)
    np.testing.assert_array_equal(again.gmm.loglik(frames), model.gmm.loglik(frames))
    if model.independent is not None:
        np.testing.assert_array_equal(again.independent.loglik(frames), model.independent.loglik(frames))
    for key in ("states", "log_probs", "first_id", "pdf_of", "is_self_loop", "is_final"):
        np.testing.assert_array_equal(getattr(again.transition_model, key), getattr(model.transition_model, key))
    assert again.transition_model.topologies == model.transition_model.topologies
    assert again.tree.to_json() == model.tree.to_json() and again.pdf_names() == model.pdf_names()
    assert again.lm.log_probs.keys() == model.lm.log_probs.keys()
    assert model.save(tmp_path / "deep" / name) == tmp_path / "deep" / name  # in place of the old one
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == [name]


def test_frames_are_those_the_stage_was_trained_on(models, stages, toy):
    a, b = toy.speech.frame_start[3:5]
    for name, model in models.items():
        transform = stages[name].transforms.get(toy.speech.speakers[3])
        made = model.frames(toy.speech.frames[a:b], transform)
        np.testing.assert_allclose(made, stages[name].em.frames[a:b], atol=1e-4)


def test_a_stage_reopened_goes_on_where_it_was(models, stages, toy):
    for name, model in models.items():
        stage = stages[name]
        again = model.reopened(toy.speech, PHONETICS, stage.em.transition_ids, stage.transforms)
        np.testing.assert_allclose(again.em.frames, stage.em.frames, atol=1e-4)
        again.em.realign()
        stage_again = model.reopened(toy.speech, PHONETICS, stage.em.transition_ids, stage.transforms)
        assert (again.em.pdf_ids >= 0).all() and again.em.num_failed == 0
        np.testing.assert_array_equal(stage_again.em.transition_ids, stage.em.transition_ids)


def test_names_of_pdfs(models):
    names = models["mono"].pdf_names()
    assert names[:3] == ["sil:0", "sil:1", "sil:2"] and "b:1|c:1" in names and len(names) == 15
    assert all(":" in name for name in models["tri4b"].pdf_names())


@pytest.mark.parametrize("columns", [12, 16])
def test_cepstra_of_other_columns_are_refused(models, columns):
    with pytest.raises(IsoglossError, match=rf"\(5, {columns}\) for a model of 13 columns"):
        models["tri1"].frames(np.zeros((5, columns), dtype=np.float32))


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(IsoglossError, match=r"holds no phone model .* OUT/tri4b"):
        PhoneModel.load(tmp_path)


def test_a_model_of_another_format_is_told(models, tmp_path):
    folder = models["mono"].save(tmp_path / "mono")
    values = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    (folder / MODEL).write_text(json.dumps(values | {"format": 99}), encoding="utf-8")
    with pytest.raises(IsoglossError, match="format 99; this version reads 1"):
        PhoneModel.load(folder)


def test_a_model_copied_in_part_is_told(models, tmp_path):
    whole = models["tri1"].save(tmp_path / "whole")
    for name, cut in [*itertools.product((MODEL, ARRAYS), (0, 200, None)), (GRAMMAR, 0), (GRAMMAR, None)]:
        folder = tmp_path / f"{name}{cut}"
        shutil.copytree(whole, folder)
        if cut is None and name != MODEL:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes((whole / name).read_bytes()[: cut or 0])
        with pytest.raises(IsoglossError):
            PhoneModel.load(folder)
