"""`isogloss phones …` and `isogloss recipe phones-cmn` on made-up words: every command at work, every error one line and code 2."""

import json
import re

import numpy as np
import pytest
import soundfile
from phone_words import LEXICON, RATE, TINY, WORDS, files_in_place, say, write_words

from isogloss.cli import main
from isogloss.config import PhonesConfig
from isogloss.corpora import manifest
from isogloss.frontend.store import Store
from isogloss.phones.ctm import read_ctm
from isogloss.stages import clips, decoded_labels, phone_decoding
from isogloss.stages.features import features
from isogloss.stages.phone_model import STAGES
from isogloss.stages.prepare import prepare

COMMANDS = ("train", "bootstrap", "align", "decode", "score", "label", "stats", "picture")


def options(assignments):
    return [part for assignment in assignments for part in ("--set", assignment)]


@pytest.fixture(scope="module")
def made(corpus, tiny, tmp_path_factory):
    """Folder with words/, mono and tri1 in model/, alignments in aligned/, and whistles/data, whistles/frames."""
    root = tmp_path_factory.mktemp("made")
    words = write_words(root / "words", each=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "in_workers", files_in_place)
        common = ["--lexicon", words.lexicon]
        for command in (
            ["train", "table", words.table, root / "model", *common, "--last", "tri1", *options(TINY)],
            ["align", root / "model" / "tri1", "table", words.table, root / "aligned", *common],
        ):
            with pytest.raises(SystemExit) as ended:
                main(["phones", *map(str, command)])
            assert ended.value.code == 0
        features(prepare(manifest.items(corpus), root / "data", tiny.prepare), root / "frames", tiny.features)
    return root


@pytest.fixture
def run(capsys, monkeypatch):
    """`run(*arguments)` → (exit code, stdout, stderr lines), audio being read here and now."""
    for module in (clips, decoded_labels, phone_decoding):
        monkeypatch.setattr(module, "in_workers", files_in_place)

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err.strip().splitlines()

    return call


def test_every_command_says_what_it_takes(run):
    shown = {command: run("phones", command, "--help")[:2] for command in COMMANDS}
    assert all(code == 0 for code, _ in shown.values())
    for command in ("train", "bootstrap", "align", "decode", "score", "label"):
        assert "--set takes (default shown):" in shown[command][1], command
    for command in ("train", "align", "score"):
        assert all(kind in shown[command][1] for kind in ("pinyin", "graphemes", "symbols")), command
    assert "tri3b.leaves=2500" in shown["train"][1] and "max_active" in shown["decode"][1]
    assert "adapt=true" in shown["align"][1] and "beam" not in shown["align"][1]
    code, listed, _ = run("phones", "--help")
    assert code == 0 and all(re.search(rf"^\s+{command}\s", listed, re.MULTILINE) for command in COMMANDS)


def test_training_leaves_its_stages_and_says_where(run, made, tmp_path):
    code, out, _ = run(
        "phones", "train", "table", made / "words" / "table.tsv", tmp_path / "model", "--lexicon", "graphemes",
        "--last", "mono", "--size", "small", *options(TINY),
    )  # fmt: skip
    assert code == 0 and out == f"wrote {tmp_path / 'model'}\n"
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "cepstra", "left_out.tsv", "lexicon.txt", "mono", "stage.json"
    ]  # fmt: skip
    assert sorted((tmp_path / "model" / "lexicon.txt").read_text().splitlines()) == sorted(
        f"{word} {' '.join(word)}" for word in WORDS
    )


