"""Transcribed speech, for training and scoring a phone recogniser. The licence is that of your recordings.

Tables of clips, Kaldi data directories, and the Mandarin words of audio-cmn; THCHS-30 stands in its own file. Every reader yields
the utterances that can be used and warns, in one line, of those that cannot: no audio file, no words, an id that comes twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from isogloss.corpora import kaldi_dir as kaldi
from isogloss.corpora import manifest
from isogloss.corpora.kaldi_dir import LeftOut
from isogloss.corpora.pipe import is_pipe
from isogloss.types import IsoglossError

Use = Literal["train", "test"]

COLUMNS = ("path", "text", "speaker", "id", "split", "use", "start", "end")
USES: dict[str, Use] = {"train": "train", "test": "test", "dev": "test", "heldout": "test"}
HELD_OUT_EVERY = 10  # of the rows of each speaker of audio-cmn
ER = ("儿", "兒")  # the character of the erhua
ERHUA = "r5"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TranscribedItem:
    """One utterance and its words, in the units of the transcripts: words, syllables or phones."""

    id: str
    path: Path
    speaker: str
    words: tuple[str, ...]
    start_seconds: float = 0.0
    end_seconds: float | None = None  # None: to the end of the file
    use: Use = "train"
    command: str | None = None  # `command |` that writes the audio; then `path` is the list that names it

    @property
    def source(self) -> str:
        """The path, or `command |`."""
        return self.command or str(self.path)


def table(path: Path, columns: dict[str, str] | None = None) -> list[TranscribedItem]:
    """A TSV, CSV or JSONL table with the columns `path` (relative to its folder, or absolute) and `text` (words and blanks).

    Optional: `speaker` (without it every utterance is its own, with a warning), `id`, `start` and `end` (seconds), and `split` or
    `use`: train, or test, dev or heldout, which are not trained on; without either every clip is for training. `columns` maps our
    names to the file's, such as `{"text": "sentence"}`. Raises IsoglossError.
    """
    path = Path(path)
    return _rows(path, columns or {}, lambda row, text: text, _prescribed)


def audio_cmn(root: Path) -> list[TranscribedItem]:
    """ROOT/clips.tsv with columns path, speaker, text (Chinese), pinyin: hugolpz/audio-cmn, Mandarin words, CC-BY-SA.

    The words are the Pinyin syllables, the r at the end of a word being the syllable r5. Within each speaker, every tenth row in
    the file's order (10, 20, …) is for testing. Raises IsoglossError.
    """
    rows_of: Counter[str] = Counter()

    def every_tenth(row: dict[str, Any], speaker: str, where: str) -> Use:
        rows_of[speaker] += 1
        return "train" if rows_of[speaker] % HELD_OUT_EVERY else "test"

    def syllables(row: dict[str, Any], pinyin: tuple[str, ...]) -> tuple[str, ...]:
        if "text" not in row:
            raise IsoglossError(
                f"{root} has a clips.tsv without the column 'text'; expected the Chinese words: it is they that tell erhua"
            )
        return erhua(pinyin, str(row["text"]))

    return _rows(Path(root) / "clips.tsv", {"text": "pinyin"}, syllables, every_tenth)


def kaldi_dir(folder: Path, use: Use = "train") -> list[TranscribedItem]:
    """A Kaldi data directory: wav.scp, text (`UTTERANCE WORD WORD …`), and where there are any segments and utt2spk.

    One directory is one `use`. Raises IsoglossError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise IsoglossError(f"{folder} is not a folder; expected a Kaldi data directory with wav.scp and text")
    found, left_out = kaldi.utterances(folder)
    texts, repeated = kaldi._table(folder / "text")
    if repeated:
        raise IsoglossError(f"{folder / 'text'}: utterance {repeated[0]!r} twice; which transcript is meant?")
    speakers = kaldi._table(folder / "utt2spk")[0] if (folder / "utt2spk").exists() else {}
    items = []
    for utterance in found:
        if utterance.id not in texts:
            left_out.append((utterance.id, "no words: not in text"))
            continue
        command = utterance.source if is_pipe(utterance.source) else None
        items.append(
            TranscribedItem(
                id=utterance.id.replace("#", "_"),
                path=folder / "wav.scp" if command else Path(utterance.source),
                speaker=speakers.get(utterance.id, ""),
                words=tuple(texts[utterance.id].split()),
                start_seconds=utterance.start_seconds,
                end_seconds=utterance.end_seconds,
                use=use,
                command=command,
            )
        )
    return usable(items, folder, left_out)


