"""What a corpus says of one clip, before anybody has looked at the audio."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """One clip of a corpus: a file, or a part of one."""

    id: str
    path: Path
    language: str
    recording: str  # clips of one recording (video, call, session) never stand on both sides of a split
    speaker: str | None = None
    start_seconds: float = 0.0
    end_seconds: float | None = None  # None: to the end of the file
    split: str | None = None  # train | dev | enrol | test, where the corpus prescribes it
    fold: int | None = None  # where the corpus prescribes it
    condition: str | None = None  # of a test clip recorded for it (short, channel, noisy …); None: an ordinary clip
    out_of_set: bool = False  # a language that is never enrolled
    phones: list[tuple[str, float, float]] = field(default_factory=list)  # symbol, start, end in seconds of the clip
    command: str | None = None  # `command |` that writes the audio; then `path` is the list that names it

    @property
    def source(self) -> str:
        """The path, or `command |`."""
        return self.command or str(self.path)


def utterance_id(path: Path, root: Path, start: float = 0.0, end: float | None = None) -> str:
    """The path below `root` without its ending, and the span if there is one; no blanks, no `#` (it marks versions)."""
    relative = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    name = str(relative.with_suffix("").as_posix())
    if start or end is not None:
        name += f"-{start:.3f}-{'end' if end is None else f'{end:.3f}'}"
    return "_".join(name.split()).replace("#", "_")
