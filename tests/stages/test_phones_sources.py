"""Labels from a phone model and from elsewhere, on whistles: whose frames they are, what a kill and bad input do."""

import json
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from isogloss.config import PhonesConfig
from isogloss.corpora import manifest
from isogloss.frontend.cmvn import cmvn, cmvn_stats
from isogloss.frontend.deltas import deltas
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.perturb import perturb_speed, perturb_volume
from isogloss.frontend.store import Store, StoreWriter
from isogloss.phones.hmm.decode import Decoder
from isogloss.phones.hmm.gmm import PackedGmm
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.phones.hmm.topology import TransitionModel, left_to_right
from isogloss.phones.hmm.tree import ContextTree
from isogloss.stages import decoded_labels, recipe
from isogloss.stages.clips import draw
from isogloss.stages.features import features, open_frames
from isogloss.stages.phones import phones
from isogloss.stages.prepare import prepare, read_splits
from isogloss.stages.train import train
from isogloss.systems import SINGLE_TASK, TABLE_1
from isogloss.types import IGNORE_PDF, IsoglossError

NAMES = ["sil", "p300", "p450", "p600", "p900", "p1200"]
TONES = {"aaa": ("p300", "p600", "p900"), "bbb": ("p900", "p600", "p300"), "ccc": ("p450", "p1200", "p450")}


@pytest.fixture(scope="module")
def made(corpus, tiny, tmp_path_factory):
    """(prepared, frames) of the whistles."""
    out = tmp_path_factory.mktemp("made")
    data = prepare(manifest.items(corpus), out / "data", tiny.prepare)
    return data, features(data, out / "frames", tiny.features)


def cepstra(samples):
    return mfcc(samples, 16000, num_ceps=13, low_freq=20.0, high_freq=0.0, use_energy=False)


def normalised(utterances):
    return [cmvn(of, sum(map(cmvn_stats, utterances))) for of in utterances]


@pytest.fixture(scope="module")
def model_folder(corpus, tmp_path_factory):
    """A monophone model of the tones, one Gaussian a phone, from the clips whose time is known; its silence is never heard."""
    frames = {name: [] for name in NAMES}
    for language, tones in TONES.items():
        for number in range(4):
            (of,) = normalised([cepstra(soundfile.read(corpus.parent / f"{language}{number}.wav")[0])])
            seconds = 0.01 * np.arange(len(of)) + 0.0125
            for index, tone in enumerate(tones):
                frames[tone].append(deltas(of)[(seconds >= 0.7 * index) & (seconds < 0.7 * (index + 1))])
    frames["sil"].append(np.random.default_rng(0).normal(60, 1, (50, 39)))
    spoken = [np.concatenate(frames[name]) for name in NAMES]
    inverse = np.stack([1 / (of.var(0) + 0.1) for of in spoken]).astype(np.float32)
    gmm = PackedGmm(
        np.arange(7, dtype=np.int32), np.zeros(6, np.float32), np.stack([x.mean(0) for x in spoken]).astype("f"), inverse
    )  # fmt: skip
    states = np.array([[phone, state, phone - 1] for phone in range(1, 7) for state in range(3)], np.int32)
    transitions = TransitionModel.initial({phone: left_to_right(3) for phone in range(1, 7)}, states)
    tree = ContextTree(1, 0, {"key": 0, "table": {phone: phone - 1 for phone in range(1, 7)}}, 6)
    lm = PhoneLM.train([[1 + NAMES.index(tone) for tone in tones] for tones in TONES.values()], 2)
    model = PhoneModel("mono", ["<eps>", *NAMES], 1, transitions, tree, gmm, None, None, lm)
    return model.save(tmp_path_factory.mktemp("model") / "mono")


@pytest.fixture
def inline(monkeypatch):
    """Recordings are labelled here and now; returns the list of those that were."""
    done = []

    def in_workers(run, tasks, label):
        for task in tasks:
            done.append([clip.id for file in task.files for clip in file.clips])
            yield run(task)

    monkeypatch.setattr(decoded_labels, "in_workers", in_workers)
    decoded_labels.labeller_of.cache_clear()
    return done


def tone_names(name, voiced, speed):
    """What sounds at the voiced frames of a whistle."""
    seconds = (0.01 * np.flatnonzero(voiced) + 0.0125) * speed
    return [TONES[name[:3]][min(int(at / 0.7), 2)] for at in seconds]


def trained(data):
    return sorted({name for split in read_splits(data).values() for name in split.train})


