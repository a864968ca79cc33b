"""`isogloss report` and `isogloss compare` of folders that recipes leave: what is found, joined, named and typeset."""

import gzip
import json
import shutil

import numpy as np
import pytest

from isogloss import cli
from isogloss.config import RecipeConfig, override
from isogloss.metrics import write_scores, write_trials
from isogloss.report import load_run
from isogloss.stages import best_recipe
from isogloss.stages.compare import compare, table
from isogloss.stages.embedding_map import _evenly, embedding_map
from isogloss.stages.extract import Embeddings
from isogloss.stages.ledger import done
from isogloss.stages.recipe import Results
from isogloss.stages.report import report_runs
from isogloss.stages.runs import differing_settings, find_systems, row_ids
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

LANGUAGES = ["aaa", "bbb", "ccc"]
UNKNOWN = ["xxx", "yyy"]
SPLIT = {
    "train": [f"t{i}" for i in range(9)], "valid": [f"v{i}" for i in range(21)],
    "enrol": [f"t{i}" for i in range(9)], "test": [f"c{i}" for i in range(24)], "out_of_set": ["o0", "o1", "o2"],
}  # fmt: skip


def language(name):
    return UNKNOWN[int(name[1:]) % 2] if name[0] == "o" else LANGUAGES[int(name[1:]) % 3]


def key(names):
    return {name: OUT_OF_SET if name[0] == "o" else language(name) for name in names}


def write_data(data):
    """A prepared corpus, as lhotse writes it."""
    data.mkdir(parents=True)
    with gzip.open(data / "cuts.jsonl.gz", "wt") as file:
        for use in ("train", "valid", "test", "out_of_set"):
            for name in SPLIT[use]:
                source = {"type": "file", "channels": [0], "source": f"/speech/{language(name)}/{name}.wav"}
                recording = {"id": name, "sampling_rate": 16000, "num_samples": 48000, "duration": 3.0,
                             "channel_ids": [0], "sources": [source]}  # fmt: skip
                supervision = {"id": name, "recording_id": name, "start": 0.0, "duration": 3.0, "channel": 0,
                               "language": language(name)}  # fmt: skip
                cut = {"id": name, "start": 0.0, "duration": 3.0, "channel": 0, "supervisions": [supervision],
                       "recording": recording, "type": "MonoCut"}  # fmt: skip
                file.write(json.dumps(cut) + "\n")
    (data / "splits.json").write_text(json.dumps({"fold0": SPLIT}))