def test_kaldi_directories_are_trained_and_scored(run, made, tmp_path):
    """One directory is one use, which the command knows."""
    for part, speaker in (("train", "ann"), ("test", "bob")):
        folder = tmp_path / part
        folder.mkdir()
        rows = [line.split("\t") for line in (made / "words" / "table.tsv").read_text().splitlines()[1:]]
        rows = [(path.replace("/", "-")[:-4], made / "words" / path, said, text) for path, said, text, _ in rows]
        rows = [row for row in rows if row[2] == speaker]
        (folder / "wav.scp").write_text("".join(f"{name} {path}\n" for name, path, *_ in rows))
        (folder / "text").write_text("".join(f"{name} {text}\n" for name, *_, text in rows))
        (folder / "utt2spk").write_text("".join(f"{name} {speaker}\n" for name, *_ in rows))
    (tmp_path / "dict").mkdir()
    (tmp_path / "dict" / "lexicon.txt").write_text(LEXICON)
    common = ["--lexicon", tmp_path / "dict"]
    trained = run(
        "phones", "train", "kaldi", tmp_path / "train", tmp_path / "m", *common, "--last", "mono", *options(TINY)
    )
    assert trained[0] == 0
    code, out, _ = run("phones", "score", tmp_path / "m" / "mono", "kaldi", tmp_path / "test", tmp_path / "s", *common)
    figures = json.loads(out)
    assert code == 0 and figures["per"] < 10 and figures["utterances"] == 12


def test_align_and_score_files(run, made, tmp_path):
    ctm = read_ctm(made / "aligned" / "phones.ctm")
    assert len(ctm) == len(Store(made / "aligned" / "pdf_ids")) == 24
    arguments = ["table", made / "words" / "table.tsv", tmp_path / "work", "--lexicon", made / "model" / "lexicon.txt"]
    code, out, _ = run("phones", "score", made / "model" / "tri1", *arguments, "--json", tmp_path / "score.json")
    assert code == 0 and out == f"wrote {tmp_path / 'score.json'}\n"
    assert json.loads((tmp_path / "score.json").read_text())["per"] < 10


def test_decode_needs_no_words(run, made, tmp_path):
    samples, times = say(["mis", "osa"], np.random.default_rng(4))
    soundfile.write(tmp_path / "new.wav", samples, RATE)
    code, out, _ = run(
        "phones", "decode", made / "model" / "mono", tmp_path / "new.wav", made / "words" / "bob" / "03.wav", "--out",
        tmp_path / "out", "--set", "beam=12",
    )  # fmt: skip
    assert code == 0 and out == f"wrote {tmp_path / 'out'}\n"
    found = read_ctm(tmp_path / "out" / "phones.ctm")
    assert set(found) == {"new", "03"} and [phone for phone, *_ in found["new"]] == [phone for phone, *_ in times]


def test_worker_processes_decode_the_same(run, made, tmp_path, monkeypatch):
    code, *_ = run("phones", "decode", made / "model" / "mono", made / "words" / "ann", "--out", tmp_path / "here")
    monkeypatch.undo()
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "phones",
                "decode",
                *map(str, [made / "model" / "mono", made / "words" / "ann", "--out", tmp_path / "there"]),
            ]
        )
    assert code == ended.value.code == 0
    here, there = ((tmp_path / name / "phones.ctm").read_text() for name in ("here", "there"))
    assert here == there and len(here) > 1000


def test_bootstrap_then_label(run, made, tmp_path):
    """The neural model of tri1 labels the whistles' training copies."""
    code, out, _ = run(
        "phones", "bootstrap", made / "model" / "tri1", "table", made / "words" / "table.tsv", tmp_path / "robust",
        "--untranscribed", made / "data", "--split", "fold0", *options(["copies=1", "epochs=2", "self_training_rounds=0"]),
    )  # fmt: skip
    assert code == 0 and out == f"wrote {tmp_path / 'robust'}\n"
    code, out, _ = run(
        "phones", "label", made / "data", made / "frames", tmp_path / "pdf_ids", "--source", "gmm", "--set",
        f"model={tmp_path / 'robust'}",
    )  # fmt: skip
    assert code == 0 and out == f"wrote {tmp_path / 'pdf_ids'}\n"
    stored = Store(tmp_path / "pdf_ids")
    assert stored.meta["source"] == PhonesConfig(source="gmm", model=tmp_path).source
    assert stored.meta["num_pdfs"] == Store(made / "aligned" / "pdf_ids").meta["num_pdfs"]
    assert "statistics" in json.loads((tmp_path / "pdf_ids" / "stage.json").read_text())


