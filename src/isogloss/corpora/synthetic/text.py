"""What the generated speakers say: numbers, dates, times, units, money and the names of the Unicode CLDR.

Nothing is quoted: every phrase is drawn at random and worded by babel. Source of the words: CLDR, Unicode License v3.
"""

from __future__ import annotations

import datetime
import random
import unicodedata
from collections.abc import Callable, Iterable

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, format_timedelta
from babel.lists import format_list
from babel.numbers import format_currency, format_percent
from babel.units import UnknownUnitError, format_unit

from isogloss.types import IsoglossError

LOCALES = {"cmn": "zh_Hans", "yue": "yue_Hant", "vi-vn-x-central": "vi", "vi-vn-x-south": "vi"}
"""CLDR locale of an espeak voice; a voice that is not here bears its locale's name."""

LATIN_SCRIPT = ("ca", "id", "ms", "vi")
"""Locales in Latin letters. Elsewhere Latin text is a leak (`length-kilometer`, `XAU`) and would be read as English."""

LATIN = ("LATIN", "FULLWIDTH LATIN")
KANJI = ("CJK",)  # espeak reads Japanese in kana only: a kanji is "Chinese letter", in English

PAST_AND_FUTURE_DAYS = 20_000


class Phrases:
    """Draws phrases of one language: the same `rng` draws the same phrases with the same CLDR."""

    def __init__(self, language: str, rng: random.Random) -> None:
        name = LOCALES.get(language, language)
        try:
            self._locale = Locale.parse(name)
        except (UnknownLocaleError, ValueError) as error:
            raise IsoglossError(
                f"no CLDR locale {name!r} for the language {language!r} in this babel: {error}"
            ) from error
        self._rng = rng
        self._foreign = () if name in LATIN_SCRIPT else LATIN + (KANJI if name == "ja" else ())
        self._units = sorted(self._locale.unit_display_names)
        self._currencies = sorted(self._locale.currencies)
        tables = (self._locale.territories, self._locale.languages, self._locale.scripts, self._locale.currencies)
        self._names = self._readable(value for table in tables for key, value in table.items() if value != key)
        calendar = (self._locale.months["stand-alone"]["wide"], self._locale.days["stand-alone"]["wide"])
        self._calendar = self._readable(value for table in calendar for value in table.values())
        self._kinds: list[Callable[[], str]] = [
            self._number, self._digits, self._percent, self._date, self._time, self._span,
            self._unit, self._money, self._name, self._name_list, self._calendar_list,
        ]  # fmt: skip

    def draw(self) -> str:
        """One phrase of a few words. espeak may still refuse it: it alone knows what it reads as another language."""
        for _ in range(1000):
            text = self._rng.choice(self._kinds)()
            if speakable(text, self._foreign):
                return text
        raise IsoglossError(
            f"no phrase of 1000 in {self._locale} is in its own script; is this babel's CLDR data complete?"
        )

    def _readable(self, names: Iterable[str]) -> list[str]:
        return sorted({name for name in names if speakable(name, self._foreign)})

    def _number(self) -> str:
        return str(self._rng.randrange(10 ** self._rng.randint(1, 6)))

    def _digits(self) -> str:
        return " ".join(str(self._rng.randrange(10)) for _ in range(self._rng.randint(3, 7)))

    def _percent(self) -> str:
        return format_percent(self._rng.randrange(101) / 100, locale=self._locale)

    def _date(self) -> str:
        days = self._rng.randint(-PAST_AND_FUTURE_DAYS, PAST_AND_FUTURE_DAYS)
        date = datetime.date(2000, 1, 1) + datetime.timedelta(days=days)
        return format_date(date, self._rng.choice(("medium", "long", "full")), locale=self._locale)

    def _time(self) -> str:
        time = datetime.time(self._rng.randrange(24), self._rng.randrange(60))
        return format_time(time, "short", locale=self._locale)

    def _span(self) -> str:
        seconds = int(10 ** self._rng.uniform(1, 9)) * self._rng.choice((-1, 1))
        return format_timedelta(seconds, add_direction=True, threshold=1, locale=self._locale)

    def _unit(self) -> str:
        unit = self._rng.choice(self._units)
        try:
            text = format_unit(self._rng.randint(1, 999), unit, "long", locale=self._locale)
        except UnknownUnitError:
            return ""
        return "" if unit in text else text  # babel falls back to the unit's id

    def _money(self) -> str:
        code = self._rng.choice(self._currencies)
        amount = self._rng.randint(1, 9999)
        text = format_currency(amount, code, locale=self._locale, format_type="name", currency_digits=False)
        return "" if code in text else text

    def _name(self) -> str:
        return self._rng.choice(self._names)

    def _name_list(self) -> str:
        return format_list(self._rng.sample(self._names, self._rng.randint(2, 3)), locale=self._locale)

    def _calendar_list(self) -> str:
        names = self._calendar or self._names  # Japanese days and months are kanji
        return format_list(self._rng.sample(names, self._rng.randint(2, 3)), locale=self._locale)


def speakable(text: str, foreign: tuple[str, ...]) -> bool:
    """Has a letter or a digit, and no letter of the `foreign` scripts (first words of their Unicode names)."""
    names = [unicodedata.name(c, "") for c in text if unicodedata.category(c)[0] in "LN"]
    return bool(names) and not any(name.startswith(foreign) for name in names)
