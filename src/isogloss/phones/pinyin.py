"""Pinyin syllables to phones: an initial and a final that bears the tone, the phone set of the THCHS-30 recipe.

    zhong1 → zh ong1 · wan2 → uu uan2 · yue4 → vv ve4 · xu3 → x v3 · shi4 → sh ix4 · si4 → s iy4 · ai4 → aa ai4 · r5 → er5

A syllable without an initial begins with one of the phones aa, ee, ii, oo, uu, vv, after its first sound. The i of zhi, chi,
shi, ri is ix, that of zi, ci, si is iy; ü is v. `r5` is the erhua, one phone: the r at the end of a word.

Source: the lexicon of Kaldi's egs/thchs30/s5; Wang and Zhang, "THCHS-30: A free Chinese speech corpus", 2015.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from isogloss.phones.lexicon import Lexicon, Pronunciation
from isogloss.types import IsoglossError

ERHUA = "r5"
ERHUA_PHONES: Pronunciation = ("er5",)
INITIALS = tuple("zh ch sh b p m f d t n l g k h j q x r z c s".split())  # those of two letters first
FINALS = frozenset(
    "a ai an ang ao e ei en eng er i ia iai ian iang iao ie in ing io iong iu ix iy o ong ou "
    "u ua uai uan uang ueng ui un uo v van ve vn".split()
)
SPELT_WITH_U = {"u": "v", "uan": "van", "ue": "ve", "un": "vn"}  # ü after j, q, x and y
AFTER_Y = {
    "a": "ia", "ai": "iai", "an": "ian", "ang": "iang", "ao": "iao", "e": "ie",
    "i": "i", "in": "in", "ing": "ing", "o": "io", "ong": "iong", "ou": "iu",
}  # fmt: skip
AFTER_W = {
    "a": "ua", "ai": "uai", "an": "uan", "ang": "uang", "ei": "ui", "en": "un", "eng": "ueng", "o": "uo", "u": "u",
}  # fmt: skip
_SYLLABLE = re.compile(r"([a-zü]+)([1-5])")


def syllable_to_phones(syllable: str) -> Pronunciation:
    """`zhong1` → (zh, ong1): a syllable in lower case, v or ü, tone 1–4 or 5 (neutral). Raises IsoglossError."""
    if syllable == ERHUA:
        return ERHUA_PHONES
    parts = _SYLLABLE.fullmatch(unicodedata.normalize("NFC", syllable))
    found = _initial_and_final(parts[1].replace("ü", "v")) if parts else None
    if parts is None or found is None:
        missing = "" if syllable[-1:].isdigit() else "; has it lost its tone digit?"
        raise IsoglossError(
            f"{syllable!r} is not a Pinyin syllable; expected one such as zhong1 or lv4: lower case, tone 1 to 5{missing}"
        )
    return found[0], found[1] + parts[2]


def pinyin_lexicon(transcripts: Iterable[Sequence[str]]) -> Lexicon:
    """The lexicon of transcripts whose words are Pinyin syllables.

    What is no syllable is left out, so that `Lexicon.transcribe` counts it among the unknown words. IsoglossError if there is none.
    """
    pronunciations: dict[str, tuple[Pronunciation, ...]] = {}
    wrong: IsoglossError | None = None
    for word in dict.fromkeys(word for words in transcripts for word in words):
        try:
            pronunciations[word] = (syllable_to_phones(word),)
        except IsoglossError as error:
            wrong = wrong or error
    if wrong and not pronunciations:
        raise IsoglossError(f"no word of the transcripts is a Pinyin syllable; the first: {wrong}")
    return Lexicon(pronunciations)


def _initial_and_final(letters: str) -> tuple[str, str] | None:
    """(zh, ong) of `zhong`; None if this is no syllable."""
    head, rest = letters[0], letters[1:]
    initial = next((name for name in INITIALS if letters.startswith(name)), "")
    final: str | None = letters.removeprefix(initial)
    if head == "y" and rest in SPELT_WITH_U:
        initial, final = "vv", SPELT_WITH_U[rest]
    elif head == "y":
        initial, final = "ii", AFTER_Y.get(rest)
    elif head == "w":
        initial, final = "uu", AFTER_W.get(rest)
    elif head in "aeo":
        initial = head * 2
    elif initial in ("j", "q", "x"):
        final = SPELT_WITH_U.get(rest, rest)
    elif initial in ("n", "l") and rest == "ue":  # lue is always lüe
        final = "ve"
    elif initial in ("zh", "ch", "sh", "r") and final == "i":
        final = "ix"
    elif initial in ("z", "c", "s") and final == "i":
        final = "iy"
    return (initial, final) if initial and final in FINALS else None
