"""Bad input ends in one clear line, exit code 2 and nothing half-written; the README's promises are kept."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from isogloss.cli import main
from isogloss.cli_options import plain_warnings
from isogloss.corpora import manifest
from isogloss.stages.recipe import run_recipe
from isogloss.systems import TABLE_1

ROOT = Path(__file__).parents[1]


def tone(path, hz, seconds=0.5, rate=16000, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, np.stack([samples] * channels, 1), rate)
    return path


@pytest.fixture
def run(capsys):
    """`run(*arguments)` → (exit code, stderr lines)."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code, capsys.readouterr().err.strip().splitlines()

    return call


def empty_folder(root):
    return []


def one_language(root):
    for number in range(4):
        tone(root / "deu" / f"{number}.wav", 200 + number)


def two_clips(root):
    one_language(root)
    for number in range(2):
        tone(root / "fra" / f"{number}.wav", 300 + number)


def only_text(root):
    (root / "deu").mkdir()
    (root / "deu" / "a.wav").write_text("I am not audio")


def empty_and_header_only(root):
    one_language(root)
    (root / "fra").mkdir()
    (root / "fra" / "empty.wav").touch()
    soundfile.write(root / "fra" / "header.wav", np.zeros(0), 16000)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (empty_folder, "it holds no audio"),
        (one_language, "only one language, 'deu'"),
        (two_clips, "language 'fra' has 2 recording"),
        (only_text, "no usable clip"),
        (empty_and_header_only, "only one language, 'deu'.*2 clips were left out"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_bad_corpus_is_one_line_and_leaves_nothing(run, tmp_path, fill, message):
    audio = tmp_path / "audio"
    audio.mkdir()
    fill(audio)
    code, lines = run("recipe", "folders", "--root", audio, "--out", tmp_path / "out")
    assert code == 2 and len(lines) == 1
    assert re.search(message, lines[0])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "9"], "unknown system '9'"),
        (["--set", "train.widht=3"], "did you mean 'width'"),
        (["--set", "train.width=-3"], "train.width"),
        (["--root", "nowhere"], "nowhere is not a folder"),
        (["--systems", "5", "--phones", "none"], "systems 5 need phoneme labels"),
    ],
)
def test_a_bad_option_is_one_line(run, tmp_path, arguments, message):
    tone(tmp_path / "audio" / "deu" / "a.wav", 200)
    given = ["recipe", "folders", "--out", tmp_path / "out", *arguments]
    code, lines = run(*given, *([] if "--root" in arguments else ["--root", tmp_path / "audio"]))
    assert code == 2 and len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "out").exists()


def test_unknown_names_name_the_nearest(run):
    assert "did you mean 'folders'" in run("recipe", "folder", "--root", ".")[1][0]
    assert "did you mean 'phones-cmn'" in run("recipe", "phone-cmn")[1][0]
    assert run("no-such-command")[0] == 2
    code, lines = run("identify", "--model", "nowhere.isogloss", "x.wav")
    assert code == 2 and len(lines) == 1 and "nowhere.isogloss" in lines[0]


def test_one_bad_file_does_not_stop_the_others(corpus, tiny, tmp_path, capsys):
    results = run_recipe(
        manifest.items(corpus), tmp_path / "out", [TABLE_1["1"]], tiny, title="", corpus="", folds=["fold0"]
    )
    good = corpus.parent / "aaa0.wav"
    (tmp_path / "text.wav").write_text("not audio")
    phone = tone(tmp_path / "phone.mp3", 440, seconds=2, rate=8000, channels=2)
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(32000), 16000)
    capsys.readouterr()
    files = [good, tmp_path / "text.wav", phone, silence]
    with pytest.raises(SystemExit) as ended:
        main(["identify", "--json", "--model", str(results.model_file), *map(str, files)])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ended.value.code == 2
    assert [answer["status"] for answer in answers] == ["ok", "error", "ok", "no_speech"]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)
    assert "text.wav" in answers[1]["message"]
    with pytest.raises(SystemExit) as ended:
        main(["identify", "--model", str(results.model_file), "--allow", "bbb,cc", str(good)])
    assert ended.value.code == 2
    assert "'ccc'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["identify", "--json", "--model", str(results.model_file), "--priors", "aaa=0.7, bbb=0.2", str(good)])
    assert ended.value.code == 0
    probabilities = json.loads(capsys.readouterr().out)["probabilities"]
    weight = {name: answers[0]["probabilities"][name] * p for name, p in {"aaa": 0.7, "bbb": 0.2, "ccc": 0.1}.items()}
    assert probabilities == pytest.approx({name: w / sum(weight.values()) for name, w in weight.items()})


@pytest.mark.parametrize("priors", ["aaa", "aaa=0.5,aaa=0.2", "aaa=much", "=0.5", ""])
def test_bad_priors_are_one_line(run, priors):
    code, lines = run("identify", "--model", "x.isogloss", "--priors", priors, "x.wav")
    assert code == 2 and len(lines) == 1 and "such as eng=0.5,deu=0.3" in lines[0]


def test_scores_of_other_systems_can_be_measured(run, tmp_path):
    languages, truth = ["deu", "fra"], {"u1": "deu", "u2": "fra", "u3": "deu"}
    trials = [
        f"{lang} {u} {'target' if lang == true else 'nontarget'}\n" for u, true in truth.items() for lang in languages
    ]
    scores = [f"{lang} {u} {float(lang == true)}\n" for u, true in truth.items() for lang in languages]
    (tmp_path / "trials").write_text("".join(trials))
    (tmp_path / "scores").write_text("".join(scores))
    main_arguments = [
        "evaluate",
        "--trials",
        tmp_path / "trials",
        "--scores",
        tmp_path / "scores",
        "--json",
        tmp_path / "out.json",
    ]
    assert run(*main_arguments)[0] == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["cavg_min"] == figures["eer"] == 0 and figures["num_trials"] == 6
    assert {"cavg_olr", "cavg_actual", "cllr"} <= figures.keys()


