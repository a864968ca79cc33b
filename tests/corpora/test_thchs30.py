"""THCHS-30, on a small tree of its layout."""

import logging

import pytest

from isogloss.corpora import thchs30
from isogloss.types import IsoglossError

TRN = "绿 是 阳春\nlv4 shi4 yang2 chun1 \nl v4 sh ix4 ii iang2 ch un1 \n"


@pytest.fixture
def root(tmp_path):
    """Two training utterances whose .trn names the one in data, one of test that holds its own lines."""
    base = tmp_path / "data_thchs30"
    for name in ("train/A2_10.wav", "train/B11_0.wav", "test/D4_750.wav"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    (base / "data").mkdir()
    for name in ("A2_10", "B11_0"):
        (base / "train" / f"{name}.wav.trn").write_text(f"../data/{name}.wav.trn\n")
        (base / "data" / f"{name}.wav.trn").write_text(TRN, encoding="utf-8")
    (base / "test" / "D4_750.wav.trn").write_text(TRN, encoding="utf-8")
    return tmp_path


def test_speakers_uses_and_the_three_kinds_of_unit(root):
    found = thchs30.items(root, "train")
    assert [(item.id, item.speaker, item.use) for item in found] == [
        ("A2_10", "A2", "train"),
        ("B11_0", "B11", "train"),
    ]
    assert found[0].path == root / "data_thchs30/train/A2_10.wav"
    assert found[0].words == ("lv4", "shi4", "yang2", "chun1")
    assert thchs30.items(root / "data_thchs30", "train") == found
    (test,) = thchs30.items(root, "test", "words")
    assert (test.words, test.use) == (("绿", "是", "阳春"), "test")
    assert thchs30.items(root, "test", "phones")[0].words == tuple("l v4 sh ix4 ii iang2 ch un1".split())


def test_utterances_without_a_transcript_are_left_out(root, caplog):
    folder = root / "data_thchs30" / "train"
    for name in ("C1_1", "C1_2", "C1_3"):
        (folder / f"{name}.wav").touch()
    (folder / "C1_2.wav.trn").write_text("../data/C1_2.wav.trn\n")
    (folder / "C1_3.wav.trn").write_bytes(TRN.encode("gb18030"))
    (root / "data_thchs30/data/B11_0.wav.trn").write_text("绿 是\n")
    with caplog.at_level(logging.WARNING):
        assert [item.id for item in thchs30.items(root, "train")] == ["A2_10"]
    assert "left out: 4 no transcript; the first: B11_0" in caplog.text
    assert "B11_0.wav.trn has 1 lines; expected 3: words, syllables, phones" in caplog.text


def test_what_is_not_there_is_named(root, tmp_path):
    with pytest.raises(IsoglossError, match="dev is not a folder; expected ROOT/data_thchs30/dev"):
        thchs30.items(root, "dev")
    with pytest.raises(IsoglossError, match="part 'eval'"):
        thchs30.items(root, "eval")
    (root / "data_thchs30" / "dev").mkdir()
    with pytest.raises(IsoglossError, match="no utterance has both audio and words; it names none"):
        thchs30.items(root, "dev")
