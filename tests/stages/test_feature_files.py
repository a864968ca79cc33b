"""Features on disk are what the functions return, in every form; a killed run goes on; a bad file is left out."""

from concurrent.futures import Future, ThreadPoolExecutor

import kaldi_native_io as kaldi
import numpy as np
import pytest
import soundfile

from isogloss.cli import main
from isogloss.config import FrontEndConfig
from isogloss.frontend import FrontEnd, fbank, mfcc, pitch, process_pitch, read_audio
from isogloss.frontend.store import Store
from isogloss.stages import feature_sinks
from isogloss.stages.feature_files import feature_files, num_columns
from isogloss.types import IsoglossError

RATE = 16000


def speak(path, seed, seconds=0.6, rate=RATE, channels=1):
    """A hum with harmonics in noise, loud in the middle."""
    time = np.arange(int(seconds * rate)) / rate
    hum = sum(np.sin(2 * np.pi * (110 + 10 * seed) * k * time) / k for k in range(1, 8)) * np.hanning(len(time))
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(time), channels))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * hum[:, None] + noise, rate)
    return path


@pytest.fixture
def audio(tmp_path):
    """Four files in two folders: wav, flac, and a stereo mp3 at 8 kHz."""
    root = tmp_path / "audio"
    return {
        "a/one": speak(root / "a" / "one.wav", 1),
        "a/two": speak(root / "a" / "two.flac", 2),
        "b/three": speak(root / "b" / "three.mp3", 3, rate=8000, channels=2),
        "b/four": speak(root / "b" / "four.wav", 4),
    }


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as threads:
        yield threads


def expected(what, path):
    samples = read_audio(path)
    cepstra = {"num_mel_bins": 23, "low_freq": 40.0, "high_freq": -200.0}
    if what == "mfcc":
        return mfcc(samples, RATE, num_ceps=20, **cepstra)
    if what == "fbank":
        return fbank(samples, RATE, **cepstra)
    if what == "pitch":
        return pitch(samples, RATE)
    if what == "process_pitch":
        return process_pitch(pitch(samples, RATE))
    if what == "paste":
        left, right = expected("mfcc", path), expected("process_pitch", path)
        return np.hstack([left[: len(right)], right[: len(left)]])
    return FrontEnd()(samples, RATE)


def read_scp(folder):
    # a value is only lent until the next is read
    return {key: value.copy() for key, value in kaldi.SequentialFloatMatrixReader(f"scp:{folder / 'feats.scp'}")}


@pytest.mark.parametrize("what", ["mfcc", "fbank", "pitch", "process_pitch", "paste", "network"])
def test_every_kind_is_what_the_functions_return(audio, pool, tmp_path, what):
    out = feature_files(tmp_path / "audio", tmp_path / "out", what=what, form="ark", executor=pool)
    found = read_scp(out)
    assert list(found) == sorted(audio)
    for name, path in audio.items():
        np.testing.assert_array_equal(found[name], expected(what, path))
        assert found[name].shape[1] == num_columns(what, FrontEndConfig())
    assert not (out / "left_out.tsv").exists()


def test_the_three_forms_hold_the_same(audio, pool, tmp_path):
    source = tmp_path / "audio"
    ark = read_scp(feature_files(source, tmp_path / "ark", form="ark", executor=pool))
    npy = feature_files(source, tmp_path / "npy", form="npy", executor=pool)
    store = Store(feature_files(source, tmp_path / "store", form="store", executor=pool) / "frames")
    assert set(store) == set(ark) == set(audio)
    for name in audio:
        assert store[name].dtype == np.float32
        np.testing.assert_array_equal(store[name], ark[name])
        np.testing.assert_array_equal(np.load(npy / f"{name}.npy"), ark[name])


def test_compressed_matrices_err_by_at_most_a_step_of_their_columns(audio, pool, tmp_path):
    source = tmp_path / "audio"
    out = feature_files(source, tmp_path / "out", what="mfcc", form="ark", compress=True, executor=pool)
    found = read_scp(out)
    for name, path in audio.items():
        exact = expected("mfcc", path)
        # 8 bits in each column: 64 steps between the quartile pair, fewer outside; a step is the range over 64 at worst
        allowed = 0.5 * np.ptp(exact, axis=0) / 63 + 1e-3
        assert np.all(np.abs(found[name] - exact) <= allowed)
        assert not np.array_equal(found[name], exact)
    with pytest.raises(IsoglossError, match="only ark can be compressed"):
        feature_files(source, tmp_path / "npy", form="npy", compress=True, executor=pool)


