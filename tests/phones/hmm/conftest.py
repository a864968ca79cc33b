import pytest
from toy_speech import toy_speech, trained


@pytest.fixture(scope="session")
def toy():
    return toy_speech()


@pytest.fixture(scope="session")
def stages(toy):
    """Every stage of the recogniser, trained on `toy`, by name."""
    return trained(toy.speech)
