"""Trials: one detector (enrolled language) tried on one utterance. Checks, sorting, and the text files other tools use.

Files, whitespace-separated, names without whitespace:

* trials (Kaldi, OLR): ``language utterance target|nontarget``; an utterance without a target line is out of set
* scores in pairs: ``language utterance score``
* scores as a matrix: ``utt lang1 lang2 …`` and then one ``utterance score1 score2 …`` per line (OLR leaves ``utt`` out)
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from isogloss.types import OUT_OF_SET, IsoglossError, Key, Scores

MATRIX_CORNER = "utt"


def truth(scores: Scores, key: Key) -> np.ndarray:
    """[U] int: index of each utterance's language in `scores.languages`, C for out of set.

    Every metric starts here, so that bad input is met before the maths. Raises IsoglossError for no utterances, fewer
    than two languages, repeated names, scores that are not finite, an utterance without key, and a language that is
    neither enrolled nor OUT_OF_SET.
    """
    if not scores.utterances or len(scores.languages) < 2:
        raise IsoglossError(
            f"scores of {len(scores.utterances)} utterances and {len(scores.languages)} languages; expected at least "
            "1 and 2: is the score file empty, or was only one language enrolled?"
        )
    for what, names in (("utterance", scores.utterances), ("language", scores.languages)):
        if len(set(names)) < len(names):
            repeated = Counter(names).most_common(1)[0][0]
            raise IsoglossError(f"{what} {repeated!r} is in the scores twice; were two score files joined?")
    bad = ~np.isfinite(scores.loglik)
    if bad.any():
        first = int(bad.any(axis=1).argmax())
        raise IsoglossError(
            f"{int(bad.sum())} of {bad.size} scores are not finite, first in utterance {scores.utterances[first]!r}; "
            "did it have no voiced frame, or did training diverge?"
        )
    index = {language: i for i, language in enumerate(scores.languages)} | {OUT_OF_SET: len(scores.languages)}
    without = [u for u in scores.utterances if u not in key]
    if without:
        raise IsoglossError(
            f"{len(without)} of {len(scores.utterances)} utterances have no true language, first {without[0]!r}; "
            "do scores and key come from the same test set?"
        )
    strange = sorted({key[u] for u in scores.utterances} - index.keys())
    if strange:
        raise IsoglossError(
            f"the key has {', '.join(map(repr, strange))}, but enrolled are {', '.join(scores.languages)}; if that "
            "is no difference of spelling, mark them out of set first (mark_out_of_set)"
        )
    return np.array([index[key[u]] for u in scores.utterances])


def mark_out_of_set(key: Key, languages: list[str]) -> Key:
    """The key with every language that is not in `languages` (the enrolled ones) replaced by OUT_OF_SET."""
    enrolled = set(languages)
    return {u: language if language in enrolled else OUT_OF_SET for u, language in key.items()}


def restrict_to_tested(scores: Scores, key: Key) -> Scores:
    """Without the languages no scored utterance is in. The scores that stay are unchanged (not normalised again)."""
    tested = np.unique(truth(scores, key))
    columns = tested[tested < len(scores.languages)]
    return Scores(scores.utterances, [scores.languages[i] for i in columns], scores.loglik[:, columns])


def as_weights(weights: np.ndarray | None, num_utterances: int) -> np.ndarray:
    """[R, U] float64 from weights of shape [U], [R, U], or None for a weight of one each.

    A weight counts how often an utterance is in the test set: one row is one bootstrap resample.
    """
    if weights is None:
        return np.ones((1, num_utterances))
    rows = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != num_utterances or not np.isfinite(rows).all() or (rows < 0).any():
        raise IsoglossError(
            f"utterance weights of shape {np.shape(weights)}; expected [{num_utterances}] or "
            f"[resamples, {num_utterances}], finite and not negative"
        )
    return rows


def like_weights(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """values [R, …] of `as_weights` rows → [R, …] if the caller gave rows, else […]; one number becomes a scalar."""
    return values if weights is not None and np.ndim(weights) == 2 else values[0]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan), where=whole > 0)


@dataclass(frozen=True)
class SortedTrials:
    """All n = U·C trials in ascending order of score: what every threshold sweep walks over."""

    score: np.ndarray  # [n] float64
    utterance: np.ndarray  # [n] int
    is_target: np.ndarray  # [n] bool
    cuts: np.ndarray  # [G] int, ascending: the k for which a threshold rejects exactly the k lowest; 0 and n included

    def rejected(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(targets, non-targets) rejected at each cut, each [R, G], for utterance weights [R, U]."""
        counts = []
        for kind in (self.is_target, ~self.is_target):
            below = np.zeros((len(rows), len(kind) + 1))
            np.cumsum(rows[:, self.utterance] * kind, axis=1, out=below[:, 1:])
            counts.append(below[:, self.cuts])
        return counts[0], counts[1]


