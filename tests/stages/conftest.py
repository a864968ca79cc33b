"""Made-up words and a phone recogniser of them, trained once for all that use it."""

import pytest
from phone_words import TINY, files_in_place, write_words

from isogloss.config import PhoneModelConfig, override
from isogloss.corpora.transcribed import table
from isogloss.phones.lexicon import read_lexicon
from isogloss.stages import clips
from isogloss.stages.phone_model import train_phones


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="session")
def tiny_phones():
    return override(PhoneModelConfig(), TINY)


@pytest.fixture(scope="session")
def phone_model(words, tiny_phones, tmp_path_factory):
    """Folder of all stages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "in_workers", files_in_place)
        out = tmp_path_factory.mktemp("phone_model") / "model"
        return train_phones(table(words.table), read_lexicon(words.lexicon), out, tiny_phones)


@pytest.fixture
def in_place(monkeypatch):
    """Audio is read here and now."""
    monkeypatch.setattr(clips, "in_workers", files_in_place)
