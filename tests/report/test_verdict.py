"""A lead is called clear only where recordings and seeds both say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isogloss.report import load_run
from isogloss.report.table1 import build_table
from isogloss.report.verdict import Verdict, verdicts

FakeRun = Callable[..., Path]
SEEDS = {"2": [0.10, 0.12], "3": [0.13, 0.15], "5": [0.11, 0.13], "6": [0.13, 0.11]}


def verdict_of(fake_run: FakeRun, p_values: dict[str, float], by_seed: dict[str, list[float]] | None = None) -> Verdict:
    """Systems 2 (the best, Cavg 0.11), 3 (0.14), 5 and 6 (0.12), with these p-values of their difference to 2."""

    def measure(metrics: dict[str, Any]) -> None:
        metrics["differences"] = []
        for system in metrics["systems"]:
            values = SEEDS[system["id"]]
            mean = sum(values) / 2
            cavg: dict[str, Any] = {"value": mean, "low": mean - 0.02, "high": mean + 0.02}
            if by_seed:
                cavg["by_seed"] = by_seed[system["id"]]
                system["seeds"] = [1, 2]
            system["backends"]["olr2020"]["short"]["cavg_min"] = cavg
            if system["id"] != "2":
                a, b = sorted(("2", system["id"]), key=lambda name: name != "3")  # 3 − 2, but 2 − 5 and 2 − 6
                value = sum(SEEDS[a]) / 2 - sum(SEEDS[b]) / 2
                metrics["differences"].append(
                    {"condition": "short", "metric": "cavg_min", "a": a, "b": b, "value": value,
                     "low": value - 0.02, "high": value + 0.01, "p_value": p_values[system["id"]]}
                )  # fmt: skip

    run = load_run(fake_run(systems=list(SEEDS), conditions=["short"], change=measure))
    (verdict,) = verdicts(run, build_table(run, "cavg_min", "olr2020"))
    return verdict


def test_amounts_are_positive_where_the_best_is_better(fake_run: FakeRun) -> None:
    verdict = verdict_of(fake_run, {"3": 0.002, "5": 0.2, "6": 0.3})
    assert verdict.best.id == "2" and verdict.text == "0.1100"
    leads = {lead.other.id: lead for lead in verdict.leads}
    assert [lead.other.id for lead in verdict.leads] == ["5", "6", "3"]  # the closest first
    assert leads["3"].text == "0.0300 [0.0100, 0.0400]"
    assert leads["5"].text == "0.0100 [0.0000, 0.0300]"  # the interval is turned with the difference
    assert {name: lead.clear for name, lead in leads.items()} == {"3": True, "5": False, "6": False}
    assert verdict.sentence() == (
        "Ahead of 5, the next, by 0.0100 [0.0000, 0.0300] (p = 0.200): no more than noise. "
        "Not clearly ahead of 6 either. Clearly ahead of 3."
    )


def test_p_must_be_small_for_as_many_as_are_compared(fake_run: FakeRun) -> None:
    leads = verdict_of(fake_run, {"3": 0.016, "5": 0.017, "6": 0.06}).leads
    assert {lead.other.id: lead.clear for lead in leads} == {"3": True, "5": False, "6": False}  # 0.05 / 3 = 0.0167


def test_one_seed_is_said_to_be_one(fake_run: FakeRun) -> None:
    verdict = verdict_of(fake_run, {"3": 0.002, "5": 0.002, "6": 0.002})
    assert "what another seed would change is not known" in verdict.sentence()
    assert verdict.sentence().endswith("Clearly ahead of 6 and 3.")


def test_a_lead_must_be_there_with_every_seed(fake_run: FakeRun) -> None:
    verdict = verdict_of(fake_run, {"3": 0.002, "5": 0.002, "6": 0.002}, by_seed=SEEDS)
    leads = {lead.other.id: lead for lead in verdict.leads}
    assert leads["5"].seeds_ahead == (2, 2) and leads["5"].clear
    assert leads["6"].seeds_ahead == (1, 2) and not leads["6"].clear
    assert "better with 2 of 2 seeds): more than the noise of recordings and seeds." in verdict.sentence()
    assert "Not clearly ahead of 6." in verdict.sentence()


def test_without_differences_the_intervals_are_counted(fake_run: FakeRun) -> None:
    run = load_run(fake_run(systems=["2", "8"], conditions=["short"]))
    (verdict,) = verdicts(run, build_table(run, "cavg_min", "olr2020"))
    assert verdict.leads == []
    assert "Of the intervals of the other 1 systems, " in verdict.sentence()


@pytest.mark.parametrize("num", [2, 12])
def test_many_that_are_behind_are_counted_not_listed(fake_run: FakeRun, num: int) -> None:
    def measure(metrics: dict[str, Any]) -> None:
        first, *others = metrics["systems"]
        first["backends"]["olr2020"]["short"]["cavg_min"] = {"value": 0.001}
        metrics["differences"] = [
            {"condition": "short", "metric": "cavg_min", "a": first["id"], "b": other["id"], "value": -0.1,
             "low": -0.2, "high": -0.05, "p_value": 0.002}
            for other in others
        ]  # fmt: skip

    ids = ["1", "2", "3", "4", "4p", "5", "6", "7", "7p", "8", "3s", "6s"][:num]
    run = load_run(fake_run(systems=ids, conditions=["short"], change=measure))
    (verdict,) = verdicts(run, build_table(run, "cavg_min", "olr2020"))
    assert ("Clearly ahead of all 10 others." in verdict.sentence()) == (num == 12)