def sort_trials(loglik: np.ndarray, languages: np.ndarray) -> SortedTrials:
    """loglik [U, C], true languages [U] (see `truth`). No cut is between equal scores: no threshold parts them."""
    num_languages = loglik.shape[1]
    order = np.argsort(loglik, axis=None)
    score = loglik.ravel()[order]
    utterance, language = np.divmod(order, num_languages)
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1, [len(score)]])
    return SortedTrials(score, utterance, languages[utterance] == language, cuts)


def read_trials(path: str | Path) -> tuple[Key, list[str]]:
    """(key, enrolled languages in order of appearance) of a trials file.

    Raises IsoglossError for a malformed line, a repeated or missing pair, or an utterance with two targets.
    """
    key: Key = {}
    languages: dict[str, None] = {}
    pairs: set[tuple[str, str]] = set()
    for number, fields in _lines(path):
        if len(fields) != 3 or fields[2] not in ("target", "nontarget"):
            raise IsoglossError(f"{path}:{number}: {' '.join(fields)!r}, not 'language utterance target|nontarget'")
        language, utterance, kind = fields
        if (language, utterance) in pairs:
            raise IsoglossError(f"{path}:{number}: the trial of {language!r} on {utterance!r} is there twice")
        pairs.add((language, utterance))
        languages.setdefault(language)
        key.setdefault(utterance, OUT_OF_SET)
        if kind == "target":
            if key[utterance] != OUT_OF_SET:
                raise IsoglossError(f"{path}:{number}: {utterance!r} is a target of {key[utterance]} and of {language}")
            key[utterance] = language
    num_missing = len(key) * len(languages) - len(pairs)
    if num_missing or not pairs:
        raise IsoglossError(
            f"{path}: {len(pairs)} trials, {num_missing} missing of {len(key)} utterances × {len(languages)} "
            "languages; every utterance must be tried on every language: is the file cut short?"
        )
    return key, list(languages)


def write_trials(path: str | Path, key: Key, languages: list[str]) -> None:
    """Every utterance of the key × every language, as `read_trials` reads it. A language not enrolled is an error."""
    strange = sorted(set(key.values()) - {*languages, OUT_OF_SET})
    if strange:
        raise IsoglossError(f"the key has {', '.join(strange)}, not among the languages {', '.join(languages)}")
    _check_names([*key, *languages])
    kinds = ("nontarget", "target")
    _write(path, (f"{language} {u} {kinds[own == language]}" for u, own in key.items() for language in languages))


def read_scores(path: str | Path) -> Scores:
    """Scores of a file in pairs or as a matrix (told apart by its first two lines), in order of appearance.

    Raises IsoglossError for a malformed line, and with their number for repeated, missing and not finite scores.
    """
    utterances, languages, loglik = _parse_scores(Path(path))
    num_missing = int(np.isnan(loglik).sum())
    if num_missing:
        u, c = np.argwhere(np.isnan(loglik))[0]
        raise IsoglossError(
            f"{path}: {num_missing} of {loglik.size} scores are missing, first {languages[c]!r} on {utterances[u]!r}; "
            "is the file cut short? Read it with its trials and missing='reject' to count them as rejected"
        )
    return Scores(utterances, languages, loglik)


def read_scored_trials(
    trials_path: str | Path, scores_path: str | Path, missing: Literal["error", "reject"] = "error"
) -> tuple[Scores, Key]:
    """Scores in the order of the trials file, and the key. Both files must be of one test set.

    missing: what a trial without score is. "reject" gives it the lowest score of the file (the OLR thresholds stay
    where they are) and warns with the number; an utterance without any score is then equally unlike every language.
    Raises IsoglossError as `read_trials` and `read_scores` do, and for scores of no trial, with their number.
    """
    key, languages = read_trials(trials_path)
    found_utterances, found_languages, found = _parse_scores(Path(scores_path))
    rows = {u: i for i, u in enumerate(key)}
    columns = {language: i for i, language in enumerate(languages)}
    unknown = [u for u in found_utterances if u not in rows] + [c for c in found_languages if c not in columns]
    if unknown:
        raise IsoglossError(
            f"{scores_path}: {len(unknown)} names are not in {trials_path}, first {unknown[0]!r}; "
            "do the two files belong to the same test set?"
        )
    loglik = np.full((len(rows), len(columns)), np.nan)
    loglik[np.ix_([rows[u] for u in found_utterances], [columns[c] for c in found_languages])] = found
    absent = np.isnan(loglik)
    if absent.any():
        said = f"{scores_path}: {int(absent.sum())} of the {loglik.size} trials of {trials_path} have no score"
        if missing == "error":
            raise IsoglossError(f"{said}; score them, or pass missing='reject' to count them as rejected")
        warnings.warn(f"{said}; counted as rejected", stacklevel=2)
        loglik[absent] = np.nanmin(loglik)
    return Scores(list(key), languages, loglik), key


