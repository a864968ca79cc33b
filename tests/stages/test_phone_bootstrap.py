"""A neural acoustic model from a stage's alignment of made-up words: what it hears, what it leaves, when it is made again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from phone_words import RATE, say

from isogloss.config import BootstrapConfig, override
from isogloss.corpora import manifest
from isogloss.corpora.transcribed import table
from isogloss.phones.hmm.labeller import LabelOptions, load_labeller
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.lexicon import read_lexicon
from isogloss.stages import phone_bootstrap
from isogloss.stages.phone_bootstrap import bootstrap
from isogloss.stages.phone_model import train_phones
from isogloss.stages.prepare import prepare, read_split
from isogloss.types import IsoglossError

pytestmark = pytest.mark.usefixtures("in_place")
QUICK = BootstrapConfig(copies=1, epochs=2, self_training_rounds=1)


@pytest.fixture
def items(words):
    return table(words.table)


@pytest.fixture
def heard(monkeypatch):
    """Names of the clips whose audio is read."""
    names, samples = [], phone_bootstrap._samples
    monkeypatch.setattr(phone_bootstrap, "_samples", lambda name, of: names.append(name) or samples(name, of))
    return names


@pytest.fixture
def learnt(monkeypatch):
    """What self-training is given, instead of it: (recording, samples)."""
    given = []
    monkeypatch.setattr(
        phone_bootstrap, "self_train", lambda neural, _, untranscribed, *rest: given.extend(untranscribed) or neural
    )
    return given


@pytest.fixture(scope="module")
def data(corpus, tiny, tmp_path_factory):
    """The whistles, prepared."""
    return prepare(manifest.items(corpus), tmp_path_factory.mktemp("whistles") / "data", tiny.prepare)


def labels(folder):
    samples, _ = say(["mis", "osa"], np.random.default_rng(9))
    labeller = load_labeller(folder, LabelOptions())
    (path,) = labeller.paths([samples])
    return labeller.model, path


def test_it_learns_the_training_clips_and_labels_audio(phone_model, items, heard, tmp_path):
    out = bootstrap(items, phone_model / "mono", tmp_path / "robust", QUICK.model_copy(update={"epochs": 20}))
    assert sorted(heard) == sorted(item.id for item in items if item.use == "train")
    assert json.loads((out / "stage.json").read_text())["accuracy"] > 0.7
    model, path = labels(out)
    assert model.num_pdfs == PhoneModel.load(phone_model / "mono").num_pdfs
    phones = [model.phones[phone] for phone, *_ in model.transition_model.phone_segments(path)]
    assert [phone for phone in phones if phone != "sil"] == ["m", "i", "s", "o", "s", "a"]


def test_it_is_made_once_and_again_for_other_options(phone_model, items, heard, tmp_path):
    out = bootstrap(items, phone_model / "tri1", tmp_path / "robust", QUICK)
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    heard.clear()
    assert bootstrap(items, phone_model / "tri1", out, QUICK) == out and not heard
    again = bootstrap(items, phone_model / "tri1", tmp_path / "again", QUICK)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == files
    bootstrap(items, phone_model / "tri1", out, QUICK.model_copy(update={"epochs": 3}))
    assert (out / "neural.safetensors").read_bytes() != files["neural.safetensors"]
    bootstrap(items, phone_model / "mono", out, QUICK)  # and for another stage
    assert PhoneModel.load(out).stage == "mono"
    assert not list(tmp_path.glob("*.part"))


def test_it_learns_from_other_audio_too(phone_model, items, tmp_path, heard):
    (tmp_path / "audio").mkdir()
    for number in range(3):
        samples, _ = say(["moa", "ami", "iso"], np.random.default_rng(number))
        soundfile.write(tmp_path / "audio" / f"{number}.wav", samples, RATE)
    (tmp_path / "audio" / "text.wav").write_text("not audio")
    soundfile.write(tmp_path / "audio" / "short.wav", samples[:500], RATE)
    out = bootstrap(items, phone_model / "mono", tmp_path / "out", QUICK, tmp_path / "audio")
    assert set(heard) == {item.id for item in items if item.use == "train"} | {"0", "1", "2", "short"}
    kept = json.loads((out / "stage.json").read_text())["self_training"]
    assert len(kept) == 1 and 0 <= kept[0] <= 1
    assert (labels(out)[1] > 0).all()
    heard.clear()
    (tmp_path / "audio" / "2.wav").unlink()
    (tmp_path / "audio" / "text.wav").unlink()
    bootstrap(items, phone_model / "mono", out, QUICK, tmp_path / "audio")  # other audio in the same place
    assert {"0", "1", "short"} <= set(heard)


def test_of_a_prepared_corpus_only_the_training_clips_are_heard(phone_model, items, data, heard, learnt, tmp_path):
    out = bootstrap(items, phone_model / "mono", tmp_path / "out", QUICK, data, "fold1")
    split = read_split(data, "fold1")
    own = {item.id for item in items if item.use == "train"}
    assert set(heard) - own == set(split.train) and not set(heard) & {*split.test, *split.valid}
    assert len(learnt) == len(split.train)
    recordings = {name for name, _ in learnt}
    assert {name.removesuffix(name[-1]) for name in recordings} == {"aaa", "bbb", "ccc"}
    heard.clear()
    bootstrap(items, phone_model / "mono", out, QUICK, data, "fold1")
    assert not heard
    bootstrap(items, phone_model / "mono", out, QUICK, data, "fold0")  # another fold hears other clips
    assert set(heard) - own == set(read_split(data, "fold0").train)


def test_a_model_with_pitch_too(items, words, tiny_phones, tmp_path):
    config = override(tiny_phones, ["with_pitch=true"])
    model = train_phones(items, read_lexicon(words.lexicon), tmp_path / "model", config, "mono")
    assert labels(bootstrap(items, model / "mono", tmp_path / "out", QUICK))[1].min() > 0


def test_bad_input_is_named_before_anything_is_trained(phone_model, items, data, heard, tmp_path):
    def refused(message, items=items, stage=phone_model / "mono", out=tmp_path / "out", **more):
        before = sorted(out.iterdir()) if out.exists() else None
        with pytest.raises(IsoglossError, match=message):
            bootstrap(items, stage, out, QUICK, **more)
        assert not heard and (sorted(out.iterdir()) if out.exists() else None) == before

    lacking = [item for item in items if item.use == "train"][1:]
    refused(
        "1 of the 40 utterances that .*mono aligned are not in this corpus, such as ann/00; is it the corpus", lacking
    )
    refused("holds no phone model .*such as OUT/tri4b", stage=phone_model)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    refused("mine holds something else; give a folder of its own", out=tmp_path / "mine")
    refused("mono holds something else", out=phone_model / "mono")
    refused("split fold0 of what", split="fold0")
    refused("is a prepared corpus; say which split", untranscribed=data)
    refused("no split 'fold9' in .*; it has fold0, fold1, fold2", untranscribed=data, split="fold9")
    refused("splits.json is not there", untranscribed=phone_model, split="fold0")
    refused("nothing to read in .*mine", untranscribed=tmp_path / "mine")


def test_audio_that_is_not_what_was_aligned_is_refused(phone_model, items, tmp_path):
    soundfile.write(tmp_path / "other.wav", np.zeros(RATE), RATE)
    changed = [replace(item, path=tmp_path / "other.wav") if item.id == "ann/00" else item for item in items]
    with pytest.raises(IsoglossError, match=r"utterance ann/00 of ann: .*are 98 frames, but the alignment has"):
        bootstrap(changed, phone_model / "mono", tmp_path / "out", QUICK)
