"""The phone of a pdf, read from the names that models, imports and inventories give their pdfs."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r" \(\d+\)$")  # that imports add: `a1+a2:0 (17)`
_POSITION_AND_TONE = re.compile(r"((?<=\D)\d)?(_[BIES])?$")  # a1 but not u12; Kaldi's place in the word


def phones_of_pdfs(pdf_names: Sequence[str]) -> list[str] | None:
    """`a1:0|a4:0` → a, `zh:2` → zh: base phones, without tone and place; a pdf of several has all, joined by |.

    None if the names say nothing of phones.
    """
    phones = []
    for name in pdf_names:
        owners = [owner.rpartition(":") for owner in _NUMBER.sub("", name).split("|")]
        if not all(colon for _, colon, _ in owners):
            return None
        symbols = [symbol for of, _, _ in owners for symbol in of.removesuffix("+…").split("+")]
        phones.append("|".join(dict.fromkeys(_POSITION_AND_TONE.sub("", symbol) for symbol in symbols)))
    return phones
