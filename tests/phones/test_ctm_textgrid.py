import pytest

from isogloss.phones.ctm import read_ctm
from isogloss.phones.textgrid import read_textgrid
from isogloss.types import IsoglossError

CTM = """;; utterance channel start duration symbol confidence
u1 1 0.00 0.10 sil
u1 1 0.30 0.20 a1 0.9
u1 1 0.10 0.20 m 0.7

u2 A 0.0 0.5 b
"""
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "say ""1 2"" ! <x>"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 1.5
        points: size = 1
        points [1]:
            number = 0.7
            mark = "!"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 2.5e-1
            text = "ʈʂ"
        intervals [2]:
            xmin = 0.25
            xmax = 0.5
            text = ""
        intervals [3]:
            xmin = 0.5
            xmax = 1
            text = "a˥"
        intervals [4]:
            xmin = 1
            xmax = 1.5
            text = "sp"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
1.5
<exists>
3
"IntervalTier"
"words"
0
1.5
1
0
1.5
"say ""1 2"" ! <x>"
"TextTier"
"clicks"
0
1.5
1
0.7
"!"
"IntervalTier"
"phones"
0
1.5
4
0
0.25
"ʈʂ"
0.25
0.5
""
0.5
1
"a˥"
1
1.5
"sp"
"""
PHONES = [("ʈʂ", 0.0, 0.25), ("a˥", 0.5, 1.0)]


def test_a_ctm_gives_segments_in_time_order(tmp_path):
    (tmp_path / "x.ctm").write_text(CTM)
    found = read_ctm(tmp_path / "x.ctm")
    assert list(found) == ["u1", "u2"]
    assert [symbol for symbol, _, _ in found["u1"]] == ["m", "a1"]
    assert found["u1"][1][1:] == pytest.approx((0.3, 0.5))
    assert [symbol for symbol, _, _ in read_ctm(tmp_path / "x.ctm", silences=())["u1"]] == ["sil", "m", "a1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no segment"),
        (";; nothing\n", "has no segment"),
        ("u1 1 0.0 0.5\n", "line 1: .*; expected: utterance channel start duration symbol"),
        ("u1 1 0.0 half a\n", "line 1"),
        ("u1 1 0.0 0.1 a\nu1 1 0.1 -0.1 b\n", "line 2"),
        ("u1 1 nan 0.1 a\n", "line 1"),
        ("u1 1 0.0 0.1 a\nu1 2 0.1 0.1 b\n", "utterance u1 has channels 1 and 2"),
    ],
)
def test_what_is_no_ctm(tmp_path, content, message):
    (tmp_path / "x.ctm").write_text(content)
    with pytest.raises(IsoglossError, match=rf"x\.ctm.*{message}"):
        read_ctm(tmp_path / "x.ctm")
    with pytest.raises(IsoglossError, match="is not a file"):
        read_ctm(tmp_path / "y.ctm")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_textgrid_in_every_form(tmp_path, text, encoding, newline):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "x.TextGrid").write_bytes((mark + text.replace("\n", newline)).encode(encoding))
    assert read_textgrid(tmp_path / "x.TextGrid") == PHONES
    assert read_textgrid(tmp_path / "x.TextGrid", "words") == [('say "1 2" ! <x>', 0.0, 1.5)]
    assert [symbol for symbol, _, _ in read_textgrid(tmp_path / "x.TextGrid", silences=())] == ["ʈʂ", "", "a˥", "sp"]


def test_a_speakers_tier_is_found_if_it_is_the_only_one(tmp_path):
    path = tmp_path / "x.TextGrid"
    path.write_text(SHORT.replace('"phones"', '"anna - phones"'), encoding="utf-8")
    assert read_textgrid(path) == PHONES
    path.write_text(SHORT.replace('"phones"', '"anna - phones"').replace('"words"', '"bo - phones"'), encoding="utf-8")
    with pytest.raises(IsoglossError, match="tiers 'bo - phones', 'anna - phones'; expected one called 'phones'"):
        read_textgrid(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a TextGrid"),
        ("u1 1 0.0 0.5 a", "is not a TextGrid"),
        (LONG.replace("TextGrid", "PitchTier"), "is not a TextGrid"),
        (LONG.replace('"phones"', '"segments"'), "interval tiers 'words', 'segments'; expected one called 'phones'"),
        (LONG[:-30], "it ends too early in tier 2"),
        (SHORT.replace('"ʈʂ"', "ʈʂ"), "instead of a text in quotes in tier 2"),
        (SHORT.replace("0.25\n0.5\n", "0.25\n0.1\n"), "an interval from 0.25 to 0.1 s"),
    ],
)
def test_what_is_no_textgrid(tmp_path, content, message):
    (tmp_path / "x.TextGrid").write_text(content, encoding="utf-8")
    with pytest.raises(IsoglossError, match=rf"x\.TextGrid.*{message}"):
        read_textgrid(tmp_path / "x.TextGrid")


def test_a_textgrid_in_another_encoding(tmp_path):
    (tmp_path / "x.TextGrid").write_bytes(SHORT.replace("ʈʂ", "é").replace("˥", "").encode("latin-1"))
    with pytest.raises(IsoglossError, match="neither UTF-8 nor UTF-16"):
        read_textgrid(tmp_path / "x.TextGrid")