def write_run(run, source, seed, systems=("2",), width=64):
    """RUN with random scores that are the better the higher the seed."""
    if not (run.parent / "data").exists():
        write_data(run.parent / "data")
    rng = np.random.default_rng([seed, len(source)])
    run.mkdir(parents=True)
    config = {"phones": {"source": source}, "train": {"seed": seed, "width": width},
              "evaluate": {"conditions": ["full", "open"], "short_frames": 100, "num_resamples": 40, "seed": 1}}  # fmt: skip
    (run / "config.json").write_text(json.dumps(config))
    for id in systems:
        folder = run / f"system{id}" / "fold0"
        for part in ("model", "backend", "scores/head"):
            (folder / part).mkdir(parents=True)
        system = {"id": id, "label": f"system {id}", "head": "softmax", "multitask": id != "1", "m": 0.0, "beta": 0.0}
        (folder / "model" / "model.json").write_text(json.dumps({"system": system, "seconds": 2.0}))
        (folder / "model" / "log.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
        (folder / "backend" / "stage.json").write_text("{}")
        tests = {}
        uses = {"valid": ["valid"], "full": ["test"], "open": ["test", "out_of_set"]}
        logits = {name: rng.normal(size=3) for use in uses["valid"] + uses["open"] for name in SPLIT[use]}
        for name, row in logits.items():
            if name[0] != "o":
                row[LANGUAGES.index(language(name))] += seed
        for condition, of in uses.items():
            names = [name for use in of for name in SPLIT[use]]
            loglik = np.array([logits[name] - np.logaddexp.reduce(logits[name]) for name in names])
            write_scores(
                folder / "scores/head" / f"{condition}.scores", Scores(names, LANGUAGES, loglik), form="matrix"
            )
            write_trials(folder / "scores" / f"{condition}.trials", key(names), LANGUAGES)
            tests[condition] = {
                "key": key(names),
                "recordings": {x: f"r{x[0]}{int(x[1:]) // 2}" for x in names},
                "no_speech": [],
            }
        (folder / "scores" / "tests.json").write_text(json.dumps(tests))
        (folder / "scores" / "stage.json").write_text(json.dumps({"stamp": f"{source} {seed} {id}"}))
        for file, use in (("enrol", "enrol"), ("valid", "valid"), ("full", "test"), ("out_of_set", "out_of_set")):
            names = SPLIT[use]
            far = rng.normal(size=(len(names), 6))
            Embeddings(names, list(key(names).values()), names, np.full(len(names), 250), far, far).save(
                folder / "embeddings" / f"{file}.npz"
            )
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("exp") / "out"
    write_run(out / "seed1", "gmm", 1, ("1", "2"))
    write_run(out / "seed2", "gmm", 2, ("1", "2"))
    write_run(out / "seed1-kaldi", "kaldi", 1)
    write_run(out / "seed2-kaldi", "kaldi", 2)
    return sorted(out.glob("seed*"))


@pytest.fixture(scope="module")
def measured(runs, tmp_path_factory):
    page = report_runs(runs, tmp_path_factory.mktemp("report"))
    return page, json.loads((page.parent / "metrics.json").read_text())


def test_seeds_and_label_sources_become_rows(runs):
    systems = find_systems(runs)
    assert [one.name for one in systems] == ["1 none", "2 gmm", "2 kaldi"]  # a single-task system reads no labels
    assert [list(one.seeds) for one in systems] == [[1, 2]] * 3
    assert row_ids(systems) == ["1", "2-gmm", "2-kaldi"]
    assert row_ids(systems[:2]) == ["1", "2"]


def test_runs_of_several_folders_are_kept_apart(runs, tmp_path):
    other = write_run(tmp_path / "wide" / "seed1", "gmm", 1, width=128)
    systems = find_systems([runs[0], other])
    assert row_ids(systems) == ["1", "2-out", "2-wide"]
    configs = [json.loads((run / "config.json").read_text()) for run in (runs[0], other)]
    assert differing_settings(configs) == ["train.width: 64, 128"]


@pytest.fixture(scope="module")
def scored(runs):
    """OUT/scored as `recipe vl16-best` leaves it: a fusion, and phone sequences that were never heard on an open set."""
    out = runs[0].parent
    folder = out / "scored"
    for row, backend, conditions in (
        ("fused", "fusion", ("valid", "full", "open")),
        ("phones", "phones", ("valid", "full")),
    ):
        scores = folder / row / "fold0" / "scores"
        (scores / backend).mkdir(parents=True)
        of = out / "seed2" / "system2" / "fold0" / "scores"
        for condition in conditions:
            (scores / backend / f"{condition}.scores").write_text((of / "head" / f"{condition}.scores").read_text())
        tests = json.loads((of / "tests.json").read_text())
        (scores / "tests.json").write_text(json.dumps({name: tests[name] for name in conditions}))
        about = {"stamp": row, "label": f"made of {row}", "backend": backend}
        (scores / "stage.json").write_text(json.dumps(about))
    (folder / "config.json").write_text((out / "seed1" / "config.json").read_text())
    return folder


def test_scores_that_no_network_gave_are_rows_too(runs, scored, tmp_path):
    page = report_runs([*runs, scored], tmp_path)
    value = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["id"] for row in value["systems"]] == ["1", "2-gmm", "2-kaldi", "fused", "phones"]
    fused = value["systems"][3]
    assert (fused["label"], fused["scored_by"], fused["seeds"]) == ("made of fused", "fusion", None)
    assert fused["seconds_train"] is fused["embeddings"] is fused["enrolment"] is None and value["backend"] == "head"
    of_network = value["systems"][1]["backends"]["head"]["full"]["accuracy"]["by_seed"][1]
    assert fused["backends"]["fusion"]["full"]["accuracy"]["value"] == pytest.approx(of_network)  # its own scores
    assert fused["backends"]["fusion"]["open"]["operating_point"]["num_validation"] == 21
    pairs = {(one["condition"], one["a"], one["b"]) for one in value["differences"]}
    assert ("full", "fused", "phones") in pairs and ("open", "2-gmm", "fused") in pairs
    assert ("open", "fused", "phones") not in pairs
    assert set(value["curves"]) == {"1", "2-gmm", "2-kaldi"}
    run = load_run(tmp_path / "metrics.json")
    assert run.backends == ["head"]
    html = page.read_text()
    for said in ("Each network was trained with 2 seeds", "of their own: fused, phones.", "<code>head</code>"):
        assert said in html, said
    assert "<code>fusion</code>" not in html
    for picture in ("det-full", "reliability-fused-full", "confusion-fused-full", "confusion-phones-full"):
        assert f'id="{picture}-' in html, picture


