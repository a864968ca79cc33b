from pathlib import Path

import numpy as np
import pytest

from isogloss.phones.imports import (
    FrameLabels,
    fit_to_frames,
    from_ctm,
    from_kaldi_ali,
    from_npz,
    from_pdf_ark,
    from_segments,
    from_textgrids,
)
from isogloss.types import IGNORE_PDF, IsoglossError

DATA = Path(__file__).parents[1] / "data" / "kaldi_gmm"
NONE = IGNORE_PDF


def _check(found: FrameLabels) -> None:
    """What holds for every source."""
    assert len(found.pdf_names) == found.num_pdfs
    for labels in found.labels.values():
        assert labels.dtype == np.int16 and labels.ndim == 1
        assert ((labels == NONE) | ((labels >= 0) & (labels < found.num_pdfs))).all()


def test_kaldi_alignments_an_ark_and_an_npz_give_the_same_labels(tmp_path):
    phones = tmp_path / "phones.txt"
    phones.write_text("<eps> 0\nsil 1\naa 2\n")
    found = from_kaldi_ali(DATA / "ali.1.gz", DATA / "transitions.mdl.gz", DATA / "tree.gz", phones)
    _check(found)
    assert found.num_pdfs == 1152
    assert found.pdf_names[:2] == ["sil:0 (0)", "aa:0 (1)"]
    assert from_kaldi_ali(DATA / "ali.1.gz", DATA / "transitions.mdl.txt.gz").pdf_names[0] == "1:0 (0)"
    expected = {key.removesuffix("/pdf_ids"): a for key, a in np.load(DATA / "expected.npz").items() if "pdf" in key}
    assert sorted(found.labels) == sorted(expected)
    (tmp_path / "pdf.ark").write_text("".join(f"{u} {' '.join(map(str, a))}\n" for u, a in expected.items()))
    np.savez(tmp_path / "pdf.npz", **expected)
    highest = max(int(a.max()) for a in expected.values())
    for other in (from_pdf_ark(tmp_path / "pdf.ark"), from_npz(tmp_path / "pdf.npz")):
        _check(other)
        assert other.num_pdfs == highest + 1
        assert all(np.array_equal(other.labels[u], found.labels[u]) for u in expected)
    assert all(np.array_equal(found.labels[u], expected[u]) for u in expected)
    assert from_npz(tmp_path / "pdf.npz", 1152).num_pdfs == 1152
    with pytest.raises(IsoglossError, match=r"utterance utt\d: pdf-id \d+, expected 0 to 99"):
        from_pdf_ark(tmp_path / "pdf.ark", 100)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3)}, "utterance a: float64 of shape"),
        ({"a": np.zeros((3, 1), dtype=int)}, "utterance a: int64 of shape"),
        ({"a": np.array([3, -1])}, "utterance a: pdf-id -1, expected 0 to 3"),
        ({"a": np.array([40000])}, "40001 pdfs; expected 1 to 32768"),
        ({}, "holds no utterance"),
    ],
)
def test_what_is_no_npz_of_labels(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(IsoglossError, match=message):
        from_npz(tmp_path / "x.npz")


def test_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\3\4 no zip")
    for path in (tmp_path / "x.npz", tmp_path / "y.npz"):
        with pytest.raises(IsoglossError, match="is not an .npz of pdf-ids"):
            from_npz(path)
    np.save(tmp_path / "one.npy", np.zeros(3, dtype=int))
    with pytest.raises(IsoglossError, match="is not an .npz of pdf-ids"):
        from_npz(tmp_path / "one.npy")


# frame t has its centre at 10·t + 12.5 ms: frames 0 … 2 in m, 3 … 7 in a, 8 and 9 in silence
SEGMENTS = [("m", 0.0, 0.04), ("a", 0.04, 0.09), ("sil", 0.09, 0.11)]
LABELS = [1, 1, 1, 0, 0, 0, 0, 0, NONE, NONE]


def test_ctm_textgrid_and_segments_give_the_same_labels(tmp_path):
    (tmp_path / "x.ctm").write_text("".join(f"u 1 {start} {end - start:.3f} {s}\n" for s, start, end in SEGMENTS))
    (tmp_path / "grids" / "speaker").mkdir(parents=True)
    intervals = "\n".join(f'{start}\n{end}\n"{"" if s == "sil" else s}"' for s, start, end in SEGMENTS)
    (tmp_path / "grids" / "speaker" / "u.TextGrid").write_text(
        f'"ooTextFile"\n"TextGrid"\n0\n0.11\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n0.11\n3\n{intervals}\n'
    )
    for found in (
        from_segments({"u": SEGMENTS}),
        from_ctm(tmp_path / "x.ctm"),
        from_textgrids(tmp_path / "grids"),
    ):
        _check(found)
        assert found.pdf_names == ["a:0", "m:0"]
        assert found.labels["u"].tolist() == LABELS
    longer = from_ctm(tmp_path / "x.ctm", {"u": 12}, states=2)
    assert longer.num_pdfs == 4
    assert longer.labels["u"].tolist() == [2, 3, 3, 0, 0, 0, 1, 1, NONE, NONE, NONE, NONE]


def test_times_without_phones(tmp_path):
    with pytest.raises(IsoglossError, match="no phone in 1 utterances, only silence"):
        from_segments({"u": [("sil", 0.0, 1.0)]})
    assert from_segments({"u": [("a", 0.0, 0.1)], "v": []}).labels["v"].tolist() == []
    with pytest.raises(IsoglossError, match="no .TextGrid in"):
        from_textgrids(tmp_path)


def test_two_textgrids_of_one_name(tmp_path):
    text = '"ooTextFile"\n"TextGrid"\n0\n1\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n1\n1\n0\n1\n"a"\n'
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "u.TextGrid").write_text(text)
    with pytest.raises(IsoglossError, match="two TextGrids for utterance u"):
        from_textgrids(tmp_path)


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (3, [5, 6, 7]),
        (4, [5, 6, 7, 8]),
        (5, [5, 6, 7, 8, 9]),
        (6, [5, 6, 7, 8, 9, NONE]),
        (7, [5, 6, 7, 8, 9, NONE, NONE]),
    ],
)
def test_up_to_two_frames_are_cut_or_left_unlabelled(num_frames, expected):
    fitted = fit_to_frames(np.arange(5, 10, dtype=np.int16), num_frames, "u")
    assert fitted.tolist() == expected
    assert fitted.dtype == np.int16


@pytest.mark.parametrize(
    ("labels", "frames", "cause"), [(100, 97, "same audio"), (100, 103, "same audio"), (34, 100, "chain model")]
)
def test_more_than_two_frames_are_an_error(labels, frames, cause):
    with pytest.raises(IsoglossError, match=f"utterance u7: {labels} labels but {frames} feature frames.*{cause}"):
        fit_to_frames(np.zeros(labels, dtype=np.int16), frames, "u7")


def test_labels_of_an_utterance():
    found = from_segments({"u": SEGMENTS})
    assert found.for_frames("u", 9).tolist() == LABELS[:9]
    with pytest.raises(IsoglossError, match="no labels for utterance v, but for 1 others such as u"):
        found.for_frames("v", 9)
