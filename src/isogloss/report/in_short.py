"""The page in a few sentences, for a reader who reads no further."""

from __future__ import annotations

import math

from isogloss.report.channel import best_accuracy, channel_sentence
from isogloss.report.results import Interval, Result
from isogloss.report.summary import Leaks, RunSummary, SystemRun
from isogloss.report.table1 import METRICS, OPEN_METRICS, condition_name
from isogloss.report.verdict import names

CALIBRATED = 0.05  # an ECE up to here, or up to what chance alone would give, is called small


def in_short(run: RunSummary, leader: SystemRun, backend: str) -> list[str]:
    """Sentences on the leading system and on what its numbers rest on."""
    results = {c: r for c in run.conditions if (r := leader.result(backend, c))}
    lines = [_accuracy(leader, results), _calibration(leader, results), _open_set(leader, results)]
    lines += [_seeds(run), *enrolment_lines(run), leaks_line(run.leaks, best_accuracy(run))]
    return [line for line in lines if line]


def enrolment_lines(run: RunSummary) -> list[str]:
    """A sentence for each way of enrolling among the systems."""
    if run.backends == ["head"]:
        return ["The only back end is the networks' own head, which needs no enrolment."]
    said: dict[str, list[str]] = {}
    for system in run.systems:
        enrolment = system.enrolment
        if enrolment is None:
            continue
        total = sum(enrolment.by_language.values())
        text = f"All back ends but the network's own head were enrolled on {total:,} utterances"
        if enrolment.copies:
            text += " and their training copies"
        if enrolment.how:
            text += f" ({enrolment.how})"
        elif enrolment.num_seen == 0:
            text += " that the network was not trained on"
        elif enrolment.num_seen is not None:
            which = "all" if enrolment.num_seen == total else f"{enrolment.num_seen:,}"
            text += f", {which} of which the network was trained on: what it knows by heart misleads a back end"
        said.setdefault(text, []).append(system.id)
    if len(said) <= 1:
        return [f"{text}." for text in said]
    return [f"System {names(ids)}: {text[0].lower()}{text[1:]}." for text, ids in said.items()]


def leaks_line(leaks: Leaks | None, best: float) -> str:
    """What the leak check says of the numbers; best: share of full clips that the best system names rightly."""
    if leaks is None:
        return "No leak check was run: whether training and test share recordings, speakers or microphones is not known here."
    found = {
        pair: [
            f"{getattr(one, what)} {what}" for what in ("recordings", "speakers", "duplicates") if getattr(one, what)
        ]
        for pair, one in leaks.shared.items()
    }
    shared = [
        f"{pair.replace('-', ' and ')} share {', '.join(of)}" for pair, of in found.items() if of and "test" in pair
    ]
    text = (
        f"Leak: {'; '.join(shared)}. The numbers flatter."
        if shared
        else "Nothing that is tested was found in training too."
    )
    probe = leaks.channel_probe
    return f"{text} {channel_sentence(probe, best)}" if probe is not None and probe.chance else text


def _accuracy(leader: SystemRun, results: dict[str, Result]) -> str:
    shares = {c: i.value for c, r in results.items() if c != "open" and (i := r.metric("accuracy"))}
    if not shares:
        return ""
    first, *rest = shares
    tested = results[first].languages_enrolled or []
    chance = f"; chance is {100 / len(tested):.0f} %" if tested else ""
    text = f"System {leader.id} names the language of {_percent(shares[first])} of the clips ({condition_name(first).lower()}"
    text += f", {len(tested)} languages{chance})" if tested else ")"
    if rest:
        text += ", " + ", ".join(f"{_percent(shares[c])} of {condition_name(c).lower()} ones" for c in rest)
    return text + "."


def _calibration(leader: SystemRun, results: dict[str, Result]) -> str:
    errors = {c: i.value for c, r in results.items() if c != "open" and (i := r.metric("ece")) and i.value is not None}
    if not errors:
        return ""
    text, by_chance = METRICS["ece"].text, {c: _by_chance(results[c]) for c in errors}
    listed = ", ".join(
        f"{text(value)} {condition_name(c).lower()}"
        + (f" ({text(by_chance[c])} would be chance)" if by_chance[c] else "")
        for c, value in errors.items()
    )
    small = all(value <= max(CALIBRATED, by_chance[c]) for c, value in errors.items())
    verdict = "small: its confidences can be taken at their word" if small else _direction(results)
    return f"Its calibration error (ECE) is {listed}: {verdict}."


def _by_chance(result: Result) -> float:
    """The ECE that right confidences would show on as many clips; 0 where it is not known."""
    found = result.metric("ece_if_calibrated")
    return found.value or 0.0 if found else 0.0


def _direction(results: dict[str, Result]) -> str:
    over = []
    for result in results.values():
        if bins := result.reliability:
            rows = zip(bins.num, bins.confidence, bins.accuracy, strict=True)
            over.append(sum(n * ((c or 0) - (a or 0)) for n, c, a in rows))
    if over and all(gap > 0 for gap in over):
        return "it is surer than it should be"
    if over and all(gap < 0 for gap in over):
        return "it is less sure than it could be"
    return f"not small (above {CALIBRATED:g})"


def _open_set(leader: SystemRun, results: dict[str, Result]) -> str:
    measured = [(r, i) for r in results.values() if (i := r.metric("auroc_out_of_set"))]
    if not measured:
        return ""
    result, auroc = measured[0]
    text = f"Unknown languages: AUROC {_with_interval(auroc)}, where 0.5 is chance"
    if auroc.low is not None and auroc.low <= 0.5:
        text += ": they are not told from known ones"
    if point := result.operating_point:
        text += (
            f". At the threshold that was to call at most {_percent(point.at_most)} of known ones unknown, "
            f"{_percent(point.known_rejected)} of them are, and {_percent(point.unknown_accepted)} of the unknown are "
            "taken for known"
        )
    return text + "."


def _seeds(run: RunSummary) -> str:
    numbers = {len(system.seeds or []) for system in run.systems if not system.scored_by}
    each = "Each network" if any(system.scored_by for system in run.systems) else "Each system"
    if numbers <= {0}:
        return ""
    if max(numbers) == 1:
        return f"{each} was trained once: what another seed would change is not in any interval here."
    few = min(numbers)
    return f"{each} was trained with {few} seeds." if numbers == {few} else "Systems differ in the number of seeds."


def _with_interval(interval: Interval) -> str:
    metric = OPEN_METRICS["auroc_out_of_set"]
    return " ".join(part for part in (metric.text(interval.value), metric.interval_text(interval)) if part)


def _percent(share: float | None) -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:.0f} %"
