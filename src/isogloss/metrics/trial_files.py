"""Text files that say what is tested, and scores matched to them. Names have no whitespace in them.

* trials (Kaldi, OLR): ``language utterance target|nontarget``; an utterance without a target line is out of set
* key (NIST LRE): a header with ``segmentid`` and ``language_code``, then one tab-separated line per utterance
* recordings (Kaldi's utt2spk): ``utterance recording``
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from isogloss.metrics.fields import Names, check_names, decoded, read_fields, write_lines
from isogloss.metrics.score_files import NIST_CORNER, parse_scores
from isogloss.metrics.trials import mark_out_of_set
from isogloss.types import OUT_OF_SET, IsoglossError, Key, Scores

NIST_LANGUAGE = ("language_code", "language")


@dataclass(frozen=True)
class Unmatched:
    """What only one of trials and scores has, as `evaluate` reports it."""

    num_unscored: int  # utterances of the trials without any score
    num_missing_trials: int  # trials without score, those of such utterances among them
    num_unknown_scored: int  # scored utterances that are in no trial
    languages_ignored: list[str]  # scored, but in no trial


@dataclass(frozen=True, eq=False)
class MatchedScores(Scores):
    """Scores in the order of a trials file, and what did not match."""

    unmatched: Unmatched


def read_trials(path: str | Path) -> tuple[Key, list[str]]:
    """(key, enrolled languages in order of appearance) of a trials file; of a NIST key, the languages in it.

    Raises IsoglossError for a malformed line, a repeated or missing pair, or an utterance with two targets.
    """
    if (key := _read_nist_key(Path(path))) is not None:
        return key, [language for language in dict.fromkeys(key.values()) if language != OUT_OF_SET]
    return _read_trials(Path(path))


def read_scored_trials(
    trials_path: str | Path,
    scores_path: str | Path,
    missing: Literal["error", "reject"] = "error",
    extra: Literal["error", "ignore"] = "error",
) -> tuple[MatchedScores, Key]:
    """Scores in the order of the trials file, and the key. Both files must be of one test set.

    missing: what a trial without score is. "reject" warns with their number and takes them as rejected: an utterance
    without any score as one without an answer (−inf), a single trial as scored like the lowest of the file, so that the
    OLR thresholds stay where they are. With a NIST key the enrolled languages are those scored, all others out of set.
    extra: what scores of no trial are; "ignore" warns and leaves them out, as the OLR script does. The scores that stay
    are unchanged (not normalised again).
    Raises IsoglossError as `read_trials` and `read_scores` do, and where the two files have no utterance in common.
    """
    scored_utterances, scored_languages, found = parse_scores(Path(scores_path))
    key, languages = _key_for(scored_languages, Path(trials_path))
    rows = {u: i for i, u in enumerate(key)}
    columns = {language: i for i, language in enumerate(languages)}
    tried_rows = [i for i, u in enumerate(scored_utterances) if u in rows]
    tried_columns = [i for i, c in enumerate(scored_languages) if c in columns]
    strange_utterances = [u for u in scored_utterances if u not in rows]
    strange_languages = [c for c in scored_languages if c not in columns]
    if strange := strange_utterances + strange_languages:
        said = f"{scores_path}: {len(strange)} names are not in {trials_path}, first {strange[0]!r}"
        if not tried_rows and any(c in rows for c in scored_languages):
            raise IsoglossError(
                f"{said}; languages and utterances stand in each other's place in one of the two: expected lines "
                "'language utterance score', or a matrix with a line for each utterance"
            )
        if extra == "error" or not tried_rows or not tried_columns:
            raise IsoglossError(
                f"{said}; do the two files belong to the same test set? `isogloss evaluate --extra ignore` leaves them out"
            )
        warnings.warn(f"{said}: left out", stacklevel=2)
    loglik = np.full((len(rows), len(columns)), np.nan)
    into = np.ix_(
        [rows[scored_utterances[i]] for i in tried_rows], [columns[scored_languages[i]] for i in tried_columns]
    )
    loglik[into] = found[np.ix_(tried_rows, tried_columns)] if strange else found
    absent = np.isnan(loglik)
    unscored = absent.all(axis=1)
    if absent.any():
        said = f"{scores_path}: {int(absent.sum())} of the {loglik.size} trials of {trials_path} have no score"
        if missing == "error":
            raise IsoglossError(
                f"{said}; score them, or let `isogloss evaluate --missing reject` count them as rejected"
            )
        whole = f"{int(unscored.sum())} whole utterances"
        if lacking := [language for language, none in zip(languages, absent.all(axis=0), strict=True) if none]:
            whole += f", all of {', '.join(lacking)}"
        warnings.warn(f"{said}; counted as rejected ({whole})", stacklevel=2)
        finite = np.isfinite(loglik)
        loglik[absent] = loglik[finite].min() if finite.any() else 0.0
        loglik[~finite.any(axis=1)] = -np.inf
    unmatched = Unmatched(int(unscored.sum()), int(absent.sum()), len(strange_utterances), strange_languages)
    return MatchedScores(list(key), languages, loglik, unmatched), key


def write_trials(path: str | Path, key: Key, languages: list[str], form: Literal["kaldi", "nist"] = "kaldi") -> None:
    """Every utterance of the key × every language, or a NIST key. A language not enrolled is an error."""
    strange = sorted(set(key.values()) - {*languages, OUT_OF_SET})
    if strange:
        raise IsoglossError(f"the key has {', '.join(strange)}, not among the languages {', '.join(languages)}")
    check_names([*key, *languages])
    if form == "nist":
        write_lines(path, chain([f"{NIST_CORNER}\t{NIST_LANGUAGE[0]}"], (f"{u}\t{own}" for u, own in key.items())))
    else:
        kinds = ("nontarget", "target")
        write_lines(path, (f"{lang} {u} {kinds[own == lang]}" for u, own in key.items() for lang in languages))


def read_recordings(path: str | Path) -> dict[str, str]:
    """Utterance → recording or speaker, of lines ``utterance name`` (Kaldi's utt2spk)."""
    recordings: dict[str, str] = {}
    for chunk in read_fields(path):
        if (wrong := chunk.wrong(2)) is not None:
            raise IsoglossError(f"{path}:{chunk.line[wrong]}: {chunk.text(wrong)!r}, not 'utterance recording'")
        names = chunk.decoded()
        recordings |= dict(zip(names[0::2], names[1::2], strict=True))
    return recordings


def _key_for(scored_languages: list[str], path: Path) -> tuple[Key, list[str]]:
    key = _read_nist_key(path)
    if key is None:
        return _read_trials(path)
    if unscored := sorted(set(key.values()) - {*scored_languages, OUT_OF_SET}):
        warnings.warn(f"{path}: no scores for {', '.join(unscored)}; taken as out of set", stacklevel=3)
    return mark_out_of_set(key, scored_languages), scored_languages


def _read_nist_key(path: Path) -> Key | None:
    """None where the header is not that of a NIST key."""
    head = next(read_fields(path), None)
    if head is None or head.fields[0] != NIST_CORNER.encode():
        return None
    lines = decoded([path.read_bytes()], path)[0].splitlines()
    columns = [cell.strip() for cell in lines[head.line[0] - 1].split("\t")]
    column = next((columns.index(name) for name in NIST_LANGUAGE if name in columns), None)
    if column is None:
        raise IsoglossError(
            f"{path}: the header has {NIST_CORNER} but no {NIST_LANGUAGE[0]}: is this the score file? expected the key"
        )
    key: Key = {}
    # By tabs, as a cell of another column may be empty.
    for number, line in enumerate(lines, start=1):
        if number <= head.line[0] or not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) <= column or not cells[0] or not cells[column]:
            raise IsoglossError(f"{path}:{number}: {line.strip()!r}, no segment and language; expected tabs between")
        if cells[0] in key:
            raise IsoglossError(f"{path}:{number}: {cells[0]!r} is there twice; were two keys joined?")
        key[cells[0]] = cells[column]
    if not key:
        raise IsoglossError(f"{path}: a header but no segments; is the file cut short?")
    return key


