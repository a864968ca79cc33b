from isogloss.phones.durations import implausible


def utterance(*durations):
    segments, start = [], 0
    for phone, frames in durations:
        segments.append((phone, start, start + frames))
        start += frames
    return segments


def test_a_stretched_phone_gives_its_utterance_away():
    usual = {f"utt{n}": utterance(("sil", 30), ("b", 10 + n % 3), ("a", 25), ("sil", 200)) for n in range(20)}
    assert implausible(usual, {"sil"}) == {}
    bad = {"cut": utterance(("b", 328), ("a", 99)), "long vowel": utterance(("b", 10), ("a", 90))}
    assert implausible(usual | bad, {"sil"}) == {"cut": ("b", 328)}
    assert set(implausible(usual | bad, {"sil"}, factor=3.5)) == {"cut", "long vowel"}


def test_a_rare_phone_is_compared_with_all():
    usual = {f"utt{n}": utterance(("b", 10), ("a", 20)) for n in range(20)}
    assert implausible(usual | {"rare": utterance(("zh", 50))}, set()) == {}
    assert implausible(usual | {"rare": utterance(("zh", 90))}, set()) == {"rare": ("zh", 90)}
    assert implausible({}, set()) == {} == implausible({"silent": utterance(("sil", 5))}, {"sil"})
