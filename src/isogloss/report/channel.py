"""What the channel probe says of the results: one rule and one sentence, for the page and for the log."""

from __future__ import annotations

from typing import Protocol

from isogloss.report.summary import RunSummary

WORTH_A_WARNING = 0.2  # share of what a system knows beyond chance that non-speech tells by itself


class Probe(Protocol):
    """How often non-speech alone tells the language: shares, `low` the lower end of the 95 % interval."""

    @property
    def accuracy(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def chance(self) -> float | None: ...


def flatters(probe: Probe, best: float = 1.0) -> bool:
    """Whether non-speech clearly tells much of what a system knows beyond chance that is right in `best` of the full clips."""
    beyond = _beyond_chance(probe)
    return beyond > 0 and beyond > WORTH_A_WARNING * (best - (probe.chance or 0.0))


def channel_sentence(probe: Probe, best: float = 1.0) -> str:
    """What it found, and what that means for the results of the best system."""
    if _beyond_chance(probe) <= 0:
        verdict = "no more than guessing does"
    elif flatters(probe, best):
        verdict = (
            "the languages differ in microphone, room or codec, and results on these data flatter; test on recordings of "
            "one kind"
        )
    else:
        verdict = "more than guessing does, so a small part of the results may tell microphones, not languages"
    return (
        f"From non-speech alone a classifier names the language of {_percent(probe.accuracy)} of clips (chance "
        f"{_percent(probe.chance or 0.0)}): {verdict}."
    )


def best_accuracy(run: RunSummary) -> float:
    """The highest on whole clips, of all systems and back ends; 1 where none was measured."""
    results = [of.get("full") for system in run.systems for of in system.backends.values()]
    found = [interval.value for result in results if result and (interval := result.metric("accuracy"))]
    return max((value for value in found if value is not None), default=1.0)


def _beyond_chance(probe: Probe) -> float:
    return (probe.accuracy if probe.low is None else probe.low) - (probe.chance or 0.0)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
