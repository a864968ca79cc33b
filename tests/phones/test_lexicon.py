"""Lexicons: what every kind of file says, how phones are numbered and grouped, and what becomes of unknown words."""

import logging

import pytest

from isogloss.phones.lexicon import Lexicon, grapheme_lexicon, letters, read_lexicon, symbol_lexicon
from isogloss.types import IsoglossError

TOMATO = {"tomato": (("t", "AH0", "m", "EY1"), ("t", "AH0", "m", "AA1")), "a": (("AH0",),)}


@pytest.fixture
def file(tmp_path):
    def write(name, text, encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write


def test_the_three_kinds_of_file_say_the_same(file):
    plain = read_lexicon(file("lexicon.txt", "\ufefftomato t AH0 m EY1\ntomato  t AH0 m AA1\n\na AH0\n"))
    weighted = read_lexicon(file("lexiconp.txt", "tomato 1.0 t AH0 m EY1\ntomato 0.5 t AH0 m AA1\na 1 AH0\n"))
    table = read_lexicon(
        file("words.tsv", "spelling\tphones\tcount\ntomato\tt AH0 m EY1\t3\ntomato\tt AH0 m AA1\t2\na\tAH0\t9\n"),
        {"word": "spelling"},
    )
    assert plain.pronunciations == weighted.pronunciations == table.pronunciations == TOMATO
    # silence, then those without a digit, then the others by base and digit
    assert plain.phones == weighted.phones == ("sil", "m", "t", "AA1", "AH0", "EY1")
    assert [plain.number(phone) for phone in plain.phones] == [1, 2, 3, 4, 5, 6]


def test_a_trailing_digit_makes_groups_and_questions():
    lexicon = symbol_lexicon([["a1", "b", "a2", "u12", "u13", "7", "8", "iu1", "i1"]])
    assert lexicon.phones == ("sil", "7", "8", "b", "u12", "u13", "a1", "a2", "i1", "iu1")
    assert lexicon.root_groups == (("7",), ("8",), ("b",), ("u12",), ("u13",), ("a1", "a2"), ("i1",), ("iu1",))
    assert lexicon.questions == (("7", "8", "b", "u12", "u13"), ("a1", "i1", "iu1"), ("a2",))
    assert symbol_lexicon([["a", "b"]]).questions == ()


def test_a_kaldi_dictionary_directory_brings_groups_and_questions(file, tmp_path):
    file("lexicon.txt", "!SIL SIL\nta t a1\nto t o1\nta2 t a2\nnoise SPN\n")
    file("nonsilence_phones.txt", "t d\na1 a2\no1\n")
    file("extra_questions.txt", "sil SPN\nt a1\na1 o1\nx y\n")
    lexicon = read_lexicon(tmp_path)
    assert lexicon.pronunciations["!SIL"] == (("sil",),)
    assert lexicon.phones == ("sil", "SPN", "t", "a1", "a2", "o1")
    assert lexicon.root_groups == (("SPN",), ("t",), ("a1", "a2"), ("o1",))
    assert lexicon.questions == (("SPN", "t"), ("a1", "o1"), ("a2",), ("sil", "SPN"), ("t", "a1"))
    file("nonsilence_phones.txt", "t a1\na2 o1\n")  # not what the digits say
    assert read_lexicon(tmp_path).root_groups == (("SPN",), ("t", "a1"), ("a2", "o1"))
    file("nonsilence_phones.txt", "t a1\na1 o1\n")
    with pytest.raises(IsoglossError, match="phone 'a1' stands in two groups"):
        read_lexicon(tmp_path)


def test_a_line_that_comes_twice_counts_once(file, caplog):
    with caplog.at_level(logging.WARNING):
        lexicon = read_lexicon(file("lexicon.txt", "a x\nb y\na x\na z\n"))
    assert lexicon.pronunciations == {"a": (("x",), ("z",)), "b": (("y",),)}
    assert "1 lines say again what one before them says; the first is of 'a'" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("lexicon.txt", "a x\nb\n", "line 2: 'b' has an empty pronunciation"),
        ("lexiconp.txt", "a 1.0\n", "line 1: 'a' has an empty pronunciation"),
        ("lexiconp.txt", "a x y\n", "expected WORD PROBABILITY PHONE"),
        ("lexiconp.txt", "a 1.5 y\n", "above 0 up to 1"),
        ("lexicon.txt", "a x sil\n", "'sil' is silence here"),
        ("lexicon.txt", "a x SIL y\n", "'sil' is silence here"),
        ("lexicon.txt", "a x #1\n", "phone '#1'"),
        ("lexicon.txt", "a <eps>\n", "phone '<eps>'"),
        ("lexicon.txt", "a sil\n", "every word of the lexicon is pronounced 'sil'"),
        ("lexicon.txt", "\n", "no word that can be said"),
        ("words.tsv", "word\tphone\na\tx\n", "no column 'phones'; its columns are word, phone"),
        ("words.tsv", "word\tphones\na\n", "line 2: word 'a', phones ''"),
    ],
)
def test_a_bad_lexicon_names_what_and_where(file, name, text, message):
    with pytest.raises(IsoglossError, match=message):
        read_lexicon(file(name, text))