def test_rows_without_networks_alone_and_beside_one(runs, scored, tmp_path, measured_only):
    value = json.loads(report_runs([scored / "phones"], tmp_path).read_text())
    assert [row["id"] for row in value["systems"]] == ["phones"] and value["backend"] == "phones"
    assert load_run(tmp_path / "metrics.json").backends == ["phones"]
    found = compare([scored, runs[0], scored / "fused"])  # the row stands there once
    assert [(row["system"], row["labels"], row["seeds"]) for row in found["rows"]] == [
        ("1", "none", [1]),
        ("2", "gmm", [1]),
        ("fused", "", []),
        ("phones", "", []),
    ]
    assert "| fused |  | – |" in table(found)
    with pytest.raises(IsoglossError, match="phones/fold0/scores has no condition 'open'"):
        compare([scored], "open")


def test_vl16_best_ends_in_one_page_of_all_its_rows(tmp_path, monkeypatch):
    """What trains and decodes is left out; the networks' scores are there as if they had."""
    encoders = []

    def trained(items, out, systems, config, *, usual_source, **_):
        encoders.append(config.train.encoder)
        run = write_run(out / f"seed{config.train.seed}", usual_source, config.train.seed)
        folder = (run / "system2").rename(run / f"system{systems[0].id}") / "fold0"
        about = json.loads((folder / "model" / "model.json").read_text())
        about["system"] |= {"id": systems[0].id, "label": systems[0].label}
        (folder / "model" / "model.json").write_text(json.dumps(about))
        scores = folder / "scores"
        shutil.copytree(scores / "head", scores / best_recipe.BACKEND)
        return Results(run / "report" / "metrics.json", run / "report" / "report.html", run / "model.isogloss")

    def heard(prepared, frames, decoded, out, config, split):
        network = out.parents[1] / "seed1" / "system2" / split / "scores"
        shutil.copytree(network, out)
        shutil.copytree(network / "head", out / "phones")
        return done(out, "heard")

    monkeypatch.setattr(best_recipe, "run_recipe", trained)
    monkeypatch.setattr(best_recipe, "decode_phones", lambda *_: None)
    monkeypatch.setattr(best_recipe, "phonotactic_scores", heard)
    config = override(RecipeConfig(), ["train.seed=1", "evaluate.num_resamples=20"])
    made = best_recipe.best_recipe(
        [], tmp_path / "clips.tsv", tmp_path / "exp", config, corpus="vl16", folds=None, num_jobs=1
    )
    assert made == tmp_path / "exp" / "report" / "report.html"
    run = load_run(made.with_name("metrics.json"))
    assert [(row.id, row.scored_by, row.seeds) for row in run.systems] == [
        ("2", None, [1, 2, 3]),
        ("2-dtdnn", None, [4, 5, 6]),
        ("networks", "fusion", None),
        ("networks+phones", "fusion", None),
        ("phones", "fusion", None),
    ]
    assert all(row.result("head", "full") for row in run.systems)
    assert encoders == 3 * ["etdnn"] + 3 * ["dtdnn"]


