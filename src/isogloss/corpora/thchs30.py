"""THCHS-30: 30 hours of read Mandarin, 40 speakers, 16 kHz. Licence Apache-2.0 (openslr.org/18).

    ROOT/data_thchs30/{train,dev,test}/A11_0.wav, A11_0.wav.trn     speaker A11
    ROOT/data_thchs30/data/A11_0.wav.trn                            words / Pinyin syllables / phones, a line each

In train, dev and test a .wav.trn is a single line, the path of the one in data, as seen from its folder.

Source: Wang and Zhang, "THCHS-30: A free Chinese speech corpus", 2015.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from isogloss.corpora.kaldi_dir import LeftOut
from isogloss.corpora.transcribed import TranscribedItem, Use, usable
from isogloss.types import IsoglossError

PARTS: dict[str, Use] = {"train": "train", "dev": "test", "test": "test"}
UNITS = ("words", "syllables", "phones")  # the lines of a .wav.trn


def items(
    root: Path, part: Literal["train", "dev", "test"], units: Literal["words", "syllables", "phones"] = "syllables"
) -> list[TranscribedItem]:
    """The utterances of a part, in the order of their names; train is for training, dev and test for testing.

    `root`: data_thchs30 or the folder it lies in. `units`: what the words of an utterance are. Syllables go with
    `phones.pinyin.pinyin_lexicon`, phones with `symbol_lexicon`, words with the corpus's own lexicon.txt.
    Utterances without a transcript are left out with a warning. Raises IsoglossError.
    """
    if part not in PARTS or units not in UNITS:
        raise IsoglossError(
            f"part {part!r}, units {units!r}; expected one of {', '.join(PARTS)} and of {', '.join(UNITS)}"
        )
    root = Path(root)
    folder = (root / "data_thchs30" if (root / "data_thchs30").is_dir() else root) / part
    if not folder.is_dir():
        raise IsoglossError(f"{folder} is not a folder; expected ROOT/data_thchs30/{part} with .wav and .wav.trn files")
    left_out: list[LeftOut] = []
    found = []
    for audio in sorted(folder.glob("*.wav")):
        try:
            words = _transcript(audio.with_name(audio.name + ".trn"))[UNITS.index(units)]
        except IsoglossError as error:
            left_out.append((audio.stem, f"no transcript: {error}"))
            continue
        found.append(
            TranscribedItem(audio.stem, audio, audio.stem.partition("_")[0], tuple(words.split()), use=PARTS[part])
        )
    return usable(found, folder, left_out)


def _transcript(path: Path) -> list[str]:
    """The three lines of a .wav.trn, or of the one it names."""
    lines = _lines(path)
    if len(lines) == 1 and lines[0].endswith(".trn"):
        path = path.parent / lines[0]
        lines = _lines(path)
    if len(lines) != len(UNITS):
        raise IsoglossError(f"{path} has {len(lines)} lines; expected 3: words, syllables, phones")
    return lines


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        raise IsoglossError(f"{path} is not there") from None
    except UnicodeDecodeError as error:
        raise IsoglossError(f"{path} is not UTF-8 text (byte {error.start})") from None