def test_stats_hold_sources_against_each_other(run, made, tmp_path):
    assert run("phones", "decode", made / "model" / "mono", made / "words", "--out", tmp_path / "out")[0] == 0
    code, out, _ = run("phones", "stats", made / "aligned", tmp_path / "out")
    figures = json.loads(out)
    of = figures["sources"][str(made / "aligned")]
    assert code == 0 and of["utterances"] == 24 and of["frames"] == Store(made / "aligned" / "pdf_ids").num_rows
    assert 2 < of["entropy_bits"] < np.log2(of["model_pdfs"]) and 0.1 < of["silence_share"] < 0.5
    assert of["distinct_phones"] == 6
    (pair,) = figures["pairs"]
    assert pair["utterances"] == 24 and 0.5 < pair["v_measure"] < 1
    alone = json.loads(run("phones", "stats", tmp_path / "out" / "phones.ctm")[1])
    assert alone["pairs"] == []


def test_a_picture_is_drawn(run, made, tmp_path):
    audio = made / "words" / "ann" / "03.wav"
    assert run("phones", "decode", made / "model" / "mono", audio, "--out", tmp_path / "decoded")[0] == 0
    code, out, _ = run(  # ann/03 in the one, 03 in the other
        "phones", "picture", audio, tmp_path / "new" / "03.png", "--labels", made / "aligned", "--labels", tmp_path / "decoded"
    )  # fmt: skip
    assert code == 0 and out == f"wrote {tmp_path / 'new' / '03.png'}\n"
    assert (tmp_path / "new" / "03.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


SYLLABLES = {"ma1": "妈", "mi3": "米", "sa1": "撒", "si4": "四", "mo2": "模"}
SOUNDS = {"ma1": "ma", "mi3": "mi", "sa1": "sa", "si4": "si", "mo2": "mo"}


@pytest.fixture
def mandarin(tmp_path):
    """A tree like audio-cmn's: two speakers, 24 words each, a row of clips.tsv for every one."""
    rng, lines = np.random.default_rng(0), ["path\tspeaker\tseconds\ttext\tpinyin"]
    for speaker, warp in (("f1", 1.05), ("m1", 0.95)):
        (tmp_path / "cmn" / speaker).mkdir(parents=True)
        for number in range(24):
            said = rng.choice(list(SYLLABLES), 3)
            samples, _ = say([SOUNDS[of] for of in said], rng, warp)
            soundfile.write(tmp_path / "cmn" / speaker / f"{number}.wav", samples, RATE)
            text, pinyin = "".join(SYLLABLES[of] for of in said), " ".join(said)
            lines.append(f"{speaker}/{number}.wav\t{speaker}\t{len(samples) / RATE:.2f}\t{text}\t{pinyin}")
    (tmp_path / "cmn" / "clips.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "cmn"


def test_recipe_phones_cmn(run, mandarin, tmp_path):
    arguments = ["recipe", "phones-cmn", "--root", mandarin, "--out", tmp_path / "out"]
    code, out, _ = run(*arguments, *options(f"model.{option}" for option in TINY))
    assert code == 0 and out == f"wrote {tmp_path / 'out' / 'results.json'}\n"
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert tuple(results) == STAGES
    for name, of in results.items():
        assert {"per", "num_pdfs", "num_gaussians", "loglik_per_frame", "seconds"} <= of.keys(), name
        assert of["utterances"] == 4 and of["num_reference"] == 4 * 3 * 2  # every tenth row of each speaker
        assert 0 <= of["per"] < 30, name
    code, _, lines = run(*arguments, "--fold", "0")
    assert code == 2 and lines[-1].endswith("it takes --root, --out and --set alone")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train sheet TABLE OUT --lexicon LEXICON", "unknown kind of transcribed corpus 'sheet'; expected table, kaldi"),
        ("train table nowhere.tsv OUT --lexicon LEXICON", "nowhere.tsv is not a file"),
        ("train table LEXICON OUT --lexicon LEXICON", "no 'path'"),
        ("train kaldi nowhere OUT --lexicon LEXICON", "nowhere is not a folder; expected a Kaldi data directory"),
        ("train thchs30 nowhere OUT --lexicon pinyin", "nowhere/train is not a folder"),
        ("train audio-cmn nowhere OUT --lexicon pinyin", "nowhere/clips.tsv is not a file"),
        ("train table TABLE OUT --lexicon no-lexicon.txt", "no-lexicon.txt is not there; expected a lexicon"),
        ("train table TABLE OUT --lexicon pinyin", "no word of the transcripts is a Pinyin syllable"),
        ("train table TABLE OUT --lexicon LEXICON --size tiny", "--size tiny: expected full or small"),
        ("train table TABLE OUT --lexicon LEXICON --last tri9", "no stage 'tri9'; they are, in order, mono"),
        ("train table TABLE OUT --lexicon LEXICON --set mono.gausians=3", "did you mean 'gaussians'"),
        ("train table TABLE OUT --lexicon LEXICON --set tri1.leaves=0", "tri1.leaves"),
        ("align MODEL/mono table TABLE OUT --lexicon symbols", "phones that the model of 6 does not know, such as 'ami'"),
        ("align ROOT table TABLE OUT --lexicon LEXICON", "holds no phone model"),
        ("score ROOT table TABLE OUT --lexicon LEXICON", "holds no phone model"),
        ("bootstrap ROOT table TABLE OUT", "holds no phone model"),
        ("bootstrap MODEL/mono table TABLE ROOT", "holds something else"),
        ("bootstrap MODEL/mono table TABLE OUT --split fold0", "split fold0 of what?"),
        ("decode ROOT WAV --out OUT", "holds no phone model"),
        ("decode MODEL/mono nowhere.wav --out OUT", "nowhere.wav"),
        ("decode MODEL/mono nowhere --out OUT", "nowhere"),
        ("decode MODEL/mono WAV --out OUT --set beam=-1", "DecodeConfig.beam"),
        ("label DATA FRAMES OUT --source gmm", "model=FOLDER"),
        ("label DATA FRAMES OUT --source kaldi", "labels=PATH"),
        ("label DATA FRAMES OUT --source gmm --set model=ROOT", "holds no phone model"),
        ("label DATA FRAMES OUT --source gnm", "PhonesConfig.source"),
        ("label DATA FRAMES OUT --source none", "nothing to label"),
        ("stats nowhere", "no nowhere; expected an .npz"),
        ("stats FRAMES/frames", "holds frames, not labels"),
        ("picture nowhere.wav OUT.png --labels ALIGNED --utterance ann/03", "nowhere.wav"),
        ("picture WAV OUT.png --labels ALIGNED --utterance eve/03", "has 0 utterances called eve/03, and 24 in all"),
        ("picture WAV OUT.png --labels ALIGNED --utterance 03", "has 2 utterances called 03, and 24 in all such as ann/00"),
        ("picture WAV OUT.png --labels ROOT", "phones.ctm is not a file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(run, made, tmp_path, arguments, message):
    words = made / "words"
    places = {
        "TABLE": words / "table.tsv", "LEXICON": words / "lexicon.txt", "OUT": tmp_path / "out", "ROOT": made,
        "MODEL": made / "model", "WAV": words / "ann" / "03.wav", "DATA": made / "data", "FRAMES": made / "frames",
        "ALIGNED": made / "aligned",
    }  # fmt: skip
    spelt = re.sub(r"[A-Z]{3,}", lambda found: str(places[found[0]]), arguments)
    code, out, lines = run("phones", *spelt.split())
    assert code == 2 and out == ""
    assert len(lines) == 1 and lines[0].startswith("isogloss: ") and message in lines[0], lines
    assert not (tmp_path / "out" / "stage.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("phones-cmn", "needs --root, the folder of audio-cmn"),
        ("phones-cmn --root nowhere", "nowhere/clips.tsv is not a file"),
        ("phones-cmn --root nowhere --set model.mono.gausians=2", "did you mean 'gaussians'"),
    ],
)
def test_a_recipe_says_what_it_needs(run, arguments, message):
    code, _, lines = run("recipe", *arguments.split())
    assert code == 2 and len(lines) == 1 and message in lines[0]


def test_missing_arguments_are_usage(run):
    assert run("phones", "train")[0] == run("phones", "align", "x")[0] == run("phones", "trian")[0] == 2
