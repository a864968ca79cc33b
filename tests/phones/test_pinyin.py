"""Pinyin to phones, against the lexicon that Kaldi was trained with (tests/data/README_pinyin.md)."""

import csv
from pathlib import Path

import pytest

from isogloss.phones.lexicon import read_lexicon
from isogloss.phones.pinyin import FINALS, INITIALS, pinyin_lexicon, syllable_to_phones
from isogloss.types import IsoglossError

REFERENCE = Path(__file__).parents[1] / "data" / "pinyin_syllables.tsv"
# rows of the training list of the same run: syllables, phones
ROWS = {
    "xiao3 hai2 r5": "x iao3 h ai2 er5",
    "nao4 zhe5 wan2 r5": "n ao4 zh e5 uu uan2 er5",
    "zhen1 shi4 de5": "zh en1 sh ix4 d e5",
    "mei2 yi4 si5": "m ei2 ii i4 s iy5",
    "you3 liang3 xia4 zi5": "ii iu3 l iang3 x ia4 z iy5",
    "yong4 bu4 zhe5": "ii iong4 b u4 zh e5",
    "yan1 juan3 r5": "ii ian1 j van3 er5",
    "zong3 de5 lai2 shuo1": "z ong3 d e5 l ai2 sh uo1",
}


def test_every_syllable_is_kaldis():
    with open(REFERENCE, encoding="utf-8") as file:
        rows = [(row["word"], tuple(row["phones"].split())) for row in csv.DictReader(file, delimiter="\t")]
    assert len(rows) == 248
    assert [(word, syllable_to_phones(word)) for word, _ in rows] == rows
    seen = {phone.rstrip("12345") for _, phones in rows for phone in phones}
    assert seen >= {*INITIALS, "aa", "ee", "ii", "oo", "uu", "vv"}
    assert FINALS - seen == {"io"}  # yo is in no word there


def test_every_row_is_kaldis():
    lexicon = pinyin_lexicon(row.split() for row in ROWS)
    for row, phones in ROWS.items():
        assert " ".join(phone for (said,) in lexicon.pronounce(row.split()) for phone in said) == phones


def test_the_umlaut_may_be_written_in_three_ways():
    assert {syllable_to_phones(text) for text in ("lv4", "lü4", "lu\u03084")} == {("l", "v4")}
    assert syllable_to_phones("lüe4") == syllable_to_phones("lue4") == ("l", "ve4")
    assert syllable_to_phones("yo1") == ("ii", "io1")
    assert syllable_to_phones("er5") == ("ee", "er5") != syllable_to_phones("r5")


@pytest.mark.parametrize(
    "wrong", ["", "5", "ng2", "zh4", "zhong", "zhong6", "Zhong1", "huir4", "wu", "wx1", "bx2", "yv4", "中", "sil"]
)
def test_what_is_no_syllable_is_named(wrong):
    with pytest.raises(IsoglossError, match="is not a Pinyin syllable"):
        syllable_to_phones(wrong)


def test_a_lost_tone_is_the_likely_cause():
    with pytest.raises(IsoglossError, match="lost its tone digit"):
        syllable_to_phones("zhong")


def test_the_tones_of_a_final_share_a_root_and_are_questions():
    lexicon = read_lexicon(REFERENCE)
    assert {group for group in lexicon.root_groups if "uo1" in group} == {("uo1", "uo2", "uo3", "uo4", "uo5")}
    initials, *tones = lexicon.questions
    assert set(initials) == {*INITIALS, "aa", "ee", "ii", "oo", "uu", "vv"} and ("zh",) in lexicon.root_groups
    assert [{phone[-1] for phone in tone} for tone in tones] == [{"1"}, {"2"}, {"3"}, {"4"}, {"5"}]


def test_words_that_are_no_syllables_are_left_to_the_report():
    lexicon = pinyin_lexicon([["ni3", "hao3"], ["OK", "ma5"]])
    assert sorted(lexicon.pronunciations) == ["hao3", "ma5", "ni3"]
    assert lexicon.transcribe({"a": ["ni3"], "b": ["OK", "ma5"]}).unknown == {"OK": 1}
    with pytest.raises(IsoglossError, match="no word of the transcripts is a Pinyin syllable; the first: 'ni'"):
        pinyin_lexicon([["ni", "hao"]])
