"""Folders and manifests: what they yield, and what they say of bad input."""

import json

import pytest

from isogloss.corpora import folders, manifest
from isogloss.types import IsoglossError


def test_folders_take_the_language_from_the_folder(tmp_path, tone):
    tone(tmp_path / "deu" / "a.wav")
    tone(tmp_path / "fra" / "deep" / "b c#1.flac")
    (tmp_path / "deu" / "notes.txt").write_text("not audio")
    found = folders.items(tmp_path)
    assert [(item.language, item.id) for item in found] == [("deu", "deu/a"), ("fra", "fra/deep/b_c_1")]


def test_empty_and_unsorted_folders_say_what_was_expected(tmp_path, tone):
    with pytest.raises(IsoglossError, match="it holds no audio"):
        folders.items(tmp_path)
    with pytest.raises(IsoglossError, match="not a folder"):
        folders.items(tmp_path / "nowhere")
    tone(tmp_path / "loose.wav")
    with pytest.raises(IsoglossError, match="1 audio files lie directly in it"):
        folders.items(tmp_path)


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_the_three_kinds_of_table_say_the_same(tmp_path, suffix):
    rows = [
        {"path": "a.wav", "language": "deu", "video": "v1", "start": "0.5", "end": "2", "fold": "3", "use": "train"},
        {"path": "b.wav", "language": "rus", "video": "v2", "start": "", "end": "", "fold": "", "use": "out_of_set"},
    ]
    table = tmp_path / f"clips{suffix}"
    if suffix == ".jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "," if suffix == ".csv" else "\t"
        table.write_text("\n".join(mark.join(line) for line in [list(rows[0]), *(list(row.values()) for row in rows)]))
    first, second = manifest.items(table, {"recording": "video"})
    assert (first.id, first.language, first.recording, first.fold) == ("a-0.500-2.000", "deu", "v1", 3)
    assert (first.start_seconds, first.end_seconds, first.out_of_set) == (0.5, 2.0, False)
    assert (second.id, second.fold, second.out_of_set, second.path) == ("b", None, True, tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\tlanguge\na.wav\tdeu\n", "line 2: no 'language'; is it called 'languge'"),
        ("path\tlanguage\tstart\na.wav\tdeu\tsoon\n", "start 'soon' is not a number"),
        ("path\tlanguage\tstart\tend\na.wav\tdeu\t2\t1\n", "span 2.0 to 1.0"),
        ("path\tlanguage\tsplit\na.wav\tdeu\ttraining\n", "split 'training'"),
        ("path\tlanguage\n", "no line of data"),
        ("\0\udc80", "cannot be read"),
    ],
)
def test_a_bad_table_names_the_line_and_the_cause(tmp_path, text, message):
    table = tmp_path / "clips.tsv"
    table.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(IsoglossError, match=message):
        manifest.items(table)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(IsoglossError, match="is not a file"):
        manifest.items(tmp_path / "clips.tsv")
