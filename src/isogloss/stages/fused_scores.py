"""Scores of several systems on one split → scores/ of their fusion, in the layout that `score` writes.

Weights and offsets are fitted on the validation clips, which none of the systems was trained on; the validation scores that are
written are out of fold.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from isogloss.stages.calibrate import OUT_OF_FOLD
from isogloss.stages.fuse import fuse
from isogloss.stages.ledger import done, is_done, stamp, write_json
from isogloss.types import IsoglossError

BACKEND = "fusion"


def fused_scores(systems: list[tuple[Path, str]], out: Path, label: str) -> Path:
    """systems: (scores folder, back end) of each, all of one split. Returns `out` with fusion/, trials and tests.json.

    label: what tables call it.

    Conditions are those of the first system. Raises IsoglossError where one has no validation scores or lacks a condition.
    """
    folders = [folder for folder, _ in systems]
    work = stamp("fused_scores", {"backends": [name for _, name in systems], "label": label}, *folders)
    if is_done(out, work):
        return out
    first = folders[0]
    tests = json.loads((first / "tests.json").read_text(encoding="utf-8"))
    for unused in ("enrol", "valid_short"):  # the one known by heart, the other for calibration alone
        tests.pop(unused, None)
    files = {condition: [folder / name / f"{condition}.scores" for folder, name in systems] for condition in tests}
    if missing := [path for of in files.values() for path in of if not path.exists()]:
        raise IsoglossError(f"{missing[0]} is not there; fusion needs every condition of {first} from every system")
    out.mkdir(parents=True, exist_ok=True)
    recordings = out / "valid.utt2recording"
    lines = (f"{utterance} {recording}\n" for utterance, recording in tests["valid"]["recordings"].items())
    recordings.write_text("".join(lines), encoding="utf-8")
    fuse(
        first / "valid.trials",
        files["valid"],
        out / BACKEND,
        apply=[of for condition, of in files.items() if condition != "valid"],
        recordings=recordings,
    )
    (out / BACKEND / OUT_OF_FOLD).replace(out / BACKEND / "valid.scores")
    for condition in tests:
        shutil.copyfile(first / f"{condition}.trials", out / f"{condition}.trials")
    write_json(out / "tests.json", tests)
    return done(out, work, conditions=sorted(tests), label=label, backend=BACKEND)