def test_a_phone_model_labels_the_training_copies_in_worker_processes(made, model_folder, tmp_path):
    data, frames = made
    out = phones(data, frames, tmp_path / "labels", PhonesConfig(source="gmm", model=model_folder))
    stores, labels = open_frames(frames), Store(out)
    assert labels.meta["num_pdfs"] == 6 and labels.meta["pdf_names"][1] == "p300:0|p300:1|p300:2"
    assert all(stores.frames.span(key) == labels.span(key) for key in stores.frames)
    right = []
    for key in stores.frames:
        name, _, version = key.partition("#")
        if version.startswith("sp"):
            true = tone_names(name, stores.voiced[key], float(version[2:]))
            right += [NAMES[label] == tone for label, tone in zip(labels[key], true, strict=True)]
        else:
            assert set(labels[key]) <= {IGNORE_PDF}
    assert np.mean(right) > 0.9
    about = json.loads((out / "stage.json").read_text())
    statistics = about["statistics"]
    share = np.bincount(labels.rows[labels.rows >= 0]) / (labels.rows >= 0).sum()
    share = share[share > 0]
    assert statistics["entropy_bits"] == pytest.approx(-(share * np.log2(share)).sum(), abs=1e-4)
    assert statistics["utterances"] == 2 * len(trained(data)) and statistics["ignored_frames"] == 0
    assert set(statistics["top_phones"]) <= set(NAMES) and statistics["mean_phone_run_frames"] > 30
    assert about["times_real_time_per_core"] > 1 and about["speakers_not_adapted"] == 0
    assert about["decoded_seconds"] == pytest.approx(2.1 * (1 + 1 / 0.9) * len(trained(data)), rel=1e-3)


def test_a_copy_is_decoded_from_its_own_audio_normalised_with_its_recording(
    made, model_folder, corpus, tiny, tmp_path, inline
):
    """By hand: both clips of recording aaa1 at 0.9 times the speed, each with its own volume."""
    data, frames = made
    out = phones(
        data, frames, tmp_path / "labels", PhonesConfig(source="gmm", model=model_folder, best_path_scale=None)
    )
    copies = []
    for name in ("aaa2", "aaa3"):
        slow = perturb_speed(soundfile.read(corpus.parent / f"{name}.wav", dtype="float32")[0], 0.9)
        copies.append(perturb_volume(slow, 0.125 + 1.875 * draw(tiny.features.seed, f"{name}#sp0.9")))
    model = PhoneModel.load(model_folder)
    decoder = Decoder(
        build_graph(model.transition_model, model.tree, model.lm, silence_phone=1), model.transition_model
    )
    together = normalised([cepstra(samples) for samples in copies])
    alone = [of for samples in copies for of in normalised([cepstra(samples)])]
    voiced = open_frames(frames).voiced
    differ = False
    for name, of, without in zip(("aaa2", "aaa3"), together, alone, strict=True):
        path = decoder.decode(model.gmm.loglik(deltas(of))).transition_ids
        expected = model.transition_model.pdf_of[path][voiced[f"{name}#sp0.9"]]
        np.testing.assert_array_equal(Store(out)[f"{name}#sp0.9"], expected)
        differ |= not np.allclose(of, without, atol=1e-3)
    assert differ and ["aaa2", "aaa3"] in inline


def test_an_augmented_copy_has_the_labels_of_its_clip_whatever_was_done_to_it(
    made, model_folder, corpus, tiny, tmp_path, inline
):
    """Neither a phone model nor phone times are taken from under the noise; the whistles at each frame's centre say what is."""
    data, plain = made
    config = tiny.features.model_copy(update={"augmented": 1, "channel": False})
    frames = features(data, tmp_path / "frames", config)
    stores, clean = open_frames(frames), open_frames(plain)
    heard = Store(phones(data, frames, tmp_path / "heard", PhonesConfig(source="gmm", model=model_folder)))
    without = Store(phones(data, plain, tmp_path / "without", PhonesConfig(source="gmm", model=model_folder)))
    timed = Store(phones(data, frames, tmp_path / "timed", PhonesConfig(source="espeak", states_per_phone=1)))
    augmented = [key for key in stores.frames if "#aug" in key]
    assert len(augmented) == len(trained(data))
    right = []
    for key in augmented:
        name, _, speed = key.replace("#aug1@", "#").partition("#")
        true = tone_names(name, stores.voiced[key], float(speed))
        assert [timed.meta["pdf_names"][label] for label in timed[key]] == [f"{tone}:0" for tone in true]
        right += [NAMES[label] == tone for label, tone in zip(heard[key], true, strict=True)]
    assert np.mean(right) > 0.9
    for key in clean.frames:  # those that were there before are as they were
        if "#telephone" not in key:
            np.testing.assert_array_equal(heard[key], without[key])
            np.testing.assert_array_equal(stores.frames[key], clean.frames[key])