def test_other_encodings_and_missing_files_are_named(file, tmp_path):
    with pytest.raises(IsoglossError, match=r"not UTF-8 text \(byte 0\).*GB18030"):
        read_lexicon(file("lexicon.txt", "绿 l v4\n", "gb18030"))
    with pytest.raises(IsoglossError, match="nowhere.txt is not there"):
        read_lexicon(tmp_path / "nowhere.txt")


def test_a_lexicon_made_by_hand_is_checked():
    for bad in ({}, {"a": ()}, {"a": ((),)}, {"a": (("",),)}, {"a": (("x y",),)}):
        with pytest.raises(IsoglossError):
            Lexicon(bad)
    with pytest.raises(IsoglossError, match="phone 'q' is none of the lexicon's 6"):
        Lexicon(TOMATO).number("q")


def test_letters_keep_their_marks_and_lose_their_case():
    assert letters("L’Été") == ("l", "é", "t", "é")
    assert letters("e\u0301") == letters("é") == ("é",)
    assert letters("कि") == ("कि",)  # a letter and its vowel sign
    assert letters("n\u0303\u0301a") == ("ñ\u0301", "a")  # one mark composes, the other stays with it
    assert letters("va-t-il") == tuple("vatil") and letters("U.S.") == ("u", "s")
    assert letters("می\u200cشود") == tuple("میشود")
    assert letters("b2b") == letters("1990") == letters("-") == letters("%") == ()


def test_graphemes_of_transcripts():
    lexicon = grapheme_lexicon([["Été", "déjà"], ["1990"]])
    assert lexicon.pronunciations == {"Été": (("é", "t", "é"),), "déjà": (("d", "é", "j", "à"),)}
    assert lexicon.pronounce(["E\u0301te\u0301"]) == [(("é", "t", "é"),)]  # the same word, decomposed
    assert lexicon.transcribe({"u": ["déjà"], "v": ["en", "1990"]}).skipped == {"v": ("en", "1990")}
    with pytest.raises(IsoglossError, match="no word that can be said"):
        grapheme_lexicon([["1", "2"]])


def test_symbols_are_phones_themselves():
    lexicon = symbol_lexicon([["sil", "h", "ə", "sil"], ["l", "oʊ"]])
    assert lexicon.phones == ("sil", "h", "l", "oʊ", "ə")
    assert lexicon.pronounce(["sil", "h"]) == [(("sil",),), (("h",),)]


def test_unknown_words_are_skipped_counted_and_named():
    lexicon = Lexicon(TOMATO)
    report = lexicon.transcribe(
        {"u1": ["a", "tomato"], "u2": ["A", "potato"], "u3": ["potato"], "u4": [], "u5": ["potato", "a", "potato"]}
    )
    assert report.pronunciations == {"u1": [TOMATO["a"], TOMATO["tomato"]]}
    assert report.skipped == {"u2": ("A", "potato"), "u3": ("potato",), "u4": (), "u5": ("potato", "potato")}
    assert report.unknown == {"potato": 4, "A": 1}
    assert report.summary() == (
        "1 utterances; 4 skipped: 1 without a word, 3 with words missing from the lexicon: potato ×4, A ×1 "
        "(1 of these are there in the other case)"
    )
    assert lexicon.transcribe({"u1": ["a"]}).summary() == "1 utterances"
    many = lexicon.transcribe({"u1": ["a"], "u2": [f"w{number}" for number in range(12)]})
    assert many.summary().endswith("w9 ×1 and 2 more")


def test_only_when_all_are_skipped_is_it_an_error():
    lexicon = Lexicon(TOMATO)
    with pytest.raises(IsoglossError, match=r"no utterance can be said with the lexicon of 2 words: 0 .*potato ×1"):
        lexicon.transcribe({"u": ["potato"]})
    with pytest.raises(IsoglossError, match="no utterance can be said"):
        lexicon.transcribe({})
    with pytest.raises(IsoglossError, match="not in the lexicon of 2 words: potato"):
        lexicon.pronounce(["a", "potato"])
