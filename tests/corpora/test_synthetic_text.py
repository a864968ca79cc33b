"""Phrases of the generated corpus: in their own script, with no leaked identifiers, the same from the same seed."""

import random
import unicodedata

import pytest

from isogloss.types import IsoglossError

pytest.importorskip("babel")

from isogloss.corpora.synthetic.plan import DIALECTS, LANGUAGES, UNKNOWN
from isogloss.corpora.synthetic.text import LATIN, Phrases, speakable

EVERY = LANGUAGES + DIALECTS + UNKNOWN
IN_LATIN = {"id", "vi", "vi-vn-x-central", "vi-vn-x-south", "ms", "ca"}


@pytest.mark.parametrize("language", sorted(set(EVERY) - IN_LATIN))
def test_a_language_of_another_script_has_no_latin_letter(language):
    phrases = Phrases(language, random.Random(1))
    for text in (phrases.draw() for _ in range(300)):
        assert not any("LATIN" in unicodedata.name(c, "") for c in text), text


def test_japanese_has_no_kanji():
    phrases = Phrases("ja", random.Random(1))
    drawn = [phrases.draw() for _ in range(300)]
    assert not any("CJK UNIFIED" in unicodedata.name(c, "") for text in drawn for c in text)
    assert sum(any("KATAKANA" in unicodedata.name(c, "") for c in text) for text in drawn) > 50  # not only digits


@pytest.mark.parametrize("language", ["id", "ms", "ca", "vi"])
def test_identifiers_of_cldr_do_not_leak_into_latin_script(language):
    phrases = Phrases(language, random.Random(2))
    for kind in (phrases._unit, phrases._money):
        for text in (kind() for _ in range(1000)):
            assert not any(unit in text for unit in phrases._units), text
            assert not set(text.split()) & set(phrases._currencies), text


@pytest.mark.parametrize("text", ["length-kilometer", "12 XAU", "Ｋｍ 5", "Ελλάδα km"])
def test_latin_text_is_refused(text):
    assert not speakable(text, LATIN)


@pytest.mark.parametrize("text", ["", " – ", "()"])
def test_text_without_letters_or_digits_is_refused(text):
    assert not speakable(text, ())


def test_own_script_and_digits_are_accepted():
    assert speakable("Ελλάδα 12", LATIN) and speakable("2 kilometer", ())


@pytest.mark.parametrize("language", EVERY)
def test_the_same_seed_draws_the_same_varied_phrases(language):
    one, two = Phrases(language, random.Random(3)), Phrases(language, random.Random(3))
    drawn = [one.draw() for _ in range(100)]
    assert drawn == [two.draw() for _ in range(100)]
    assert len(set(drawn)) > 80


def test_an_unknown_language_is_named():
    with pytest.raises(IsoglossError, match="xx-nope"):
        Phrases("xx-nope", random.Random(0))
