"""Text files of scores. Fields are separated by whitespace, names have none in them.

* in pairs: ``language utterance score``
* as a matrix: ``utt lang1 lang2 …`` and then one ``utterance score1 score2 …`` per line; OLR leaves ``utt`` out, NIST LRE
  writes ``segmentid``, others what they like

Which it is, the first two lines say. Scores of −inf in every language: the system gave no answer.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from isogloss.metrics.fields import Fields, Names, check_names, read_fields, write_lines
from isogloss.types import IsoglossError, Scores

MATRIX_CORNER = "utt"
NIST_CORNER = "segmentid"


def read_scores(path: str | Path) -> Scores:
    """Scores of a file in pairs or as a matrix, in order of appearance.

    Raises IsoglossError for a malformed line, and with their number for repeated, missing and not finite scores.
    """
    utterances, languages, loglik = parse_scores(Path(path))
    num_missing = int(np.isnan(loglik).sum())
    if num_missing:
        u, c = np.argwhere(np.isnan(loglik))[0]
        raise IsoglossError(
            f"{path}: {num_missing} of {loglik.size} scores are missing, first {languages[c]!r} on {utterances[u]!r}; "
            "is the file cut short? Score them, or leave the utterance out; `isogloss evaluate` counts them as rejected"
        )
    return Scores(utterances, languages, loglik)


def write_scores(path: str | Path, scores: Scores, form: Literal["pairs", "matrix", "nist"] = "pairs") -> None:
    """Text that reads back to the same float64 values."""
    check_names([*scores.utterances, *scores.languages])
    rows = ((u, map(repr, row.tolist())) for u, row in zip(scores.utterances, scores.loglik, strict=True))
    if form == "pairs":
        write_lines(path, (f"{c} {u} {text}" for u, row in rows for c, text in zip(scores.languages, row, strict=True)))
    else:
        corner, space = (NIST_CORNER, "\t") if form == "nist" else (MATRIX_CORNER, " ")
        head = space.join([corner, *scores.languages])
        write_lines(path, chain([head], (space.join([u, *row]) for u, row in rows)))


def parse_scores(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Utterances, languages, loglik [U, C] with NaN where the file has no score. Errors: see `read_scores`."""
    chunks = read_fields(path)
    first, second = next(chunks, None), next(chunks, None)
    if first is None:
        raise IsoglossError(f"{path}: no scores in it; did scoring end early?")
    corner = first.fields[0] in (MATRIX_CORNER.encode(), NIST_CORNER.encode()) or _is_header(first, second)
    utterance_names, language_names = Names(), Names()
    # Not told by whether a field is a number: "nan" is a language (Min Nan, ISO 639-3) and "0001" may be an utterance.
    is_matrix = corner or (second is not None and second.count[0] == len(first.fields) + 1)
    if is_matrix:
        heads = language_names.numbers(first.fields[corner:])  # [C]
        if second is None:
            raise IsoglossError(f"{path}: a header but no scores; did scoring end early?")
    row_parts, column_parts, value_parts, line_parts = [], [], [], []
    for chunk in chain([] if is_matrix else [first], [second] if second is not None else [], chunks):
        wrong = chunk.wrong(len(heads) + 1 if is_matrix else 3)
        if is_matrix and wrong is not None:
            said = f"{chunk.count[wrong] - 1} scores; line {first.line[0]} names {len(heads)} languages"
            raise IsoglossError(f"{path}:{chunk.line[wrong]}: {said}")
        if wrong is not None:
            raise IsoglossError(
                f"{path}:{chunk.line[wrong]}: {chunk.text(wrong)!r}; expected 'language utterance score', or a header line "
                "of the languages and then a line for each utterance"
            )
        if is_matrix:
            row_parts.append(utterance_names.numbers(chunk.fields[:: len(heads) + 1]))
            del chunk.fields[:: len(heads) + 1]
            value_parts.append(_numbers(chunk, chunk.fields, len(heads)))
        else:
            column_parts.append(language_names.numbers(chunk.fields[0::3]))
            row_parts.append(utterance_names.numbers(chunk.fields[1::3]))
            value_parts.append(_numbers(chunk, chunk.fields[2::3], 1))
        line_parts.append(chunk.line)
    row, line, values = np.concatenate(row_parts), np.concatenate(line_parts), np.concatenate(value_parts)
    column = heads[None, :] if is_matrix else np.concatenate(column_parts)[:, None]
    utterances, languages = utterance_names.decoded(path), language_names.decoded(path)
    _check_finite(path, row, line, values)
    loglik = np.full((len(utterances), len(languages)), np.nan)
    loglik[row[:, None], column] = values
    if np.isnan(loglik).sum() + values.size > loglik.size:  # some score took the place of another
        count = np.zeros(loglik.shape, dtype=np.int32)
        np.add.at(count, (row[:, None], column), 1)
        u, c = np.argwhere(count > 1)[0]
        raise IsoglossError(
            f"{path}: {int((count > 1).sum())} trials are scored more than once, first {languages[c]!r} on "
            f"{utterances[u]!r}; were two score files joined?"
        )
    return utterances, languages, loglik


def _is_header(first: Fields, second: Fields | None) -> bool:
    """Whether line 1 is a corner word and languages: as many fields as line 2, which has numbers where line 1 has none.

    A line of three fields must lack the last number, too: only that is never so in pairs, where "0001" may be an utterance.
    """
    if second is None or second.count[0] != len(first.fields):
        return False
    names = first.fields[1:] if len(first.fields) != 3 else first.fields[2:]
    return all(map(_is_number, second.fields[1 : second.count[0]])) and not all(map(_is_number, names))


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(chunk: Fields, texts: list[bytes], per_line: int) -> np.ndarray:
    """[lines, per_line]"""
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts)).reshape(-1, per_line)
    except ValueError:
        for index, text in enumerate(texts):
            try:
                float(text)
            except ValueError:
                where = f"{chunk.path}:{chunk.line[index // per_line]}"
                raise IsoglossError(f"{where}: {text.decode(errors='replace')!r} is not a score") from None
        raise


def _check_finite(path: Path, row: np.ndarray, line: np.ndarray, values: np.ndarray) -> None:
    """NaN and inf are errors, and −inf is one where the same utterance has other scores."""
    finite = np.isfinite(values)
    if finite.all():
        return
    answered = np.zeros(row.max() + 1, dtype=bool)
    answered[row[finite.any(axis=1)]] = True
    bad = ~finite & (~np.isneginf(values) | answered[row][:, None])
    if bad.any():
        first = line[bad.any(axis=1).argmax()]
        raise IsoglossError(
            f"{path}:{first}: not a finite score, {int(bad.sum())} in all; did scoring fail there? Leave the utterance out, or "
            "write -inf for all languages"
        )