def test_scores_of_nobody_knows_what_are_named(runs, tmp_path):
    scores = tmp_path / "out" / "seed1" / "system2" / "fold0" / "scores"
    scores.mkdir(parents=True)
    with pytest.raises(IsoglossError, match="has scores but no model/.*was the model removed"):
        find_systems([tmp_path / "out" / "seed1"])


def test_the_same_training_twice_is_refused(runs, tmp_path):
    copy = write_run(tmp_path / "out" / "seed1", "gmm", 1)
    again = write_run(tmp_path / "out" / "again", "gmm", 1)
    with pytest.raises(IsoglossError, match="are the same system with the same labels and seed; leave one out"):
        find_systems([copy, again])
    assert len(find_systems([copy, copy])) == 1


def test_metrics_of_several_runs(measured):
    _, value = measured
    assert [row["id"] for row in value["systems"]] == ["1", "2-gmm", "2-kaldi"]
    row = value["systems"][1]
    assert row["seeds"] == [1, 2] and row["seconds_train"] == 4.0
    full = row["backends"]["head"]["full"]["accuracy"]
    assert full["value"] == pytest.approx(np.mean(full["by_seed"]), rel=1e-5)
    assert row["enrolment"]["by_language"] == {"aaa": 3, "bbb": 3, "ccc": 3} and row["enrolment"]["num_seen"] == 9
    assert value["unknown_languages"] == {"xxx": 2, "yyy": 1}
    worst = row["backends"]["head"]["open"]["worst"][0]
    assert worst["spoken"] == OUT_OF_SET and worst["language"] == language(worst["clip"])
    assert worst["path"] == f"/speech/{worst['language']}/{worst['clip']}.wav" and worst["voiced_seconds"] == 2.5
    pairs = {(one["condition"], one["metric"], one["a"], one["b"]) for one in value["differences"]}
    assert ("open", "accuracy", "2-gmm", "2-kaldi") in pairs and len(pairs) == 2 * 2 * 3
    assert row["backends"]["head"]["open"]["operating_point"]["num_validation"] == 2 * 21
    assert value["leaks"] is None and value["versions"]["python"]


def test_the_file_is_for_people_too(measured):
    text = (measured[0].parent / "metrics.json").read_text()
    assert '"languages": ["aaa", "bbb", "ccc"]' in text and "NaN" not in text
    assert max(len(number.replace(".", "")) for line in text.splitlines() if '"value"' in line
               for number in [line.split(":")[1].strip(" ,")]) <= 10  # fmt: skip


def test_the_page_names_recordings_and_says_what_it_rests_on(measured):
    html = measured[0].read_text()
    for said in ("labels kaldi", "of 2 seeds", ".wav</a>", "No leak check was run",
                 "xxx (2), yyy (1) clips", "own head, which needs no enrolment"):  # fmt: skip
        assert said in html, said
    assert len(load_run(measured[0].parent / "metrics.json").systems) == 3


def test_leaks_beside_the_corpus_or_the_run_stand_on_the_page(runs, tmp_path):
    out = tmp_path / "exp"
    run = write_run(out / "seed1", "gmm", 1)
    leaks = {"shared": {"train-test": {"recordings": 5, "speakers": 0, "duplicates": 0, "examples": ["r1"]}}}
    (out / "data" / "leaks.json").write_text(json.dumps(leaks))
    page = report_runs([run])
    assert page == run.resolve() / "report" / "report.html"
    assert "Leak: train and test share 5 recordings." in page.read_text()


