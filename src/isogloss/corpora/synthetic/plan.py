"""How much of what is spoken: the sizes of the corpus, and the jobs each comes to."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from isogloss.types import IsoglossError

LANGUAGES = ("cmn", "yue", "id", "ja", "ru", "ko", "vi", "kk", "ug", "th")
"""The stand-ins for the ten languages of the OLR challenges."""

DIALECTS = ("vi-vn-x-central", "vi-vn-x-south", "ms")
"""Targets of the open-set task, near to a language above: enrolled and tested, never needed to train the network."""

UNKNOWN = ("ca", "el", "te")
"""Never enrolled."""

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Size:
    """Languages, and the (train, dev, test) voices and minutes of each; dialects have no dev, unknown only test."""

    languages: tuple[str, ...]
    dialects: tuple[str, ...]
    unknown: tuple[str, ...]
    voices: tuple[int, int, int]
    minutes: tuple[float, float, float]
    unknown_minutes: float


SIZES = {
    "small": Size(("cmn", "id", "ru", "vi"), ("ms",), ("ca", "el"), (8, 2, 4), (3.5, 0.5, 1.0), 0.5),
    "full": Size(LANGUAGES, DIALECTS, UNKNOWN, (24, 4, 12), (20.0, 2.0, 8.0), 8.0),
}


@dataclass(frozen=True)
class Job:
    """What one child process speaks."""

    language: str
    split: str
    use: str  # target | out_of_set
    num_voices: int
    minutes: float
    seed: int


def size_named(name: str) -> Size:
    """The size of that name; an unknown one is an error naming the nearest."""
    if name not in SIZES:
        near = difflib.get_close_matches(name, SIZES, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise IsoglossError(f"unknown size {name!r} of the synthetic corpus: expected {' or '.join(SIZES)}{hint}")
    return SIZES[name]


def jobs(size: Size, seed: int) -> list[Job]:
    """A job for each (language, split), in the order of the manifest."""
    plan = [(language, "target", split) for language in size.languages for split in SPLITS]
    plan += [(language, "target", split) for language in size.dialects for split in ("train", "test")]
    plan += [(language, "out_of_set", "test") for language in size.unknown]
    return [
        Job(
            language=language,
            split=split,
            use=use,
            num_voices=size.voices[SPLITS.index(split)],
            minutes=size.unknown_minutes if use == "out_of_set" else size.minutes[SPLITS.index(split)],
            seed=seed,
        )
        for language, use, split in plan
    ]
