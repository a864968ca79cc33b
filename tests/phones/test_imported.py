import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from isogloss.phones.imports import from_kaldi_ali, imported, label_files, names_in
from isogloss.types import IsoglossError

DATA = Path(__file__).parents[1] / "data" / "kaldi_gmm"


@pytest.fixture
def kaldi(tmp_path):
    """A folder as Kaldi's align_fmllr.sh leaves it."""
    folder = tmp_path / "tri4b_ali"
    (folder / "log").mkdir(parents=True)
    shutil.copy(DATA / "ali.1.gz", folder)
    for name, source in (("final.mdl", "transitions.mdl.gz"), ("tree", "tree.gz")):
        (folder / name).write_bytes(gzip.decompress((DATA / source).read_bytes()))
    return folder


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_what_is_there_decides(kaldi, tmp_path):
    expected = from_kaldi_ali(DATA / "ali.1.gz", DATA / "transitions.mdl.gz").labels
    for path in (kaldi, kaldi / "ali.1.gz"):
        kind, files = label_files(path)
        assert kind == "ali" and [file.name for file in files] == ["ali.1.gz", "final.mdl", "tree"]
        found = imported(path)
        assert found.num_pdfs == 1152 and same(found.labels, expected)
    ark = "".join(f"{name} {' '.join(map(str, of))}\n" for name, of in expected.items())
    (kaldi / "pdf.ark").write_text(ark)  # beside a model, whose number of pdfs is known
    assert imported(kaldi / "pdf.ark").num_pdfs == 1152 and same(imported(kaldi / "pdf.ark").labels, expected)
    (tmp_path / "pdf.txt").write_text(ark)
    assert imported(tmp_path / "pdf.txt").num_pdfs == 1 + max(int(of.max()) for of in expected.values())
    np.savez(tmp_path / "pdf.npz", **expected)
    assert same(imported(tmp_path / "pdf.npz").labels, expected)
    (tmp_path / "a.ctm").write_text("u 1 0.0 0.1 a\nu 1 0.1 0.1 sil\n")
    assert imported(tmp_path / "a.ctm", {"u": 5}, states=2).labels["u"].tolist() == [0, 0, 0, 0, 1]


def test_a_folder_of_textgrids(tmp_path):
    grid = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 0.1\ntiers? <exists>\nsize = 1\nitem []:\n'
        '    item [1]:\n        class = "IntervalTier"\n        name = "phones"\n        xmin = 0\n        xmax = 0.1\n'
        "        intervals: size = 1\n        intervals [1]:\n            xmin = 0\n            xmax = 0.1\n"
        '            text = "a"\n'
    )
    (tmp_path / "grids" / "deu").mkdir(parents=True)
    (tmp_path / "grids" / "deu" / "u.TextGrid").write_text(grid)
    assert label_files(tmp_path / "grids")[0] == "textgrid"
    assert imported(tmp_path / "grids", {"u": 3}).labels["u"].tolist() == [0, 0, 0]


def test_what_cannot_be_read_is_said(kaldi, tmp_path):
    (kaldi / "final.mdl").unlink()
    for path in (kaldi, kaldi / "ali.1.gz"):
        with pytest.raises(IsoglossError, match=r"ali.1.gz is a Kaldi alignment, but no final.mdl lies beside it"):
            imported(path)
    with pytest.raises(IsoglossError, match=r"holds neither ali.\*.gz with final.mdl nor TextGrids"):
        imported(kaldi / "log")
    with pytest.raises(IsoglossError, match="expected an .npz"):
        imported(tmp_path / "nothing")


def test_utterances_are_found_by_id_or_its_last_part():
    labels = {"deu/a": 0, "b": 0, "c": 0, "other": 0}
    assert names_in(labels, ["deu/a", "fra/b", "c", "d"]) == {"deu/a": "deu/a", "fra/b": "b", "c": "c"}
    assert names_in({"a": 0, "deu/a": 0}, ["deu/a", "fra/a"]) == {"deu/a": "deu/a", "fra/a": "a"}
    with pytest.raises(IsoglossError, match="labels 'a' may be of deu/a or of fra/a"):
        names_in({"a": 0}, ["deu/a", "fra/a"])
    with pytest.raises(IsoglossError, match="labels 'a' may be of a or of fra/a"):
        names_in({"a": 0}, ["a", "fra/a"])
