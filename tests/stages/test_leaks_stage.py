"""Leaks among generated clips on disk, the channel probe on microphones that differ, and what the command says and returns."""

import json

import numpy as np
import pytest
import soundfile

from isogloss.cli import main
from isogloss.config import FrontEndConfig, PrepareConfig
from isogloss.corpora import manifest
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.vad import vad
from isogloss.report.channel import channel_sentence, flatters
from isogloss.stages.channel_probe import MAX_FRAMES, ChannelProbe, NonSpeech, channel_probe, non_speech
from isogloss.stages.leaks import leaks, read_leaks
from isogloss.stages.ledger import write_json
from isogloss.stages.prepare import prepare, read_cuts, read_splits
from isogloss.types import IsoglossError

RATE = 16000
FRONT_END = FrontEndConfig()


def clip(generator, floor, speech=1.6, pause=0.3):
    """Noise of drawn colours as speech, between pauses in which a microphone of noise level `floor` is heard."""
    steps = int(speech * 10)
    spectra = np.fft.rfft(generator.normal(size=(steps, RATE // 10)))
    loud = 0.1 * np.fft.irfft(
        spectra * generator.uniform(0, 1, (steps, 1 + spectra.shape[1] // 40)).repeat(40, 1)[:, : spectra.shape[1]]
    )
    quiet = np.zeros(int(pause * RATE))
    samples = np.concatenate([quiet, loud.ravel(), quiet])
    return samples + floor * generator.normal(size=len(samples))


def corpus(folder, floors, num_train=8, num_test=6, copies=(), **columns):
    """Prepared data of a prescribed split; floors: language → noise floor; copies: (language, of which training clip)."""
    generator, lines = np.random.default_rng(0), []
    audio = {}

    def add(name, language, part, samples):
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
        line = {"path": f"{name}.wav", "language": language, "recording": name, "split": part}
        lines.append(line | {key: of[name] for key, of in columns.items() if name in of})

    folder.mkdir(exist_ok=True)
    for language, floor in floors.items():
        for part, number in (("train", num_train), ("dev", 2), ("test", num_test)):
            for n in range(number):
                name = f"{language}-{part}{n}"
                audio[name] = clip(generator, floor)
                add(name, language, part, audio[name])
    for language, of in copies:
        add(f"{language}-copy", language, "test", 0.3 * audio[of][4000:])
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return prepare(manifest.items(folder / "manifest.jsonl"), folder / "data", PrepareConfig())


@pytest.fixture
def run(capsys):
    """`run(*arguments)` → (exit code, lines of stdout)."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code, [line for line in capsys.readouterr().out.splitlines() if line]  # a bar leaves a blank

    return call


def test_a_clean_corpus_shares_nothing(tmp_path, run):
    data = corpus(tmp_path, {"deu": 1e-3, "fra": 1e-3})
    code, lines = run("leaks", data)
    written = json.loads((tmp_path / "leaks" / "leaks.json").read_text())
    assert code == 0
    assert written["shared"] == {"train-test": {"recordings": 0, "speakers": 0, "duplicates": 0, "examples": []}}
    assert set(written) == {"shared", "channel_probe"}
    assert list(written["channel_probe"]) == [
        "accuracy", "low", "high", "chance", "num_utterances", "num_without", "seconds",
    ]  # fmt: skip
    assert lines[0] == "train and test share no recording, no speaker and no audio"
    assert lines[1] == "32 of 32 clips name no speaker, so that shared speakers of those went unseen"
    assert lines[2].startswith("From non-speech alone a classifier names the language of ")
    assert lines[-1] == f"wrote {tmp_path / 'leaks' / 'leaks.json'}"


def test_what_nobody_declared_is_found_and_the_exit_code_says_so(tmp_path, run):
    """A softer, shorter copy of a training clip under another name; a clip that somebody put on both sides."""
    data = corpus(tmp_path, {"deu": 1e-3, "fra": 1e-3}, copies=[("fra", "fra-train3")])
    made = read_splits(data)["given"].to_dict()
    made["test"].append("deu-train0")
    made["valid"].append("fra-test1")
    write_json(data / "splits.json", {"given": made})
    code, lines = run("leaks", data, "--out", tmp_path / "out")
    shared = json.loads((tmp_path / "out" / "leaks.json").read_text())["shared"]
    assert code == 1
    assert set(shared) == {"train-test", "valid-test", "enrol-test"}
    assert (shared["train-test"]["recordings"], shared["train-test"]["duplicates"]) == (1, 2)
    by_copy = {example[1]: example for example in shared["train-test"]["examples"]}
    assert by_copy["fra-copy"][0] == "fra-train3" and "same audio" in by_copy["fra-copy"][2]
    assert shared["valid-test"]["examples"][0] == ["fra-test1", "fra-test1", "same utterance"]
    assert lines[0].startswith("train and test share 1 recording(s), 0 speaker(s) and 2 duplicate(s), the first: ")


def test_a_speaker_on_both_sides_is_found(tmp_path):
    data = corpus(tmp_path, {"deu": 1e-3, "fra": 1e-3}, speaker={f"deu-train{n}": "ann" for n in range(8)})
    made = read_splits(data)["given"].to_dict()
    made["train"].remove("deu-train2")
    made["test"].append("deu-train2")
    write_json(data / "splits.json", {"given": made})
    found = read_leaks(leaks(data, tmp_path / "leaks", FRONT_END))
    assert not found.train_test_apart
    assert found.shared["train-test"]["speakers"] == 1
    assert found.shared["train-test"]["examples"][0][2] == "speaker ann"


def test_finished_work_is_skipped_and_a_changed_front_end_is_not(tmp_path):
    data = corpus(tmp_path, {"deu": 1e-3, "fra": 1e-3}, num_train=3, num_test=1)
    out = leaks(data, tmp_path / "leaks", FRONT_END)
    written = (out / "leaks.json").stat().st_mtime_ns
    leaks(data, out, FRONT_END)
    assert (out / "leaks.json").stat().st_mtime_ns == written
    leaks(data, out, FrontEndConfig(vad_energy_threshold=6.0))
    assert (out / "leaks.json").stat().st_mtime_ns > written


def test_splits_that_name_unknown_clips_are_an_error(tmp_path):
    data = corpus(tmp_path, {"deu": 1e-3, "fra": 1e-3}, num_train=3, num_test=1)
    made = read_splits(data)["given"].to_dict()
    write_json(data / "splits.json", {"given": made | {"test": ["nobody"]}})
    with pytest.raises(IsoglossError, match="1 utterances of .*splits.json are not in cuts.jsonl.gz, the first nobody"):
        leaks(data, tmp_path / "leaks", FRONT_END)
    with pytest.raises(IsoglossError, match="run `isogloss leaks` first"):
        read_leaks(tmp_path / "leaks")


def probed(tmp_path, floors, **sizes):
    data = corpus(tmp_path, floors, **sizes)
    cuts = read_cuts(data)
    heard = {c.id: non_speech(soundfile.read(tmp_path / f"{c.id}.wav", dtype="float32")[0], FRONT_END) for c in cuts}
    return channel_probe(cuts, read_splits(data), heard, num_resamples=200)


def test_microphones_that_differ_tell_the_languages(tmp_path):
    """The speech is alike; the noise floors differ by 6 dB."""
    probe = probed(tmp_path, {"deu": 2.5e-4, "fra": 5e-4, "ita": 1e-3}, num_test=10)
    assert probe.accuracy > 0.95 and probe.low > 0.8 and probe.chance == pytest.approx(1 / 3)
    assert (probe.num_utterances, probe.num_without) == (30, 0)
    assert 60 * 0.5 < probe.seconds < 60 * 0.9  # 0.6 s in each of 54 tested and training clips, and what is soft
    said = channel_sentence(probe)
    assert "names the language of 100 % of clips (chance 33 %): the languages differ in microphone" in said
    assert flatters(probe) and "30 test clips; 0 others have too little non-speech" in probe.basis()


def test_one_microphone_tells_nothing(tmp_path):
    probe = probed(tmp_path, dict.fromkeys(("deu", "fra", "ita"), 2e-3), num_train=16, num_test=16)
    assert probe.low < 1 / 3 < probe.high
    assert not flatters(probe) and "no more than guessing does" in channel_sentence(probe)


def test_clips_without_pauses_are_counted_apart_and_digital_silence_is_no_stumbling_block(tmp_path):
    probe = probed(tmp_path, {"deu": 0.0, "fra": 1e-3})
    assert probe.accuracy == 1.0
    data, nothing = tmp_path / "data", NonSpeech(3, np.zeros((3, 20), np.float32))
    cuts, splits = read_cuts(data), read_splits(data)
    heard = {c.id: non_speech(soundfile.read(tmp_path / f"{c.id}.wav", dtype="float32")[0], FRONT_END) for c in cuts}
    tests = splits["given"].test
    fewer = channel_probe(cuts, splits, heard | dict.fromkeys(tests[:4], nothing), num_resamples=20)
    assert (fewer.num_utterances, fewer.num_without) == (len(tests) - 4, 4)
    assert channel_probe(cuts, splits, dict.fromkeys(heard, nothing)) is None


def test_non_speech_is_what_the_vad_leaves(tmp_path):
    samples = clip(np.random.default_rng(3), 1e-3).astype(np.float32)
    cepstra = mfcc(samples, RATE)
    left = cepstra[~vad(cepstra[:, 0])]
    found = non_speech(samples, FRONT_END)
    assert found.num_frames == len(left) > MAX_FRAMES == len(found.cepstra)
    assert {tuple(row) for row in found.cepstra.tolist()} <= {tuple(row) for row in left.tolist()}
    assert np.array_equal(found.cepstra[[0, -1]], left[[0, -1]])


def test_a_warning_weighs_the_probe_against_the_system():
    probe = ChannelProbe(0.10, 0.08, 0.12, 0.0625, 700, 100, 500.0)  # as on VoxLingua107 clips of one channel type
    assert not flatters(probe) and not flatters(probe, 0.4)
    assert flatters(probe, 0.12) and flatters(probe, 0.05)
    assert "more than guessing does, so" in channel_sentence(probe, 0.4) and "flatter" in channel_sentence(probe, 0.12)
    mixture = ChannelProbe(0.62, 0.58, 0.66, 0.0625, 700, 100, 500.0)
    assert flatters(mixture)
