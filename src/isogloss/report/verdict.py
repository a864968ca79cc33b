"""Who is best, by how much, and whether that is more than noise: Table 1 in words."""

from __future__ import annotations

from dataclasses import dataclass

from isogloss.report.results import Interval
from isogloss.report.summary import Difference, RunSummary, SystemRun
from isogloss.report.table1 import Metric, Table, condition_name, rivals

ALPHA = 0.05
NAMED = 3  # rows in a sentence; more are counted


@dataclass(frozen=True)
class Lead:
    """How far the best row of a condition is ahead of another. Amounts are positive where the best is better."""

    other: SystemRun
    text: str  # 0.031 [0.010, 0.052]
    p_value: float
    seeds_ahead: tuple[int, int] | None  # of seeds that both have, where there are several
    beyond_recordings: bool  # the lead is more than other recordings could have made
    beyond_seeds: bool  # and it holds with every seed; False where there is one

    @property
    def clear(self) -> bool:
        return self.beyond_recordings and (self.seeds_ahead is None or self.beyond_seeds)


@dataclass(frozen=True)
class Verdict:
    """One condition: the best row against all others, the closest first."""

    condition: str
    best: SystemRun
    tied: list[str]  # rows with the same printed number
    text: str
    interval: str
    leads: list[Lead]
    overlapping: str  # what can be said where no differences were measured

    @property
    def name(self) -> str:
        return condition_name(self.condition)

    def sentence(self) -> str:
        """Whether it is better by more than noise, in plain words."""
        if not self.leads:
            return self.overlapping
        closest = self.leads[0]
        seeds = (
            f", better with {closest.seeds_ahead[0]} of {closest.seeds_ahead[1]} seeds" if closest.seeds_ahead else ""
        )
        parts = [
            f"Ahead of {closest.other.id}, the next, by {closest.text} (p = {closest.p_value:.3f}{seeds}): "
            f"{_strength(closest)}."
        ]
        if equal := [lead.other.id for lead in self.leads[1:] if not lead.clear]:
            parts.append(f"Not clearly ahead of {names(equal)}{'' if closest.clear else ' either'}.")
        if clear := [lead.other.id for lead in self.leads[1:] if lead.clear]:
            others = (
                names(clear)
                if len(clear) <= NAMED
                else f"the other {len(clear)}"
                if equal
                else f"all {len(clear)} others"
            )
            parts.append(f"Clearly ahead of {others}.")
        return " ".join(parts)


def verdicts(run: RunSummary, table: Table) -> list[Verdict]:
    """One for each condition in which something was measured."""
    found = []
    for column, condition in enumerate(table.conditions):
        leaders, num_overlapping = rivals(table, column)
        if not leaders:
            continue
        best = next(system for system in run.systems if system.id == leaders[0].id)
        cell = leaders[0].cells[column]
        num_others = sum(row.cells[column].measured is not None for row in table.rows) - 1
        overlapping = ""
        if num_others and cell.interval:
            overlapping = (
                f"Of the intervals of the other {num_others} systems, {num_overlapping or 'none'} "
                f"overlap{'s' if num_overlapping <= 1 else ''} it."
            )
        found.append(
            Verdict(
                condition=condition,
                best=best,
                tied=[row.id for row in leaders[1:]],
                text=cell.text,
                interval=cell.interval,
                leads=_leads(run, table, condition, best),
                overlapping=overlapping,
            )
        )
    return found


def _leads(run: RunSummary, table: Table, condition: str, best: SystemRun) -> list[Lead]:
    metric = table.metric
    sign = 1 if metric.higher_is_better else -1
    pairs = [
        (other, found, sign if found.a == best.id else -sign)
        for found in run.differences
        if found.condition == condition and found.metric == metric.name and best.id in (found.a, found.b)
        for other in run.systems
        if other.id == (found.b if found.a == best.id else found.a)
    ]
    leads = []
    for other, found, turn in sorted(pairs, key=lambda pair: pair[2] * pair[1].value):
        ahead = _seeds_ahead(
            _measured(best, table, condition), _measured(other, table, condition), best.seeds == other.seeds, sign
        )
        leads.append(
            Lead(
                other=other,
                text=_amount(metric, found, turn),
                p_value=found.p_value,
                seeds_ahead=ahead,
                beyond_recordings=found.p_value < ALPHA / len(pairs) and turn * found.value > 0,
                beyond_seeds=ahead is not None and ahead[0] == ahead[1],
            )
        )
    return leads


def _measured(system: SystemRun, table: Table, condition: str) -> Interval | None:
    result = system.result(table.backend, condition)
    return result.metric(table.metric.name) if result else None


def _seeds_ahead(a: Interval | None, b: Interval | None, same_seeds: bool, sign: int) -> tuple[int, int] | None:
    if not (same_seeds and a and b and a.by_seed and b.by_seed and len(a.by_seed) == len(b.by_seed)):
        return None
    return sum(sign * (x - y) > 0 for x, y in zip(a.by_seed, b.by_seed, strict=True)), len(a.by_seed)


def _amount(metric: Metric, found: Difference, turn: int) -> str:
    low, high = sorted((turn * found.low, turn * found.high))
    return f"{metric.text(turn * found.value)} [{metric.text(low)}, {metric.text(high)}]"


def _strength(lead: Lead) -> str:
    if not lead.clear:
        return "no more than noise"
    if lead.beyond_seeds:
        return "more than the noise of recordings and seeds"
    return "more than the noise of the recordings, but what another seed would change is not known"


def names(ids: list[str]) -> str:
    """`1, 2 and 5`"""
    return ids[0] if len(ids) == 1 else f"{', '.join(ids[:-1])} and {ids[-1]}"