def test_wav_scp_with_pipes_and_segments(audio, pool, tmp_path):
    folder, one, three = tmp_path / "kaldi", audio["a/one"], audio["b/three"]
    folder.mkdir()
    (folder / "wav.scp").write_text(f"r1 cat {one} |\nr3 {three}\nr5 false |\n")
    (folder / "segments").write_text("u1 r1 0.1 0.5\nu2 r1 0 0.9\nu3 r3 0.2 -1\nu4 r1 0 5\nu5 r5 0 1\nu6 r6 0 1\n")
    out = feature_files(folder, tmp_path / "out", what="mfcc", form="npy", executor=pool)
    whole, third = read_audio(one), read_audio(three)
    for name, samples in (("u1", whole[1600:8000]), ("u2", whole), ("u3", third[3200:])):
        np.testing.assert_array_equal(np.load(out / f"{name}.npy"), mfcc(samples, RATE))
    left_out = dict(line.split("\t") for line in (out / "left_out.tsv").read_text().splitlines()[1:])
    assert set(left_out) == {"u4", "u5", "u6"}
    assert "past the end" in left_out["u4"] and "exit code 1" in left_out["u5"] and "wav.scp" in left_out["u6"]


class Killed(ThreadPoolExecutor):
    """An executor that gives up after `limit` tasks, as a killed run does."""

    def __init__(self, limit=10**9):
        super().__init__(1)
        self.limit, self.ran = limit, []

    def submit(self, function, task):
        self.ran.append(task.source)
        if len(self.ran) <= self.limit:
            return super().submit(function, task)
        failed = Future()
        failed.set_exception(KeyboardInterrupt())
        return failed


@pytest.mark.parametrize("form", ["ark", "npy", "store"])
def test_a_stopped_run_goes_on(audio, tmp_path, form, monkeypatch):
    monkeypatch.setattr(feature_sinks, "PART_UTTERANCES", 1)
    monkeypatch.setattr("isogloss.stages.executors.AHEAD", 1)

    def run(limit):
        executor = Killed(limit)
        try:
            feature_files(tmp_path / "audio", tmp_path / "out", what="mfcc", form=form, executor=executor, num_jobs=1)
        finally:
            executor.shutdown()
        return executor.ran

    with pytest.raises(KeyboardInterrupt):
        run(2)
    assert not (tmp_path / "out" / "feats.scp").exists() and not (tmp_path / "out" / "frames").exists()
    assert len(run(9)) == 2, "two of four were there"
    assert run(9) == [], "all are there"
    speak(tmp_path / "audio" / "b" / "five.wav", 5)
    assert len(run(9)) == 1, "a new file is added to what is there"
    out = tmp_path / "out"
    if form == "ark":
        found = read_scp(out)
    elif form == "store":
        store = Store(out / "frames")
        found = {key: store[key] for key in store}
    else:
        found = {str(path.relative_to(out).with_suffix("")): np.load(path) for path in out.rglob("*.npy")}
    assert set(found) == {*audio, "b/five"}
    for name, path in audio.items():
        np.testing.assert_array_equal(found[name], expected("mfcc", path))


def test_other_options_or_another_folder_are_refused(audio, pool, tmp_path):
    source, out = audio["a/one"], tmp_path / "out"
    feature_files(source, out, what="mfcc", form="npy", executor=pool)
    with pytest.raises(IsoglossError, match="made with other options"):
        feature_files(source, out, what="fbank", form="npy", executor=pool)
    with pytest.raises(IsoglossError, match="was not made by this command"):
        feature_files(source, tmp_path / "audio", what="fbank", form="npy", executor=pool)
    with pytest.raises(IsoglossError, match="what 'mfc'"):
        feature_files(source, out, what="mfc", executor=pool)


def test_two_utterances_of_one_name_and_names_that_climb(audio, pool, tmp_path):
    soundfile.write(tmp_path / "audio" / "a" / "one.flac", np.zeros(8000), RATE)
    out = feature_files(tmp_path / "audio", tmp_path / "out", what="mfcc", form="npy", executor=pool)
    assert "duplicate id" in (out / "left_out.tsv").read_text()
    (tmp_path / "wav.scp").write_text(f"../climb {audio['a/one']}\n")
    with pytest.raises(IsoglossError, match="outside"):
        feature_files(tmp_path / "wav.scp", tmp_path / "out2", what="mfcc", form="npy", executor=pool)
    assert not (tmp_path / "climb.npy").exists()


def test_the_command_ends_with_1_if_a_file_is_left_out(audio, tmp_path, capsys):
    (tmp_path / "audio" / "bad.wav").write_text("not audio")
    soundfile.write(tmp_path / "audio" / "short.wav", np.zeros(100), RATE)
    command = [
        "features",
        str(tmp_path / "audio"),
        str(tmp_path / "out"),
        "--to",
        "ark",
        "--what",
        "fbank",
        "--jobs",
        "1",
    ]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--set", "front_end.num_mel_bins=30"])
    assert ended.value.code == 1
    assert {features.shape[1] for features in read_scp(tmp_path / "out").values()} == {30}
    lines = (tmp_path / "out" / "left_out.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[0] for line in sorted(lines)] == ["bad", "short"]
    for extra, message in ((["--set", "seed=1"], "front_end"), (["--dask", "tcp://127.0.0.1:1"], "ask")):
        with pytest.raises(SystemExit) as ended:
            main([*command, *extra])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