@pytest.fixture
def measured_only(monkeypatch):
    """Nothing is typeset: `report_runs` returns the metrics.json."""
    monkeypatch.setattr("isogloss.stages.report.report", lambda metrics_json, out: metrics_json)


def test_how_it_was_trained_survives_a_second_report(tmp_path, measured_only):
    run = write_run(tmp_path / "exp" / "seed1", "gmm", 1)
    (run / "report").mkdir()
    said = {
        "title": "A recipe",
        "corpus": "whistles",
        "command": "isogloss recipe x",
        "commit": "abc",
        "notes": ["not speech"],
    }
    (run / "report" / "metrics.json").write_text(json.dumps(said))
    for _ in range(2):
        value = json.loads(report_runs([run]).read_text())
        assert value["trained_by"] == [{"command": "isogloss recipe x", "commit": "abc"}]
        assert (value["title"], value["corpus"], value["warnings"][0]) == ("A recipe", "whistles", "not speech")


def test_a_metrics_json_is_typeset_as_it_is(measured, tmp_path):
    page = report_runs([measured[0].parent / "metrics.json"], tmp_path)
    assert page.parent == tmp_path and not (tmp_path / "metrics.json").exists()
    with pytest.raises(IsoglossError, match="expected run folders, or one metrics.json alone"):
        report_runs([measured[0].parent / "metrics.json", tmp_path])


def test_no_run_is_named(tmp_path):
    with pytest.raises(IsoglossError, match=r"holds no run \(no config.json\); expected folders such as OUT/seed1024"):
        report_runs([tmp_path])


def test_compare_of_conditions_and_its_file(runs, tmp_path, capsys):
    file = tmp_path / "compared.json"
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", *map(str, runs), "--condition", "full", "--condition", "open", "--json", str(file)])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "**full**, back end `head`" in printed and "**open**" in printed and "| 2 gmm − 2 kaldi |" in printed
    compared = json.loads(file.read_text())
    assert [one["condition"] for one in compared] == ["full", "open"]
    assert all(0 < pair["accuracy"]["p_value"] <= 1 for one in compared for pair in one["differences"])
    assert "mcnemar" not in compared[0]["differences"][0]  # there are two seeds


def test_maps_draw_languages_evenly_and_count_neighbours(tmp_path):
    assert _evenly(np.array([0] * 50 + [1] * 5), 20).tolist() == [*range(10), *range(50, 55)]
    names = SPLIT["test"]
    far = 5.0 * np.eye(3)[[LANGUAGES.index(language(name)) for name in names]] + 0.01
    Embeddings(names, [language(name) for name in names], names, np.full(24, 9), far, far).save(tmp_path / "full.npz")
    found = embedding_map(tmp_path)
    assert found["neighbours"] == 1.0 and found["chance"] == pytest.approx(1 / 3)
    assert len(found["x"]) == found["num_clips"] == 24
    assert embedding_map(tmp_path / "nowhere") is None


def test_single_task_systems_of_another_run_have_no_config_of_their_own(runs, tmp_path, measured_only):
    out = tmp_path / "exp"
    write_run(out / "seed1", "gmm", 1, ("1",))
    model = out / "seed1" / "system1" / "fold0" / "model" / "model.json"
    model.write_text(json.dumps(json.loads(model.read_text()) | {"train": {"seed": 1, "width": 32}}))
    (out / "seed1" / "config.json").unlink()
    run = write_run(out / "seed1-kaldi", "kaldi", 1)
    assert [one.name for one in find_systems([out / "seed1", run])] == ["1 none", "2 kaldi"]
    value = json.loads(report_runs([out / "seed1", run]).read_text())
    assert value["warnings"][0] == "The runs differ in more than seeds and labels: train.width: 64, 32."
    assert value["config"]["phones"]["source"] == "kaldi"