def test_labelling_goes_on_after_a_kill(made, model_folder, tmp_path, inline, monkeypatch):
    data, frames = made
    config = PhonesConfig(source="gmm", model=model_folder)
    whole = Store(phones(data, frames, tmp_path / "whole", config))
    recordings = len(inline)
    assert recordings == len(trained(data)) / 2  # two clips each
    add, added = StoreWriter.add, []

    def dying(self, key, rows):
        if len(added) == 50:
            raise KeyboardInterrupt
        added.append(key)
        add(self, key, rows)

    monkeypatch.setattr(StoreWriter, "add", dying)
    with pytest.raises(KeyboardInterrupt):
        phones(data, frames, tmp_path / "killed", config)
    monkeypatch.setattr(StoreWriter, "add", add)
    inline.clear()
    resumed = Store(phones(data, frames, tmp_path / "killed", config))
    assert 0 < len(inline) < recordings
    np.testing.assert_array_equal(resumed.rows, whole.rows)
    inline.clear()
    phones(data, frames, tmp_path / "killed", config)
    assert not inline


def test_a_model_that_was_moved_is_the_same_and_another_is_not(made, model_folder, tmp_path, inline):
    data, frames = made
    out = phones(data, frames, tmp_path / "labels", PhonesConfig(source="gmm", model=model_folder))
    moved = PhoneModel.load(model_folder).save(tmp_path / "moved")
    (moved / "arrays.npz").write_bytes((model_folder / "arrays.npz").read_bytes())
    inline.clear()
    phones(data, frames, out, PhonesConfig(source="gmm", model=moved))
    assert not inline
    (moved / "model.json").write_text((moved / "model.json").read_text() + "\n")
    phones(data, frames, out, PhonesConfig(source="gmm", model=moved))
    assert inline
    inline.clear()
    phones(data, frames, out, PhonesConfig(source="gmm", model=moved, beam=9))
    assert inline


def test_labels_of_another_length_name_the_utterance(made, model_folder, tmp_path, inline, monkeypatch):
    class Longer:
        def __init__(self):
            self.model, self.problems = PhoneModel.load(model_folder), []

        def paths(self, utterances):
            return [np.ones(len(cepstra(samples)) + extra, np.int32) for samples in utterances]

    monkeypatch.setattr(decoded_labels, "labeller_of", lambda *_: Longer())
    config = PhonesConfig(source="gmm", model=model_folder)
    extra = 2
    phones(*made, tmp_path / "two", config)
    extra = 3
    with pytest.raises(IsoglossError, match=r"utterance aaa0#sp0.9: 23\d labels but 23\d feature frames"):
        phones(*made, tmp_path / "three", config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "gmm"}, "phones.model=FOLDER.*isogloss phones train.*recipe phones-cmn"),
        ({"source": "kaldi"}, "phones.labels=PATH.*ali.*gz"),
        ({"source": "gmm", "model": "nowhere"}, "nowhere holds no phone model"),
        ({"source": "kaldi", "labels": "nowhere.npz"}, "no nowhere.npz; expected an .npz"),
        ({"source": "gmm", "adapt": True}, "holds mono, which does not adapt"),
    ],
)
def test_what_is_missing_is_said(made, model_folder, tmp_path, options, message):
    options |= {"model": model_folder} if "adapt" in options else {}
    with pytest.raises((IsoglossError, ValueError), match=message):
        phones(*made, tmp_path / "labels", PhonesConfig(**options))


def originals(made, skip=(), extra=0):
    """Clip → labels of all its frames: the number of its tone, as somebody else may have made them."""
    voiced = open_frames(made[1]).voiced
    return {
        name: np.array([NAMES.index(tone) for tone in tone_names(name, np.ones(len(voiced[name]) + extra, bool), 1.0)])
        for name in trained(made[0])
        if name not in skip
    }


def write_npz(folder, labels):
    np.savez(folder / "labels.npz", **labels)
    return folder / "labels.npz"


def write_ark(folder, labels):
    (folder / "pdf.ark").write_text("".join(f"{name} {' '.join(map(str, of))}\n" for name, of in labels.items()))
    return folder / "pdf.ark"


def write_ctm(folder, labels):
    lines = []
    for name, of in labels.items():
        edges = [0, *(1 + np.flatnonzero(np.diff(of))), len(of)]
        for begin, end in pairwise(edges):
            # from the middle between two frames' centres to the next
            lines.append(f"{name} 1 {0.01 * begin + 0.0075:.4f} {0.01 * (end - begin):.4f} {NAMES[of[begin]]}\n")
    (folder / "phones.ctm").write_text("".join(lines))
    return folder / "phones.ctm"


