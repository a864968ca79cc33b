"""Which aligned utterances cannot be right: those in which a phone lasts much longer than that phone does elsewhere.

A transcript that covers only a part of what is said makes the aligner stretch some phone over all the rest. A handful of such
clips turns that phone into a class for any speech: in 38 minutes of Mandarin words, six clips of 1,692 sent 20–30 % of
foreign speech to "b".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np

MIN_EXAMPLES = 10  # of a phone; a rarer one is compared with all phones
MIN_MEDIAN_FRAMES = 8

AlignedPhones = Sequence[tuple[Hashable, int, int]]
"""(phone, first frame, one past the last) of an utterance, as `TransitionModel.phone_segments` gives them."""


def implausible(
    phones_by_utterance: Mapping[str, AlignedPhones], silences: Collection[Hashable], factor: float = 4.0
) -> dict[str, tuple[Hashable, int]]:
    """Utterance → its first phone of more than `factor` times that phone's median duration, and its frames."""
    lasting: dict[Hashable, list[int]] = defaultdict(list)
    for segments in phones_by_utterance.values():
        for phone, start, stop in segments:
            if phone not in silences:
                lasting[phone].append(stop - start)
    if not lasting:
        return {}
    of_all = float(np.median(np.concatenate([np.array(of) for of in lasting.values()])))
    usual = {phone: float(np.median(of)) if len(of) >= MIN_EXAMPLES else of_all for phone, of in lasting.items()}
    found: dict[str, tuple[Hashable, int]] = {}
    for utterance, segments in phones_by_utterance.items():
        for phone, start, stop in segments:
            if phone not in silences and stop - start > factor * max(usual[phone], MIN_MEDIAN_FRAMES):
                found.setdefault(utterance, (phone, stop - start))
    return found
