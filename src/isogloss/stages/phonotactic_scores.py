"""Decoded phones → scores/: what the phone sequences alone say of the language, in the layout that `score` writes.

The classifier is that of `phones stats` (phones/phonotactics.py), trained on the training clips of the split. Its scores are not
calibrated: thousands of dependent counts are far too sure. `fuse` finds their weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from isogloss.config import EvaluateConfig, FeaturesConfig
from isogloss.metrics import write_scores, write_trials
from isogloss.phones.ctm import read_ctm
from isogloss.phones.phonotactics import damped_counts, fit_naive_bayes
from isogloss.phones.segments import Segment
from isogloss.stages.features import FrameStores, open_frames
from isogloss.stages.ledger import done, is_done, stamp, write_json
from isogloss.stages.prepare import read_cuts, read_split
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

BACKEND = "phones"
FRAME_SECONDS = 0.01


def phonotactic_scores(
    prepared: Path, frames: Path, decoded: Path, out: Path, config: EvaluateConfig, split: str
) -> Path:
    """Score the validation and test clips of `split` by their phones in `decoded` (`phones decode`); returns `out`.

    Leaves out/phones/<condition>.scores, out/<condition>.trials and out/tests.json for valid, full, short (the phones that
    begin before the clip's voiced frame number `short_frames`) and open. A clip without phones has no answer (−inf).
    Where there are telephone copies, phones/channel.scores without any answer, for a fusion with systems that have some.
    Raises IsoglossError if no training clip has phones.
    """
    ctm = decoded / "phones.ctm"
    options = {"short_frames": config.short_frames, "phones": hashlib.sha256(ctm.read_bytes()).hexdigest()}
    work = stamp("phonotactic_scores", options, prepared, frames, split=split)
    if is_done(out, work):
        return out
    phones = read_ctm(ctm, silences=())
    about = {cut.id: cut.supervisions[0] for cut in read_cuts(prepared)}
    chosen = read_split(prepared, split)
    train = [name for name in chosen.train if phones.get(name)]
    if not train:
        raise IsoglossError(f"{decoded} has no phones of the training clips of {prepared}; were these clips decoded?")
    stores = open_frames(frames)
    whole = {name: [phone for phone, _, _ in segments] for name, segments in phones.items()}
    begun = {name: _first(phones.get(name, []), _end_of(name, stores, config.short_frames)) for name in chosen.test}
    sets: dict[str, tuple[list[str], Mapping[str, list[str]]]] = {
        "valid": (chosen.valid, whole),
        "full": (chosen.test, whole),
        "short": (chosen.test, begun),
    }
    if FeaturesConfig(**stores.frames.meta["config"]).channel:
        sets["channel"] = (chosen.test, {})  # nobody decoded the telephone copies: no answer
    if chosen.out_of_set:
        sets["open"] = ([*chosen.test, *chosen.out_of_set], whole)
    documents = [whole[name] for name in train]
    documents += [of.get(name, []) for names, of in sets.values() for name in names]
    counts = damped_counts(documents)  # one vocabulary
    languages, number = np.unique([about[name].language for name in train], return_inverse=True)
    _, log_p = fit_naive_bayes(counts[: len(train)], number)
    loglik = np.asarray(counts @ log_p.T)
    loglik[[not document for document in documents]] = -np.inf
    row = len(train)
    tests = {}
    for condition, (names, _) in sets.items():
        scores = Scores(names, languages.tolist(), loglik[row : row + len(names)])
        row += len(names)
        (out / BACKEND).mkdir(parents=True, exist_ok=True)
        write_scores(out / BACKEND / f"{condition}.scores", scores, form="matrix")
        if condition == "channel":
            continue
        key = {name: OUT_OF_SET if about[name].custom["out_of_set"] else about[name].language for name in names}
        write_trials(out / f"{condition}.trials", key, scores.languages)
        tests[condition] = {
            "languages": scores.languages,
            "no_speech": [name for name, of in zip(names, scores.loglik, strict=True) if np.isneginf(of).all()],
            "key": key,
            "recordings": {name: about[name].custom["recording"] for name in names},
        }
    write_json(out / "tests.json", tests)
    return done(out, work, conditions=sorted(tests))


def _end_of(name: str, stores: FrameStores, num_voiced: int) -> float:
    """Seconds at which a clip's voiced frame number `num_voiced` ends."""
    voiced = np.flatnonzero(stores.voiced[name])[:num_voiced]
    return float(voiced[-1] + 1) * FRAME_SECONDS if len(voiced) else 0.0


def _first(segments: list[Segment], end_seconds: float) -> list[str]:
    return [phone for phone, begin, _ in segments if begin < end_seconds]
