"""Model + frames → embeddings/: enrolment, validation, and one file per test condition."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from isogloss.config import EvaluateConfig, FeaturesConfig
from isogloss.frontend.store import Store
from isogloss.stages.features import changed_copies, open_frames, telephone_key, utterance_of
from isogloss.stages.ledger import done, is_done, replacing, stamp
from isogloss.stages.prepare import read_cuts, read_split
from isogloss.training import trained
from isogloss.types import OUT_OF_SET, IsoglossError

COPIES = "enrol.copies"  # the file of the enrolment utterances' training copies, which are no test condition


@dataclass(frozen=True)
class Embeddings:
    """One file of embeddings. An utterance without voiced frames has a row of NaN: there is nothing to embed."""

    utterances: list[str]
    languages: list[str]  # true ones; OUT_OF_SET for an unknown language
    recordings: list[str]
    voiced_frames: np.ndarray  # [U]
    far: np.ndarray  # [U, E] the paper's embedding
    near: np.ndarray  # [U, E] what enters the language head

    def save(self, path: Path) -> None:
        with replacing(path) as part:
            arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(self).items()}
            np.savez(part, **arrays)

    @classmethod
    def load(cls, path: Path) -> Embeddings:
        if not path.exists():
            raise IsoglossError(f"{path} is not there; run `isogloss extract` first")
        with np.load(path, allow_pickle=False) as arrays:
            names = {key: arrays[key].tolist() for key in ("utterances", "languages", "recordings")}
            return cls(**names, **{key: arrays[key] for key in ("voiced_frames", "far", "near")})

    @property
    def spoken(self) -> np.ndarray:
        """[U] bool: has an embedding."""
        return self.voiced_frames > 0


def extract(prepared: Path, frames: Path, model: Path, out: Path, config: EvaluateConfig, split: str) -> Path:
    """Embed the utterances of `split`: out/{enrol,enrol.copies,valid,valid_short,full,short,channel,out_of_set}.npz; returns `out`.

    Test clips that the corpus gives a condition make (or replace) the file of that name; the rest are `full`, cut to
    their first `short_frames` voiced frames `short`, and through a telephone `channel`.
    """
    work = stamp(
        "extract",
        {key: getattr(config, key) for key in ("short_frames", "conditions", "enrol_copies")},
        prepared,
        frames,
        model,
        split=split,
    )
    if is_done(out, work):
        return out
    network = trained.load(model)
    store = open_frames(frames).frames
    chosen = read_split(prepared, split)
    about = {cut.id: cut.supervisions[0] for cut in read_cuts(prepared)}
    recorded: dict[str, list[str]] = defaultdict(list)  # condition → the test clips recorded for it
    for name in chosen.test:
        recorded[about[name].custom.get("condition") or "full"].append(name)
    ordinary = recorded["full"]
    made_with = FeaturesConfig(**store.meta["config"])
    wanted: dict[str, tuple[list[str], int | None]] = {  # file → (store keys, frames kept)
        "enrol": (chosen.enrol, None),
        "valid": (chosen.valid, None),
        "valid_short": (chosen.valid, config.short_frames),
    }
    if config.enrol_copies and chosen.enrols_on_training:
        wanted[COPIES] = ([key for name in chosen.enrol for key in changed_copies(name, made_with)], None)
    if "short" in config.conditions:
        wanted["short"] = (ordinary, config.short_frames)
    if "channel" in config.conditions and made_with.channel:
        wanted["channel"] = ([telephone_key(name) for name in ordinary], None)
    if "open" in config.conditions and chosen.out_of_set:
        wanted["out_of_set"] = (chosen.out_of_set, None)
    wanted |= {name: (clips, None) for name, clips in recorded.items()}  # real recordings before made ones
    wanted = {name: of for name, of in wanted.items() if of[0]}
    for name, (keys, keep) in wanted.items():
        utterances = [utterance_of(key) for key in keys]
        languages = [OUT_OF_SET if about[u].custom["out_of_set"] else about[u].language for u in utterances]
        recordings = [about[u].custom["recording"] for u in utterances]
        _embed(network, store, keys, keep, utterances, languages, recordings, f"embed {name}").save(out / f"{name}.npz")
    for path in out.glob("*.npz"):  # of an earlier run with other options
        if path.stem not in wanted:
            path.unlink()
    return done(out, work, files=sorted(wanted))


def _embed(
    network: trained.Trained,
    store: Store,
    keys: list[str],
    keep: int | None,
    utterances: list[str],
    languages: list[str],
    recordings: list[str],
    label: str,
) -> Embeddings:
    dim = network.network.embedding_dim
    far, near = np.full((2, len(keys), dim), np.nan, dtype=np.float32)
    voiced = np.zeros(len(keys), dtype=np.int64)
    for row, key in enumerate(track(keys, label, transient=True)):
        frames = store[key][:keep]
        voiced[row] = len(frames)
        if len(frames):
            far[row], near[row] = trained.embed(network, frames)
    return Embeddings(utterances, languages, recordings, voiced, far, near)