def usable(items: Iterable[TranscribedItem], source: Path, left_out: Iterable[LeftOut] = ()) -> list[TranscribedItem]:
    """Those with an audio file, a word and an id of their own; an item whose speaker is empty gets its id as speaker.

    The others, and those `left_out` before, are counted in one warning. IsoglossError naming the first if none is left.
    """
    kept: dict[str, TranscribedItem] = {}
    left_out = list(left_out)
    without_speaker = []
    for item in items:
        if not item.words:
            left_out.append((item.id, "no words: the transcript is empty"))
        elif item.id in kept:
            left_out.append((item.id, f"duplicate id: of {item.source} and of {kept[item.id].source}"))
        elif not item.command and not item.path.is_file():
            left_out.append((item.id, f"no audio: {item.path} is not there"))
        else:
            without_speaker += [] if item.speaker else [item.id]
            kept[item.id] = item if item.speaker else replace(item, speaker=item.id)
    first = f"the first: {left_out[0][0]} ({left_out[0][1]})" if left_out else "it names none"
    if not kept:
        raise IsoglossError(f"{source}: no utterance has both audio and words; {first}")
    if left_out:
        counts = Counter(reason.partition(":")[0] for _, reason in left_out)
        text = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        logger.warning("%s: left out: %s; %s", source, text, first)
    if without_speaker:
        logger.warning(
            "%s: %d utterances name no speaker (the first: %s); each counts as a speaker of its own, "
            "so what is normalised or adapted per speaker sees a single utterance",
            source,
            len(without_speaker),
            without_speaker[0],
        )
    return list(kept.values())


def erhua(syllables: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The syllables of a Chinese word, whose last is r5 if the text ends in the character er and is no syllable of its own."""
    return (*syllables[:-1], ERHUA) if len(syllables) > 1 and text.strip().endswith(ER) else syllables


def _rows(
    path: Path,
    columns: dict[str, str],
    words_of: Callable[[dict[str, Any], tuple[str, ...]], tuple[str, ...]],
    use_of: Callable[[dict[str, Any], str, str], Use],
) -> list[TranscribedItem]:
    """The usable utterances of a table: `words_of(row, words)` what is said, `use_of(row, speaker, where)` what it is for."""
    names = {column: column for column in COLUMNS} | columns
    items = []
    for line, row in manifest.rows(path):
        where = f"{path}, line {line}"
        # an empty text is one utterance left out, a table without the column an error
        required = ("path",) if names["text"] in row else ("path", "text")
        name, audio, start, end = manifest.clip(row, required, names, path, where)
        text = str(row[names["text"]] or "")
        if path.suffix != ".jsonl" and "\n" in text:
            raise IsoglossError(
                f'{where}: a text of several lines, {text[:30]!r} …; is a quotation mark " unpaired? Double it, or use JSONL'
            )
        speaker = str(row.get(names["speaker"]) or "").strip()
        renamed = {column: row.get(of_file) for column, of_file in names.items()}
        items.append(
            TranscribedItem(
                id=name,
                path=audio,
                speaker=speaker,
                words=words_of(row, tuple(text.split())),
                start_seconds=start,
                end_seconds=end,
                use=use_of(renamed, speaker, where),
            )
        )
    return usable(items, path)


def _prescribed(row: dict[str, Any], speaker: str, where: str) -> Use:
    """What the table says a clip is for."""
    said = row["split"] or row["use"] or "train"
    if said not in USES:
        raise IsoglossError(f"{where}: {said!r}; expected the split or use to be one of {', '.join(USES)}")
    return USES[said]
