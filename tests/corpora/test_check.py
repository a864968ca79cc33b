import shutil

import numpy as np
import pytest
import soundfile

from isogloss.config import PrepareConfig
from isogloss.corpora import folders
from isogloss.corpora.check import check
from isogloss.types import IsoglossError


@pytest.fixture
def corpus(tmp_path, tone):
    """Two languages of four clips each."""
    for language in ("deu", "fra"):
        for number in range(4):
            tone(tmp_path / language / f"{language}{number}.wav")
    return tmp_path


def test_everything_unusable_is_left_out_and_counted(corpus, tone):
    (corpus / "deu" / "empty.wav").touch()
    (corpus / "deu" / "text.wav").write_text("I am a text file")
    soundfile.write(corpus / "deu" / "header.wav", np.zeros(0), 16000)
    soundfile.write(corpus / "deu" / "silence.wav", np.zeros(16000), 16000)
    tone(corpus / "deu" / "blip.wav", seconds=0.1)
    shutil.copy(corpus / "fra" / "fra0.wav", corpus / "fra" / "again.wav")
    tone(corpus / "fra" / "stereo.mp3", rate=8000, channels=2)
    checked = check(folders.items(corpus), PrepareConfig())
    reasons = {path.rpartition("/")[2]: reason.partition(":")[0] for path, reason in checked.left_out}
    assert reasons == {
        "empty.wav": "undecodable",
        "text.wav": "undecodable",
        "header.wav": "undecodable",
        "silence.wav": "digital silence",
        "blip.wav": "too short",
        "fra0.wav": "duplicate audio",  # again.wav comes first
    }
    assert len(checked.cuts) == 9
    assert checked.notes == {"stereo, mixed down": 1, "at 8000 Hz, resampled": 1}
    assert checked.summary().startswith("9 clips used; 6 left out: 3 undecodable, ")


def test_a_cut_carries_what_the_corpus_says(corpus):
    cut = next(iter(check(folders.items(corpus), PrepareConfig()).cuts))
    assert (cut.id, cut.duration, cut.supervisions[0].language) == ("deu/deu0", 0.5, "deu")
    assert cut.supervisions[0].custom == {"recording": "deu/deu0", "split": None, "fold": None, "out_of_set": False}


def test_one_language_cannot_be_learnt(corpus):
    shutil.rmtree(corpus / "fra")
    with pytest.raises(IsoglossError, match="only one language, 'deu'"):
        check(folders.items(corpus), PrepareConfig())


def test_a_language_of_two_clips_is_named_with_what_was_lost(corpus):
    (corpus / "fra" / "fra0.wav").unlink()
    (corpus / "fra" / "fra1.wav").write_text("not audio any more")
    with pytest.raises(IsoglossError, match=r"'fra' has 2 recording.*at least 3.*1 clips were left out.*fra1.wav"):
        check(folders.items(corpus), PrepareConfig())


def test_nothing_usable_is_said(tmp_path):
    (tmp_path / "deu").mkdir()
    (tmp_path / "deu" / "text.wav").write_text("text")
    with pytest.raises(IsoglossError, match="no usable clip"):
        check(folders.items(tmp_path), PrepareConfig())