def _read_trials(path: Path) -> tuple[Key, list[str]]:
    utterance_names, language_names = Names(), Names()
    utterance_parts, language_parts, target_parts, lines = [], [], [], []
    for chunk in read_fields(path):
        kinds = chunk.fields[2::3]
        wrong = chunk.wrong(3)
        if wrong is None and (strange := set(kinds) - {b"target", b"nontarget"}):
            wrong = next(i for i, kind in enumerate(kinds) if kind in strange)
        if wrong is not None:
            said = chunk.text(wrong)
            raise IsoglossError(f"{path}:{chunk.line[wrong]}: {said!r}, not 'language utterance target|nontarget'")
        language_parts.append(language_names.numbers(chunk.fields[0::3]))
        utterance_parts.append(utterance_names.numbers(chunk.fields[1::3]))
        target_parts.append(np.fromiter((kind == b"target" for kind in kinds), bool, len(kinds)))
        lines.append(chunk.line)
    utterances, languages = utterance_names.decoded(path), language_names.decoded(path)
    if not utterances:
        raise IsoglossError(f"{path}: 0 trials in it; did whatever wrote it end early?")
    utterance, language = np.concatenate(utterance_parts), np.concatenate(language_parts)
    line, is_target = np.concatenate(lines), np.concatenate(target_parts)
    if (again := _first_repeat(utterance * len(languages) + language)) is not None:
        trial = f"the trial of {languages[language[again]]!r} on {utterances[utterance[again]]!r}"
        raise IsoglossError(f"{path}:{line[again]}: {trial} is there twice")
    targets = np.flatnonzero(is_target)
    if (again := _first_repeat(utterance[targets])) is not None:
        u = utterance[targets[again]]
        first, second = (languages[language[t]] for t in targets[utterance[targets] == u][:2])
        raise IsoglossError(f"{path}:{line[targets[again]]}: {utterances[u]!r} is a target of {first} and of {second}")
    num_missing = len(utterances) * len(languages) - len(utterance)
    if num_missing:
        raise IsoglossError(
            f"{path}: {len(utterance)} trials, {num_missing} missing of {len(utterances)} utterances × "
            f"{len(languages)} languages; every utterance must be tried on every language: is the file cut short?"
        )
    own = np.full(len(utterances), len(languages))
    own[utterance[targets]] = language[targets]
    spoken = [*languages, OUT_OF_SET]
    return dict(zip(utterances, (spoken[o] for o in own), strict=True)), languages


def _first_repeat(numbers: np.ndarray) -> int | None:
    """Index of the first number that stood before."""
    order = np.argsort(numbers, kind="stable")
    repeated = order[1:][np.diff(numbers[order]) == 0]
    return int(repeated.min()) if len(repeated) else None