@pytest.mark.parametrize("write", [write_npz, write_ark, write_ctm])
def test_imported_labels_lie_on_every_copy(made, tmp_path, write):
    data, frames = made
    path = write(tmp_path, originals(made, skip=["bbb3"]))
    config = PhonesConfig(source="kaldi", labels=path, states_per_phone=1)
    labels, voiced = Store(phones(data, frames, tmp_path / "out", config)), open_frames(frames).voiced
    names = [name.removesuffix(":0") for name in labels.meta["pdf_names"]]
    for key in voiced:
        name, _, version = key.partition("#")
        if name == "bbb3" or name not in trained(data):
            assert set(labels[key]) <= {IGNORE_PDF}
            continue
        speed = float(version[2:]) if version.startswith("sp") else 1.0
        sounding = tone_names(name, voiced[key], speed)
        expected = [names.index(tone) if write is write_ctm else NAMES.index(tone) for tone in sounding]
        # the centre of a copy's frame lies up to half a frame from one of the original's
        edges = 1 + np.flatnonzero(np.diff(expected))
        near = np.abs(np.arange(len(expected))[:, None] - edges).min(1, initial=99) < (0 if speed == 1 else 2)
        assert (np.array(labels[key])[~near] == np.array(expected)[~near]).all(), key
    about = json.loads((tmp_path / "out" / "stage.json").read_text())
    assert about["clips_without_labels"] == 1 and about["labels_without_clip"] == 0
    before = (tmp_path / "out" / "stage.json").stat().st_mtime_ns
    phones(data, frames, tmp_path / "out", config)
    assert (tmp_path / "out" / "stage.json").stat().st_mtime_ns == before


def test_a_frame_of_a_copy_takes_the_label_at_its_centre(made, tmp_path):
    """Every frame a label of its own: t of a copy at speed s is (10·t + 12.5 ms)·s of the original."""
    data, frames = made
    voiced = open_frames(frames).voiced
    path = write_npz(tmp_path, {name: np.arange(len(voiced[name])) for name in trained(data)})
    labels = Store(phones(data, frames, tmp_path / "out", PhonesConfig(source="kaldi", labels=path)))
    for key in ("aaa0#sp0.9", "ccc4#sp1.0"):
        speed = float(key.partition("#sp")[2])
        for t, label in zip(np.flatnonzero(voiced[key]), labels[key], strict=True):
            assert abs((10 * t + 12.5) * speed - (10 * label + 12.5)) <= 5.0 + 1e-9


def test_bad_imports_are_refused(made, tmp_path):
    def importing(labels):
        return phones(*made, tmp_path / "out", PhonesConfig(source="kaldi", labels=write_npz(tmp_path, labels)))

    importing(originals(made, extra=2))
    with pytest.raises(IsoglossError, match=r"utterance \w+: \d+ labels but \d+ feature frames"):
        importing(originals(made, extra=3))
    with pytest.raises(IsoglossError, match=r"of 1 utterances such as 'aaa0', but none of \d\d of the \d\d clips"):
        importing({"aaa0": originals(made)["aaa0"]})


def test_runs_of_several_sources_share_what_they_have_in_common(made, corpus, tiny, model_folder, monkeypatch):
    """One folder for all: what another than the recipe's usual source labelled lies apart, with its source's name."""
    out = made[0].parent
    folders = []

    def run_jobs(jobs, *_):
        folders.append([str(arguments[3].relative_to(out)) for _, _, arguments in jobs])
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "run_jobs", run_jobs)
    for options in ({"source": "gmm", "model": model_folder}, {"source": "espeak"}, {"source": "none"}):
        config = tiny.model_copy(update={"phones": PhonesConfig(**options)})
        systems = [SINGLE_TASK["4s"], *([] if options["source"] == "none" else [TABLE_1["2"]])]
        with pytest.raises(KeyboardInterrupt):
            recipe.run_recipe(
                manifest.items(corpus),
                out,
                systems,
                config,
                title="",
                corpus="",
                folds=["fold0"],
                usual_source="espeak",
            )
    assert folders == [
        ["seed1024/system4s/fold0", "seed1024-gmm/system2/fold0"],
        ["seed1024/system4s/fold0", "seed1024/system2/fold0"],
        ["seed1024/system4s/fold0"],
    ]
    assert Store(out / "pdf_ids-gmm").num_rows == Store(out / "pdf_ids-espeak").num_rows
    for run in ("seed1024-gmm", "seed1024"):
        assert (out / run / "config.json").exists()


@pytest.mark.parametrize("system", [TABLE_1["5"], SINGLE_TASK["4s"]], ids=lambda system: system.id)
def test_systems_train_with_decoded_labels_and_without(made, tiny, model_folder, tmp_path, inline, system):
    labels = None
    if system.multitask:
        labels = phones(*made, tmp_path / "labels", PhonesConfig(source="gmm", model=model_folder))
    folder = train(*made, labels, tmp_path / "model", system, tiny.train, "fold0")
    about = json.loads((folder / "model.json").read_text())
    assert about["num_pdfs"] == (6 if system.multitask else None)
    assert about["phones"] == ({"source": "gmm", "num_pdfs": 6} if system.multitask else None)
    last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert last["margin_mean"] == pytest.approx(0.22, abs=0.005)