def test_two_score_files_are_compared_on_the_same_trials(tmp_path, run):
    languages, truth = ["aaa", "bbb"], {f"u{n}": ["aaa", "bbb"][n % 2] for n in range(20)}
    pairs = [(lang, u, true) for u, true in truth.items() for lang in languages]
    trials = "".join(f"{lang} {u} {'target' if lang == true else 'nontarget'}\n" for lang, u, true in pairs)
    (tmp_path / "trials").write_text(trials)
    for name, wrong in (("good", {"u1"}), ("bad", {f"u{n}" for n in range(9)})):
        lines = [f"{lang} {u} {float((lang == true) != (u in wrong))}\n" for lang, u, true in pairs]
        (tmp_path / name).write_text("".join(lines))
    given = ["evaluate", "--trials", tmp_path / "trials", "--scores", tmp_path / "good", "--json", tmp_path / "json"]

    assert run(*given, "--against", tmp_path / "bad")[0] == 0
    found = json.loads((tmp_path / "json").read_text())["against"]
    accuracy = found["accuracy"]
    assert (accuracy["a"], accuracy["b"]) == (0.95, 0.55) and accuracy["difference"]["value"] == pytest.approx(0.4)
    assert 0 < accuracy["difference"]["low"] < 0.4 < accuracy["difference"]["high"] and accuracy["p_value"] < 0.05
    assert found["mcnemar"] == {"only_a": 8, "only_b": 0, "p_value": 2 / 2**8}
    assert found["cavg_min"]["difference"]["value"] < 0
    (tmp_path / "bad").write_text("aaa u0 1.0\nbbb u0 0.0\n")
    assert run(*given, "--missing", "error", "--against", tmp_path / "bad")[0] != 0


def test_what_is_missing_is_said_in_a_line_and_the_json_is_json(tmp_path, capsys):
    trials = [f"{c} u{u} {'target' if c == true else 'nontarget'}\n" for u, true in enumerate("abx") for c in "ab"]
    (tmp_path / "trials").write_text("".join(trials))
    (tmp_path / "scores").write_text("b u2 0.5\na u2 0.5\n")
    for _ in range(2):  # a second command says it again
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "--trials", str(tmp_path / "trials"), "--scores", str(tmp_path / "scores")])
        assert not ended.value.code
        shown = capsys.readouterr()
        assert [line.split(":")[0] for line in shown.err.splitlines()] == ["warning", "warning"]
        assert "4 of the 6 trials" in shown.err and "2 of 3 utterances have no answer" in shown.err
        figures = json.loads(shown.out, parse_constant=pytest.fail)
        assert figures["ece"] is figures["ece_adaptive"] is None and figures["num_missing_trials"] == 4


def test_scores_of_no_trial_are_left_out_on_request(run, tmp_path):
    (tmp_path / "trials").write_text("a u1 target\nb u1 nontarget\na u2 nontarget\nb u2 target\n")
    (tmp_path / "scores").write_text("utt a b c\nu1 1 0 9\nu2 0 1 9\nu3 5 5 9\n")
    given = ["evaluate", "--trials", tmp_path / "trials", "--scores", tmp_path / "scores", "--json", tmp_path / "json"]
    code, lines = run(*given)
    assert code == 2 and len(lines) == 1 and "--extra ignore" in lines[0]
    code, lines = run(*given, "--extra", "ignore")
    assert code == 0 and len(lines) == 1 and lines[0].startswith("warning: ") and "2 names are not in" in lines[0]
    figures = json.loads((tmp_path / "json").read_text())
    assert (figures["num_unknown_scored"], figures["languages_ignored"], figures["accuracy"]) == (1, ["c"], 1)
    assert "expected ignore or error" in run(*given, "--extra", "keep")[1][0]


def test_a_warning_is_one_line_and_said_once(capsys):
    with plain_warnings():
        for number in (1, 1, 2):
            warnings.warn(f"number {number}\n of it", stacklevel=1)
    assert capsys.readouterr().err == "warning: number 1 of it\nwarning: number 2 of it\n"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, 5, 8, 12])
def test_an_interrupt_anywhere_and_the_same_command_again(corpus, tiny_options, tmp_path, seconds):
    """Ctrl-C after some seconds, wherever that is; then the run ends as if nothing had been."""
    command = [
        sys.executable,
        "-m",
        "isogloss",
        "recipe",
        "manifest",
        "--root",
        corpus,
        "--out",
        tmp_path / "out",
        "--systems",
        "1,5",
    ]
    command += [
        "--fold",
        "0",
        *(part for option in tiny_options for part in ("--set", option)),
        "--set",
        "train.cycles=[40]",
    ]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if process.returncode:
        assert process.returncode == 130 and "run the same command again" in errors and "Traceback" not in errors
    subprocess.run(list(map(str, command)), check=True, timeout=300)
    assert (tmp_path / "out" / "seed1024-teacher" / "model.isogloss").exists()  # not the usual source
    assert not list((tmp_path / "out").rglob("*.part*"))


def test_every_command_shows_its_options(capsys):
    for command in ("prepare", "features", "phones label", "phones train", "train", "extract", "backend"):
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert "--set takes (default shown):" in shown and "=" in shown


def test_the_readme_speaks_of_what_is_there():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"\]\(([\w/.-]+)\)", text):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile
    for room in re.findall(r"`(\w+)/`", text):
        assert (ROOT / "src" / "isogloss" / room).is_dir() or room in ("frames", "pdf_ids", "model"), room
