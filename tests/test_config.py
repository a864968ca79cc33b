import pytest

from isogloss.config import FeaturesConfig, FrontEndConfig, RecipeConfig, TrainConfig, override, parse
from isogloss.systems import SINGLE_TASK, TABLE_1, parse_systems, without_phones
from isogloss.types import IsoglossError


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(IsoglossError, match="unknown key 'widht'.*'width'"):
        parse(TrainConfig, {"widht": 3})
    with pytest.raises(IsoglossError, match="unknown key 'learning_rat' in TrainConfig.*'learning_rate'"):
        override(RecipeConfig(), ["train.learning_rat=1"])
    with pytest.raises(IsoglossError, match="unknown key 'trian' in RecipeConfig.*'train'"):
        override(RecipeConfig(), ["trian.width=1"])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.width", "KEY=VALUE"),
        ("train.width=0", "train.width"),
        ("train.width=wide", "train.width"),
        ("train.precision=fp16", "precision"),
        ("train.cycles=[]", "cycles.*expected epochs of each cycle"),
        ("train.cycles=[0]", "cycles.*expected epochs of each cycle"),
        ("train.cycles=[-1, 3]", "cycles.*expected epochs of each cycle"),
    ],
)
def test_a_bad_value_says_which(assignment, message):
    with pytest.raises(IsoglossError, match=message):
        override(RecipeConfig(), [assignment])


def test_override_reaches_every_depth_and_leaves_the_rest():
    config = override(RecipeConfig(), ["train.margin.normalise=none", "train.cycles=[1, 2]", "features.volume=null"])
    assert config.train.margin.normalise == "none"
    assert config.train.num_epochs == 3
    assert config.features.volume is None
    assert config.prepare == RecipeConfig().prepare


def test_the_fingerprint_changes_with_every_option():
    assert TrainConfig().fingerprint() == TrainConfig().fingerprint() != TrainConfig(width=128).fingerprint()
    assert FeaturesConfig(front_end=FrontEndConfig(pitch=False)).fingerprint() != FeaturesConfig().fingerprint()


def test_the_frame_has_the_papers_dimensions():
    assert FrontEndConfig().dim == 23
    assert FrontEndConfig(pitch=False).dim == 20


def test_table_1_has_eight_systems_and_both_readings_of_the_controls():
    assert list(TABLE_1) == ["1", "2", "3", "4", "4p", "5", "6", "7", "7p", "8"]
    assert [system.id for system in TABLE_1.values() if not system.multitask] == ["1"]
    # the equal-mean-margin controls: m + β·p = 0.2 + 10·0.002
    for control, phoneme_aware in (("4", "5"), ("7", "8")):
        assert TABLE_1[control].head == TABLE_1[phoneme_aware].head
        assert TABLE_1[control].m == pytest.approx(TABLE_1[phoneme_aware].m + TABLE_1[phoneme_aware].beta * 0.002)
        assert TABLE_1[f"{control}p"].m == 0.02


def test_systems_are_named_as_in_the_table():
    assert [system.id for system in parse_systems("1, 5,4p")] == ["1", "5", "4p"]
    assert len(parse_systems("all")) == 10
    with pytest.raises(IsoglossError, match="unknown system '9'"):
        parse_systems("1,9")


def test_every_system_has_a_counterpart_without_the_phoneme_task():
    for system in TABLE_1.values():
        (other,) = parse_systems(without_phones(system))
        assert not other.multitask and other.beta == 0 and other.head == system.head
        assert other.m == pytest.approx(system.m + system.beta * 0.002)
    assert SINGLE_TASK["4s"].label == "x-vector, AM m=0.22" and SINGLE_TASK["4s"].published_cavg == (None, None, None)
