"""Table 1 of the paper as data: eight systems and two controls, each stating only its difference.

Source: Li, Liu, Li, Hong, "Additive Phoneme-aware Margin Softmax Loss for Language Recognition", Interspeech 2021,
Table 1. Rows 4 and 7 print m = 0.02; the text calls them "a little bit larger m, for compensating β·p", which is
0.2 + 10·0.002 = 0.22: the equal-mean-margin controls. Both readings are carried: 4 and 7 are 0.22, 4p and 7p as printed.

The table has but one system without the phoneme task, 1. What the task is worth to a margin loss needs more: SINGLE_TASK.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from isogloss.types import IsoglossError


@dataclass(frozen=True)
class System:
    """One row of Table 1."""

    id: str
    label: str
    head: str  # softmax | am | aam (| a)
    multitask: bool = True
    m: float = 0.0
    beta: float = 0.0  # 0: a constant margin; else P_i = m + β·p_i (eq. 12)
    published_cavg: tuple[float | None, float | None, float | None] = (
        None,
        None,
        None,
    )  # short, cross-channel, open set
    published_doubtful: tuple[bool, bool, bool] = (False, False, False)  # contradicts the paper's own text


TABLE_1: dict[str, System] = {
    s.id: s
    for s in (
        System("1", "x-vector, Softmax", "softmax", multitask=False, published_cavg=(0.0540, 0.2694, 0.0851)),
        System("2", "MT, Softmax", "softmax", published_cavg=(0.0470, 0.2779, 0.0735)),
        System("3", "MT, AM m=0.2", "am", m=0.2, published_cavg=(0.0458, 0.2769, 0.1032)),
        System(
            "4",
            "MT, AM m=0.22",
            "am",
            m=0.22,
            published_cavg=(0.0467, 0.2458, 0.0792),
            published_doubtful=(False, True, False),
        ),
        System("4p", "MT, AM m=0.02 (as printed)", "am", m=0.02),
        System("5", "MT, APM (AM) m=0.2 β=10", "am", m=0.2, beta=10.0, published_cavg=(0.0463, 0.2497, 0.0707)),
        System("6", "MT, AAM m=0.2", "aam", m=0.2, published_cavg=(0.0451, 0.2731, 0.0941)),
        System(
            "7",
            "MT, AAM m=0.22",
            "aam",
            m=0.22,
            published_cavg=(0.0441, 0.274, 0.0874),
            published_doubtful=(True, False, False),
        ),
        System("7p", "MT, AAM m=0.02 (as printed)", "aam", m=0.02),
        System("8", "MT, APM (AAM) m=0.2 β=10", "aam", m=0.2, beta=10.0, published_cavg=(0.0445, 0.2590, 0.0761)),
    )
}

SINGLE_TASK: dict[str, System] = {
    f"{of.id}s": replace(
        of,
        id=f"{of.id}s",
        label=of.label.replace("MT", "x-vector"),
        multitask=False,
        published_cavg=System.published_cavg,
        published_doubtful=System.published_doubtful,
    )
    for of in TABLE_1.values()
    if of.multitask and of.m and not of.beta
}
"""The rows of a constant margin without the phoneme task, 3s to 7ps; not in the paper."""

SYSTEMS: dict[str, System] = TABLE_1 | SINGLE_TASK
"""All that a number names."""


def without_phones(system: System) -> str:
    """The system that differs by the phoneme task alone: Softmax is system 1, and a constant margin row's is its own with an s.

    A phoneme-aware margin cannot be without the task: the constant of the same mean takes its place, 4s for 5 and 7s for 8.
    """
    return {"2": "1", "5": "4s", "8": "7s"}.get(system.id, f"{system.id}s" if system.multitask else system.id)


def parse_systems(text: str) -> list[System]:
    """`"1,2,5"` → these systems in that order; `"all"` → the ten of Table 1. An unknown name is an error naming the nearest."""
    if text.strip() == "all":
        return list(TABLE_1.values())
    systems = []
    for name in (part.strip() for part in text.split(",")):
        if name not in SYSTEMS:
            near = difflib.get_close_matches(name, list(SYSTEMS), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise IsoglossError(
                f"unknown system {name!r}: Table 1 has {', '.join(TABLE_1)} or all; without the phoneme task "
                f"{', '.join(SINGLE_TASK)}{hint}"
            )
        systems.append(SYSTEMS[name])
    return systems
