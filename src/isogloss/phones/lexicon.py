"""Which phones a word may be pronounced with, and what the trainer has to know of the phones: their numbers, roots, questions.

The vocabulary is Kaldi's: phones are numbered from 1 and silence is phone 1; phones that share a root of the decision tree
stand on one line of nonsilence_phones.txt, and extra questions in extra_questions.txt. Where nobody says otherwise, phones that
differ in a trailing digit alone (a tone or a stress: a1 a2 a5) share a root, and each digit is a question, as is having none.

Source: Kaldi's dictionary directories (utils/prepare_lang.sh) and the tone questions of egs/thchs30/s5.
"""

from __future__ import annotations

import csv
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isogloss.phones.hmm.topology import EPSILON, SILENCE
from isogloss.types import IsoglossError

Pronunciation = tuple[str, ...]
"""The phone symbols of a word, never none."""

_WITH_DIGIT = re.compile(r"(.*\D)(\d)")
_NAMED = 10  # of the unknown words, in a summary
_PUNCTUATION = "'’ʼ-‐‑.·"  # within a word, said as nothing
_Entry = tuple[str, Pronunciation]  # word, phones

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transcripts:
    """The utterances that can be said with a lexicon, and what was wrong with the rest."""

    pronunciations: dict[str, list[tuple[Pronunciation, ...]]]  # utterance → each word's pronunciations
    skipped: dict[str, tuple[str, ...]]  # utterance → its unknown words; () if it has no word at all
    unknown: Counter[str]  # word → how often it stands in them
    hint: str = ""  # what the unknown words look like

    def summary(self) -> str:
        """`1870 utterances; 9 skipped: 1 without a word, 8 with words missing from the lexicon: ok ×5, huir4 ×3`"""
        text = f"{len(self.pronunciations)} utterances"
        if not self.skipped:
            return text
        empty = sum(not words for words in self.skipped.values())
        parts = [f"{empty} without a word"] if empty else []
        if self.unknown:
            named = ", ".join(f"{word} ×{count}" for word, count in self.unknown.most_common(_NAMED))
            more = f" and {len(self.unknown) - _NAMED} more" if len(self.unknown) > _NAMED else ""
            parts.append(f"{len(self.skipped) - empty} with words missing from the lexicon: {named}{more}{self.hint}")
        return f"{text}; {len(self.skipped)} skipped: {', '.join(parts)}"


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Word → its pronunciations. Words are compared in Unicode NFC, and upper and lower case differ.

    `root_groups`: phones that share a tree root; phones in none of the given groups have one each, and phones of no word are left
    out. `questions`: sets of phones that the tree may ask for beyond those it finds in the data; `extra_questions` are added to
    the tone questions. A word pronounced `sil` alone is a noise or a pause.

    Derived: `phones`, silence first (the phone at place i has number i + 1), then those without a digit.
    Raises IsoglossError for a lexicon without a word, an empty pronunciation, or a name that is not a phone's.
    """

    pronunciations: Mapping[str, tuple[Pronunciation, ...]]
    root_groups: tuple[tuple[str, ...], ...] = ()
    extra_questions: tuple[tuple[str, ...], ...] = ()
    phones: tuple[str, ...] = field(init=False)
    questions: tuple[tuple[str, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        words: dict[str, tuple[Pronunciation, ...]] = {}
        for word, of_word in self.pronunciations.items():
            if not of_word:
                raise IsoglossError(f"no pronunciation of {word!r}; expected one or more")
            for pronunciation in of_word:
                _check(word, pronunciation)
            words[nfc(word)] = tuple(of_word)
        if not words:
            raise IsoglossError(
                "the lexicon has no word that can be said; is the file, or the list of transcripts, empty?"
            )
        found = {phone for of_word in words.values() for said in of_word for phone in said} - {SILENCE}
        if not found:
            raise IsoglossError(f"every word of the lexicon is pronounced {SILENCE!r}; expected phones of speech")
        order = sorted(found, key=lambda phone: (_digit(phone) != "", _base(phone), _digit(phone)))
        for name, value in (
            ("pronunciations", words),
            ("phones", (SILENCE, *order)),
            ("root_groups", _roots(order, self.root_groups)),
            ("questions", _questions(order, self.extra_questions)),
        ):
            object.__setattr__(self, name, value)

    def number(self, phone: str) -> int:
        """Its number, from 1; IsoglossError if no word has it."""
        numbers: dict[str, int] | None = self.__dict__.get("_numbers")
        if numbers is None:
            numbers = {symbol: index for index, symbol in enumerate(self.phones, 1)}
            object.__setattr__(self, "_numbers", numbers)
        if phone not in numbers:
            raise IsoglossError(f"phone {phone!r} is none of the lexicon's {len(numbers)}; are both of one phone set?")
        return numbers[phone]

    def pronounce(self, words: Sequence[str]) -> list[tuple[Pronunciation, ...]]:
        """Each word's pronunciations; IsoglossError naming the words that are missing. Many utterances: `transcribe`."""
        missing = self._missing(words)
        if missing:
            raise IsoglossError(
                f"not in the lexicon of {len(self.pronunciations)} words: {', '.join(missing[:_NAMED])}"
            )
        return [self.pronunciations[nfc(word)] for word in words]

    def transcribe(self, utterances: Mapping[str, Sequence[str]]) -> Transcripts:
        """Utterance → words: those whose words are all known, and a count of the unknown ones.

        IsoglossError only if no utterance is left.
        """
        pronunciations: dict[str, list[tuple[Pronunciation, ...]]] = {}
        skipped: dict[str, tuple[str, ...]] = {}
        for utterance, words in utterances.items():
            missing = self._missing(words)
            if missing or not words:
                skipped[utterance] = missing
            else:
                pronunciations[utterance] = self.pronounce(words)
        unknown = Counter(word for words in skipped.values() for word in words)
        report = Transcripts(pronunciations, skipped, unknown, self._hint(unknown))
        if not pronunciations:
            raise IsoglossError(
                f"no utterance can be said with the lexicon of {len(self.pronunciations)} words: {report.summary()}; "
                "are the transcripts and the lexicon of one language and one kind of unit (words, syllables, letters)?"
            )
        return report

    def _missing(self, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(word for word in words if nfc(word) not in self.pronunciations)

    def _hint(self, unknown: Iterable[str]) -> str:
        cased = sum(nfc(change) in self.pronunciations for word in unknown for change in {word.lower(), word.upper()})
        return f" ({cased} of these are there in the other case)" if cased else ""


def read_lexicon(path: Path, columns: dict[str, str] | None = None) -> Lexicon:
    """A Kaldi lexicon.txt (`WORD PHONE PHONE …`) or lexiconp.txt (`WORD PROBABILITY PHONE …`), told apart by their names; a .tsv
    table with the columns `word` and `phones` (`columns`: our names to the file's); or a Kaldi dictionary directory, of which
    nonsilence_phones.txt (groups that share a root) and extra_questions.txt are read too.

    A line that comes twice counts once, with a warning. Probabilities are passed over: of a word's pronunciations each is as
    likely as the others, whereas Kaldi weighs its training graphs by lexiconp.txt. Raises IsoglossError.
    """
    path = Path(path)
    file = path
    if path.is_dir():  # as Kaldi prefers them
        file = next(
            (path / name for name in ("lexiconp.txt", "lexicon.txt") if (path / name).is_file()), path / "lexicon.txt"
        )
    entries = (
        _table(file, {"word": "word", "phones": "phones"} | (columns or {})) if file.suffix == ".tsv" else _lines(file)
    )
    words: dict[str, dict[Pronunciation, None]] = {}  # in order
    twice: list[str] = []
    for word, said in entries:
        # many recipes write silence in capitals; alone it can mean nothing else
        said = (SILENCE,) if len(said) == 1 and said[0].casefold() == SILENCE else said
        twice += [word] if said in words.setdefault(nfc(word), {}) else []
        words[nfc(word)][said] = None
    if twice:
        logger.warning(
            "%s: %d lines say again what one before them says; the first is of %r", file, len(twice), twice[0]
        )
    try:
        return Lexicon(
            {word: tuple(said) for word, said in words.items()},
            _sets(path / "nonsilence_phones.txt"),
            _sets(path / "extra_questions.txt"),
        )
    except IsoglossError as error:
        raise IsoglossError(f"{file}: {error}") from None


def grapheme_lexicon(transcripts: Iterable[Sequence[str]]) -> Lexicon:
    """A phone per letter, in lower case, with the combining marks that follow it: for alphabets spelt about as they are said.

    Apostrophes, hyphens and full stops within a word are silent. Words with anything else that is no letter (digits, signs) are
    left out, so that `Lexicon.transcribe` counts them.
    """
    words = dict.fromkeys(nfc(word) for of_utterance in transcripts for word in of_utterance)
    spelt = {word: letters(word) for word in words}
    return Lexicon({word: (phones,) for word, phones in spelt.items() if phones})


def symbol_lexicon(transcripts: Iterable[Sequence[str]]) -> Lexicon:
    """Every token of the transcripts is itself a phone: for speech transcribed in phones (IPA, ARPABET …)."""
    tokens = dict.fromkeys(nfc(token) for tokens in transcripts for token in tokens)
    return Lexicon({token: ((token,),) for token in tokens})


def without_digits(lexicon: Lexicon) -> Lexicon:
    """The same words with each phone's trailing digit, a tone or a stress, left away."""
    said = {
        word: tuple(dict.fromkeys(tuple(_base(phone) for phone in phones) for phones in of_word))
        for word, of_word in lexicon.pronunciations.items()
    }
    return Lexicon(said)


def letters(word: str) -> Pronunciation:
    """`L’été` → (l, é, t, é); () for a word that is not written in letters alone."""
    found: list[str] = []
    for character in nfc(word.lower()):
        kind = unicodedata.category(character)
        if kind.startswith("M") and found:
            found[-1] += character
        elif kind.startswith("L") and character not in _PUNCTUATION:
            found.append(character)
        elif character not in _PUNCTUATION and kind != "Cf":  # Cf: joiners between letters
            return ()
    return tuple(found)


def _lines(file: Path) -> Iterator[_Entry]:
    """The entries of lexicon.txt or lexiconp.txt."""
    with_probability = file.stem.endswith("lexiconp")
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        word, *said = line.split()
        if with_probability and said:
            try:
                fits = 0 < float(said.pop(0)) <= 1
            except ValueError:
                fits = False
            if not fits:
                raise IsoglossError(
                    f"{file}, line {number}: {line!r}; expected WORD PROBABILITY PHONE …, above 0 up to 1"
                )
        if not said:
            raise IsoglossError(
                f"{file}, line {number}: {word!r} has an empty pronunciation; expected WORD PHONE PHONE …"
            )
        yield word, tuple(said)


def _table(file: Path, names: dict[str, str]) -> Iterator[_Entry]:
    """The entries of a table with a header."""
    reader = csv.DictReader(_text(file).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [name for name in names.values() if name not in (reader.fieldnames or [])]
    if missing:
        raise IsoglossError(
            f"{file} has no column {missing[0]!r}; its columns are {', '.join(reader.fieldnames or [])}"
        )
    for row in reader:
        word, said = (row[names["word"]] or "").strip(), tuple((row[names["phones"]] or "").split())
        if not word or not said:
            raise IsoglossError(
                f"{file}, line {reader.line_num}: word {word!r}, phones {' '.join(said)!r}; expected both"
            )
        yield word, said


def _sets(file: Path) -> tuple[tuple[str, ...], ...]:
    """The sets of phones of nonsilence_phones.txt or extra_questions.txt, one a line; none if there is no such file."""
    return tuple(tuple(line.split()) for line in _text(file).splitlines() if line.split()) if file.is_file() else ()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise IsoglossError(
            f"{file} is not there; expected a lexicon: lexicon.txt, lexiconp.txt or a .tsv table"
        ) from None
    except UnicodeDecodeError as error:
        raise IsoglossError(
            f"{file} is not UTF-8 text (byte {error.start}); is it in another encoding? `iconv -f GB18030 -t UTF-8` for Chinese"
        ) from None


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _check(word: str, pronunciation: Pronunciation) -> None:
    """IsoglossError if this cannot be the pronunciation of a word."""
    if not pronunciation:
        raise IsoglossError(f"the lexicon gives {word!r} an empty pronunciation; expected one phone or more")
    for phone in pronunciation:
        if phone == EPSILON or re.fullmatch(r"#\d+|\s*", phone) or len(phone.split()) > 1:
            raise IsoglossError(
                f"the lexicon gives {word!r} the phone {phone!r}; {EPSILON} and #0, #1 … mean something else in a graph, and "
                "a phone's name has no blank: rename it"
            )
    if SILENCE in (phone.casefold() for phone in pronunciation) and pronunciation != (SILENCE,):
        raise IsoglossError(
            f"the lexicon gives {word!r} the pronunciation {' '.join(pronunciation)!r}; {SILENCE!r} is silence here, in "
            "lower case and alone: rename that phone"
        )


def _digit(phone: str) -> str:
    """`1` of a1; nothing if it does not end in exactly one digit after something else (u12, 7)."""
    found = _WITH_DIGIT.fullmatch(phone)
    return found[2] if found else ""


def _base(phone: str) -> str:
    return phone.removesuffix(_digit(phone))


def _roots(phones: list[str], given: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """The groups of phones that share a root: the given ones, or those of one base."""
    of_phone: dict[str, str] = {}
    for index, group in enumerate(given):
        for phone in group:
            if of_phone.setdefault(phone, f"group {index}") != f"group {index}":
                raise IsoglossError(f"phone {phone!r} stands in two groups of phones that share a root; expected one")
    groups: dict[tuple[str, str], list[str]] = {}
    for phone in phones:
        key = (of_phone.get(phone, ""), "" if phone in of_phone else phone if of_phone else _base(phone))
        groups.setdefault(key, []).append(phone)
    return tuple(tuple(group) for group in groups.values())


def _questions(phones: list[str], extra: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """The phones of each digit and those without, if any has one; then the given sets, as far as the lexicon has them."""
    digits: dict[str, list[str]] = {}
    for phone in phones:
        digits.setdefault(_digit(phone), []).append(phone)
    tones = [tuple(of_digit) for _, of_digit in sorted(digits.items())] if set(digits) - {""} else []
    known = (SILENCE, *phones)
    wanted = [tuple(phone for phone in known if phone in question) for question in extra]
    return tuple(dict.fromkeys(question for question in (*tones, *wanted) if question))
