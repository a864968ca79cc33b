"""A folder of audio per language: ROOT/<language>/**/<clip>. The licence is that of your recordings."""

from __future__ import annotations

from pathlib import Path

from isogloss.corpora.item import Item, utterance_id
from isogloss.types import IsoglossError

AUDIO_SUFFIXES = {
    ".wav",
    ".flac",
    ".ogg",
    ".opus",
    ".mp3",
    ".m4a",
    ".aac",
    ".webm",
    ".wma",
    ".aif",
    ".aiff",
    ".au",
    ".sph",
}


def items(root: Path) -> list[Item]:
    """Every audio file below each folder of `root`; the folder's name is the language, each file its own recording.

    Clips of one speaker or recording must not be split between training and test: if several files come from one
    recording, use a manifest, which can say so.
    """
    root = Path(root)
    if not root.is_dir():
        raise IsoglossError(f"{root} is not a folder; expected one folder of audio files per language in it")
    found = [
        Item(utterance_id(path, root), path, folder.name, recording=utterance_id(path, root))
        for folder in sorted(root.iterdir())
        if folder.is_dir()
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES
    ]
    if not found:
        loose = sum(path.suffix.lower() in AUDIO_SUFFIXES for path in root.iterdir())
        cause = (
            f"{loose} audio files lie directly in it: sort them into one folder per language"
            if loose
            else "it holds no audio"
        )
        raise IsoglossError(f"no audio file in any folder of {root}; expected {root}/<language>/<clip>.wav; {cause}")
    return found
