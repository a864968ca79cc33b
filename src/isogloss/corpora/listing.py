"""Audio without labels: what `isogloss features` may be given, as a list of utterances."""

from __future__ import annotations

from pathlib import Path

from isogloss.corpora import kaldi_dir, manifest
from isogloss.corpora.folders import AUDIO_SUFFIXES
from isogloss.corpora.item import utterance_id
from isogloss.corpora.kaldi_dir import LeftOut, Utterance
from isogloss.types import IsoglossError

TABLES = {".tsv", ".csv", ".jsonl"}


def listing(source: Path | list[Path]) -> tuple[list[Utterance], list[LeftOut]]:
    """The utterances of audio files, a folder of them (and all folders below), a Kaldi data directory or wav.scp, or a
    manifest; and what is left out: a second utterance of one name. IsoglossError where there is nothing."""
    left_out: list[LeftOut] = []
    if isinstance(source, list):
        found = [_file(path, path.parent) for path in source]
    elif source.suffix == ".scp" or (source / "wav.scp").exists():
        found, left_out = kaldi_dir.utterances(source)
    elif source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
        found = [_file(path, source) for path in paths]
    elif source.suffix.lower() in TABLES:
        items = manifest.items(source)
        found = [
            Utterance(item.id, item.recording, item.source, item.start_seconds, item.end_seconds) for item in items
        ]
    else:
        found = [_file(source, source.parent)]
    by_name: dict[str, Utterance] = {}
    for utterance in found:
        first = by_name.setdefault(utterance.id, utterance)
        if first is not utterance:
            left_out.append((utterance.id, f"duplicate id: of {utterance.source} and of {first.source}"))
    if not by_name:
        raise IsoglossError(
            f"nothing to read in {source}; expected audio files, a Kaldi data directory, a wav.scp or a table of clips"
        )
    return list(by_name.values()), left_out


def _file(path: Path, root: Path) -> Utterance:
    name = utterance_id(path, root)
    return Utterance(name, name, str(path))
