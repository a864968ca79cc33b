from collections import Counter
from types import SimpleNamespace

import pytest

from isogloss.config import PrepareConfig
from isogloss.corpora.splits import groups, left_out_part, splits
from isogloss.types import IsoglossError


def cut(name, language, recording, speaker=None, split=None, fold=None, out_of_set=False):
    custom = {"recording": recording, "split": split, "fold": fold, "out_of_set": out_of_set}
    return SimpleNamespace(id=name, supervisions=[SimpleNamespace(language=language, speaker=speaker, custom=custom)])


def corpus():
    """Two languages, thirty recordings each of one to three clips, and an unknown language."""
    cuts = [
        cut(f"{language}{number}.{part}", language, f"{language}{number}")
        for language in ("deu", "fra")
        for number in range(30)
        for part in range(1 + number % 3)
    ]
    return [*cuts, cut("rus0", "rus", "rus0", out_of_set=True)]


def test_folds_are_disjoint_by_recording_and_balanced_by_language():
    made = splits(corpus(), PrepareConfig())
    assert list(made) == [f"fold{fold}" for fold in range(5)]
    tested = [name for split in made.values() for name in split.test]
    assert len(tested) == len(set(tested)) == 120
    for split in made.values():
        recordings = [{name.partition(".")[0] for name in part} for part in (split.train, split.valid, split.test)]
        assert (
            not recordings[0] & recordings[1]
            and not recordings[0] & recordings[2]
            and not recordings[1] & recordings[2]
        )
        assert len(split.train) + len(split.valid) + len(split.test) == 120
        assert all(11 <= count <= 13 for count in Counter(name[:3] for name in split.test).values())
        assert all(4 <= count <= 8 for count in Counter(name[:3] for name in split.valid).values())
        assert split.enrol == split.train and split.out_of_set == ["rus0"]


def test_the_draw_depends_on_the_seed_alone():
    assert splits(corpus(), PrepareConfig()) == splits(corpus(), PrepareConfig())
    assert splits(corpus(), PrepareConfig()) != splits(corpus(), PrepareConfig(seed=1))


def test_a_speaker_in_two_recordings_makes_them_one_group():
    cuts = [
        cut("a", "deu", "r1", "s1"),
        cut("b", "deu", "r2", "s1"),
        cut("c", "deu", "r2", "s2"),
        cut("d", "deu", "r3", "s3"),
    ]
    group = groups(cuts)
    assert group["a"] == group["b"] == group["c"] != group["d"]


def test_prescribed_folds_and_splits_are_kept():
    folded = [
        cut(f"{language}{n}", language, f"{language}{n}", fold=n % 3) for language in ("deu", "fra") for n in range(12)
    ]
    assert {name: set(split.test) for name, split in splits(folded, PrepareConfig()).items()} == {
        f"fold{fold}": {f"{language}{n}" for language in ("deu", "fra") for n in range(fold, 12, 3)}
        for fold in range(3)
    }
    given = [
        cut(f"{split}{lang}", lang, f"{split}{lang}", split=split)
        for lang in ("deu", "fra")
        for split in ("train", "dev", "test")
    ]
    made = splits(given, PrepareConfig())["given"]
    assert made.valid == ["devdeu", "devfra"] and made.enrol == made.train == ["traindeu", "trainfra"]
    own = [cut(f"enrol{lang}", lang, f"enrol{lang}", split="enrol") for lang in ("deu", "fra")]
    assert splits([*given, *own], PrepareConfig())["given"].enrol == ["enroldeu", "enrolfra"]


def test_a_recording_on_both_sides_is_an_error():
    both = [cut("a", "deu", "r1", split="train"), cut("b", "deu", "r1", split="test")]
    with pytest.raises(IsoglossError, match="shares a recording or speaker"):
        splits(both, PrepareConfig())
    with pytest.raises(IsoglossError, match="1 clips without a fold, the first b"):
        splits([cut("a", "deu", "r1", fold=0), cut("b", "deu", "r2")], PrepareConfig())
    with pytest.raises(IsoglossError, match="expected at least train and test"):
        splits([cut("a", "deu", "r1", split="train")], PrepareConfig())


def test_the_last_recording_of_a_language_stays_in_training():
    few = [cut(f"{language}{n}", language, f"{language}{n}", fold=n) for language in ("deu", "fra") for n in range(2)]
    for split in splits(few, PrepareConfig()).values():
        assert len(split.train) == 2 and not split.valid


def test_parts_for_fold_models_are_disjoint_by_recording_and_together_all_that_trains():
    lone = cut("ita0", "ita", "ita0", fold=0)  # the only recording of its language in training: left out of no training
    cuts = [*(cut(c.id, c.supervisions[0].language, c.supervisions[0].custom["recording"],
                  fold=int(c.id.partition(".")[0][3:]) % 5) for c in corpus()[:-1]), lone]  # fmt: skip
    split = splits(cuts, PrepareConfig())["fold1"]
    assert "ita0" in split.train
    parts = [left_out_part(split, cuts, number, 3) for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part.enrol) == sorted(set(split.train) - {"ita0"})
    for part in parts:
        assert sorted(part.train + part.enrol) == sorted(split.train)
        assert part.valid == split.valid and not part.test and not part.out_of_set
        recordings = [{name.partition(".")[0] for name in use} for use in (part.train, part.enrol)]
        assert not recordings[0] & recordings[1]
        counts = Counter(name[:3] for name in part.enrol)
        assert all(
            abs(counts[lang] - len([n for n in split.train if n[:3] == lang]) / 3) <= 2 for lang in ("deu", "fra")
        )
    with pytest.raises(IsoglossError, match="part 200 of 200 is empty: 4. recordings"):
        left_out_part(split, cuts, 200, 200)
