"""Who trains, who validates, who enrols, who tests: disjoint by recording and by speaker, written as a file to open."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from isogloss.config import PrepareConfig
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from lhotse import CutSet


@dataclass(frozen=True)
class Split:
    """Utterance ids by use. `enrol`, `train` where the corpus has no other, is what the back end is fitted on; `out_of_set`
    joins the open-set test."""

    train: list[str]
    valid: list[str]
    enrol: list[str]
    test: list[str]
    out_of_set: list[str]

    @property
    def enrols_on_training(self) -> bool:
        """Whether the back end enrols on what the network has seen."""
        return not set(self.enrol).isdisjoint(self.train)

    def to_dict(self) -> dict[str, list[str]]:
        return asdict(self)


def groups(cuts: CutSet) -> dict[str, str]:
    """Utterance → group. Clips that share a recording or a speaker are one group, through any chain of sharing."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node] = parent[parent[node]]
        return node

    for cut in cuts:
        supervision = cut.supervisions[0]
        recording = f"recording:{supervision.custom['recording']}"
        parent[root(f"utterance:{cut.id}")] = root(recording)
        if supervision.speaker:
            parent[root(recording)] = root(f"speaker:{supervision.speaker}")
    return {cut.id: root(f"utterance:{cut.id}") for cut in cuts}


def splits(cuts: CutSet, config: PrepareConfig) -> dict[str, Split]:
    """Name → Split: `fold0` … where the corpus is cross-validated, or the one `given` split it prescribes."""
    group_of = groups(cuts)
    of: dict[str, Any] = {cut.id: cut.supervisions[0] for cut in cuts}
    unknown = [name for name, s in of.items() if s.custom["out_of_set"]]
    target = {name: s for name, s in of.items() if not s.custom["out_of_set"]}
    if any(s.custom["split"] for s in target.values()):
        by_split: dict[str, list[str]] = defaultdict(list)
        for name, s in target.items():
            if s.custom["split"] is None:
                raise IsoglossError(
                    f"clip {name} has no split but others have; give every target clip train, dev, enrol or test"
                )
            by_split[s.custom["split"]].append(name)
        _require_disjoint(by_split, group_of)
        if not by_split["train"] or not by_split["test"]:
            raise IsoglossError(
                f"the corpus prescribes {', '.join(sorted(by_split))}; expected at least train and test"
            )
        train, valid = by_split["train"], by_split["dev"]
        if not valid:
            train, valid = _hold_out(train, target, group_of, config)
        return {"given": Split(train, valid, by_split["enrol"] or train, by_split["test"], unknown)}
    fold_of = _given_folds(target, group_of) or _balanced_folds(target, group_of, config)
    result = {}
    for fold in sorted(set(fold_of.values())):
        rest = [name for name in target if fold_of[name] != fold]
        train, valid = _hold_out(rest, target, group_of, config)
        test = [name for name in target if fold_of[name] == fold]
        result[f"fold{fold}"] = Split(train, valid, train, test, unknown)
    return result


def left_out_part(split: Split, cuts: CutSet, number: int, total: int) -> Split:
    """`split` for the fold model `number` (from 1) of `total`: it trains on the other parts and enrols on its own, unseen.

    The parts are disjoint by recording and by speaker and balanced by language. A language with a single recording or speaker
    to train on is left out of no training; nobody embeds it unseen.
    """
    of: dict[str, Any] = {cut.id: cut.supervisions[0] for cut in cuts}
    group_of = groups(cuts)
    target = {name: of[name] for name in split.train}
    groups_of = defaultdict(set)
    for name, supervision in target.items():
        groups_of[supervision.language].add(group_of[name])
    lone = {group for found in groups_of.values() if len(found) == 1 for group in found}
    shared = {name: supervision for name, supervision in target.items() if group_of[name] not in lone}
    part_of = _balanced_folds(shared, group_of, PrepareConfig(num_folds=total))
    part = [name for name in split.train if part_of.get(name) == number - 1]
    if not part:
        raise IsoglossError(
            f"part {number} of {total} is empty: {len(set(map(group_of.get, shared)))} recordings or speakers can be shared out"
        )
    unseen = set(part)
    return Split([name for name in split.train if name not in unseen], split.valid, part, [], [])


def _given_folds(target: dict[str, Any], group_of: dict[str, str]) -> dict[str, int] | None:
    folds = {name: s.custom["fold"] for name, s in target.items()}
    if all(fold is None for fold in folds.values()):
        return None
    if missing := [name for name, fold in folds.items() if fold is None]:
        raise IsoglossError(
            f"{len(missing)} clips without a fold, the first {missing[0]}; give every target clip one, or none"
        )
    by_fold: dict[str, list[str]] = defaultdict(list)
    for name, fold in folds.items():
        by_fold[f"fold {fold}"].append(name)
    _require_disjoint(by_fold, group_of)
    return folds


def _balanced_folds(target: dict[str, Any], group_of: dict[str, str], config: PrepareConfig) -> dict[str, int]:
    """Largest groups first, each to the fold that has least of its languages: balanced by language, disjoint by group."""
    members = _members(target, group_of, config.seed)
    load: list[Counter[str]] = [Counter() for _ in range(config.num_folds)]
    fold_of = {}
    for group in sorted(members, key=lambda g: -len(members[g])):
        counts = Counter(target[name].language for name in members[group])
        fold = min(
            range(config.num_folds),
            key=lambda f: (sum(load[f][lang] * n for lang, n in counts.items()), load[f].total()),
        )
        load[fold].update(counts)
        fold_of.update(dict.fromkeys(members[group], fold))
    return fold_of


def _hold_out(
    names: list[str], target: dict[str, Any], group_of: dict[str, str], config: PrepareConfig
) -> tuple[list[str], list[str]]:
    """(train, valid): whole groups drawn until every language has `valid_fraction` of its clips in validation."""
    members = _members({name: target[name] for name in names}, group_of, config.seed)
    total = Counter(target[name].language for name in names)
    groups_left = Counter(lang for group in members.values() for lang in {target[name].language for name in group})
    held: Counter[str] = Counter()
    valid: set[str] = set()
    for group in members.values():
        counts = Counter(target[name].language for name in group)
        wanted = any(held[lang] < max(1, config.valid_fraction * total[lang]) for lang in counts)
        if wanted and all(groups_left[lang] > 1 for lang in counts):  # the last group of a language stays in training
            held.update(counts)
            groups_left.subtract(counts.keys())
            valid.update(group)
    return [name for name in names if name not in valid], [name for name in names if name in valid]


def _members(target: dict[str, Any], group_of: dict[str, str], seed: int) -> dict[str, list[str]]:
    """Group → its utterances, groups in an order drawn from the seed alone."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in sorted(target):
        members[group_of[name]].append(name)
    order = list(members)
    random.Random(seed).shuffle(order)
    return {group: members[group] for group in order}


def _require_disjoint(parts: dict[str, list[str]], group_of: dict[str, str]) -> None:
    home: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if home.setdefault(group_of[name], part) != part:
                raise IsoglossError(
                    f"clip {name} ({part}) shares a recording or speaker with a clip of {home[group_of[name]]}; "
                    "results would flatter: put all clips of one recording and speaker on one side"
                )
