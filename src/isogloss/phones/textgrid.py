"""Phone times as Praat TextGrid, long or short, UTF-8 or UTF-16 (the Montreal Forced Aligner's output).

Source: Praat's manual, "TextGrid file formats": of a text file only free-standing numbers, "strings" (with "" for a quote)
and <flags> count; all else is comment. So both formats are one sequence of values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from isogloss.phones.segments import Segment
from isogloss.phones.silence import SILENCES, without_silence
from isogloss.types import IsoglossError

_VALUE = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|(?<!\S)<\w+>(?!\S)|![^\n]*')


def read_textgrid(path: str | Path, tier: str = "phones", silences: Collection[str] = SILENCES) -> list[Segment]:
    """(symbol, start, end in seconds) of an interval tier, `silences` (an empty mark is one) left out.

    `tier` is its name, or the part after "speaker - " if only one speaker has it. Raises IsoglossError.
    """
    path = Path(path)
    tiers = _tiers(path)
    names = [name for name, _ in tiers]
    wanted = [name for name in names if name == tier] or [name for name in names if name.endswith(f"- {tier}")]
    if len(wanted) != 1:
        raise IsoglossError(
            f"{path} has the interval tiers {', '.join(map(repr, names)) or 'none'}; expected one called {tier!r}: name another"
        )
    return without_silence(dict(tiers)[wanted[0]], silences)


def _tiers(path: Path) -> list[tuple[str, list[Segment]]]:
    """(name, segments) of the interval tiers."""
    values = _values(path)
    try:
        if next(values) != "ooTextFile" or next(values) != "TextGrid":
            raise StopIteration
    except StopIteration:
        raise IsoglossError(f"{path} is not a TextGrid in text; save it from Praat with 'Save as text file'") from None
    tiers: list[tuple[str, list[Segment]]] = []
    try:
        _number(values), _number(values)  # the whole file's times
        for _ in range(int(_number(values))):
            kind, name = _string(values), _string(values)
            _number(values), _number(values)
            if kind == "IntervalTier":
                tiers.append((name, [_interval(values) for _ in range(int(_number(values)))]))
            else:  # points in time
                for _ in range(int(_number(values))):
                    _number(values), _string(values)
    except (StopIteration, TypeError) as error:
        why = "it ends too early" if isinstance(error, StopIteration) else str(error)
        raise IsoglossError(
            f"{path}: {why} in tier {len(tiers) + 1}; was it copied whole? Save it anew from Praat"
        ) from None
    return tiers


def _values(path: Path) -> Iterator[str | float]:
    if not path.is_file():
        raise IsoglossError(f"{path} is not a file; expected a Praat TextGrid")
    content = path.read_bytes()
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise IsoglossError(
            f"{path} is neither UTF-8 nor UTF-16; save it from Praat with UTF-8 as text encoding"
        ) from None
    for match in _VALUE.finditer(text):
        if match[1] is not None:
            yield match[1].replace('""', '"')
        elif match[2] is not None:
            yield float(match[2])


def _number(values: Iterator[str | float]) -> float:
    value = next(values)
    if not isinstance(value, float):
        raise TypeError(f"{value[:40]!r} instead of a number")
    return value


def _string(values: Iterator[str | float]) -> str:
    value = next(values)
    if not isinstance(value, str):
        raise TypeError(f"{value:g} instead of a text in quotes")
    return value


def _interval(values: Iterator[str | float]) -> Segment:
    start, end, symbol = _number(values), _number(values), _string(values).strip()
    if end < start:
        raise TypeError(f"an interval from {start:g} to {end:g} s")
    return symbol, start, end