def write_scores(path: str | Path, scores: Scores, form: Literal["pairs", "matrix"] = "pairs") -> None:
    """Text that reads back to the same float64 values."""
    _check_names([*scores.utterances, *scores.languages])
    rows = zip(scores.utterances, scores.loglik.tolist(), strict=True)
    if form == "matrix":
        head = " ".join([MATRIX_CORNER, *scores.languages])
        _write(path, [head, *(" ".join([u, *map(repr, row)]) for u, row in rows)])
    else:
        _write(path, (f"{c} {u} {value!r}" for u, row in rows for c, value in zip(scores.languages, row, strict=True)))


def _parse_scores(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Utterances, languages, loglik [U, C] with NaN where the file has no score."""
    lines = list(_lines(path))
    if not lines:
        raise IsoglossError(f"{path}: no scores in it; did scoring end early?")
    first = lines[0][1]
    corner = first[0] == MATRIX_CORNER
    # Not told by whether a field is a number: "nan" is a language (Min Nan, ISO 639-3) and "0001" may be an utterance.
    if corner or (len(lines) > 1 and len(lines[1][1]) == len(first) + 1):
        names = first[1:] if corner else first
        triples = [
            (number, name, fields[0], text)
            for number, fields in lines[1:]
            for name, text in zip(names, _row(path, number, fields, len(names)), strict=True)
        ]
    else:
        for number, fields in lines:
            if len(fields) != 3:
                raise IsoglossError(f"{path}:{number}: {' '.join(fields)!r}; expected 'language utterance score'")
        triples = [(number, *fields) for number, fields in lines]  # type: ignore[misc]
    if not triples:
        raise IsoglossError(f"{path}: a header but no scores; did scoring end early?")
    row_of: dict[str, int] = {}
    column_of: dict[str, int] = {}
    rows = np.array([row_of.setdefault(utterance, len(row_of)) for _, _, utterance, _ in triples])
    columns = np.array([column_of.setdefault(language, len(column_of)) for _, language, _, _ in triples])
    values = np.array([_number(path, number, text) for number, _, _, text in triples])
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values))
        line = triples[bad[0]][0]
        raise IsoglossError(f"{path}:{line}: not a finite score, {len(bad)} in all; did scoring fail there?")
    count = np.zeros((len(row_of), len(column_of)), dtype=int)
    np.add.at(count, (rows, columns), 1)
    if (count > 1).any():
        u, c = np.argwhere(count > 1)[0]
        raise IsoglossError(
            f"{path}: {int((count > 1).sum())} trials are scored more than once, first {list(column_of)[c]!r} on "
            f"{list(row_of)[u]!r}; were two score files joined?"
        )
    loglik = np.full(count.shape, np.nan)
    loglik[rows, columns] = values
    return list(row_of), list(column_of), loglik


def _row(path: Path, number: int, fields: list[str], num_languages: int) -> list[str]:
    if len(fields) != num_languages + 1:
        raise IsoglossError(f"{path}:{number}: {len(fields) - 1} scores; line 1 names {num_languages} languages")
    return fields[1:]


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise IsoglossError(f"{path}:{line}: {text!r} is not a score") from None


def _lines(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """(line number from 1, fields) of every line that is not blank."""
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if fields := line.split():
                    yield number, fields
    except (OSError, UnicodeDecodeError) as error:
        raise IsoglossError(f"{path}: cannot be read as text ({error})") from None


def _check_names(names: list[str]) -> None:
    for name in names:
        if len(name.split()) != 1 or name.strip() != name:
            raise IsoglossError(f"{name!r} is empty or has whitespace in it, which separates the fields here")


def _write(path: str | Path, lines: Iterator[str] | list[str]) -> None:
    beside = Path(f"{path}.part")
    beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(beside, path)
