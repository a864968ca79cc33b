"""A phone recogniser without training: pocketsphinx's phone loop over its own English model (BSD licence)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.phones.segments import Segment
from isogloss.types import IsoglossError

SAMPLE_RATE = 16000  # Hz, of the English model
FRAMES_PER_SECOND = 100
# the CMU dictionary's phone set; whatever else the decoder prints is a filler (silence, noise)
PHONES = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
)


def decode(samples: np.ndarray) -> list[Segment]:
    """`samples` [S] float at 16 kHz → phone segments in time order; fillers (silence, noise) are left out.

    The decoder's adaptation of its cepstral mean is begun anew with each call, so that the order of calls does not matter.
    """
    if len(samples) < SAMPLE_RATE // 10:
        return []
    decoder = _decoder()
    decoder.reinit_feat()
    decoder.start_utt()
    pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2")
    decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    return [
        (segment.word, segment.start_frame / FRAMES_PER_SECOND, (segment.end_frame + 1) / FRAMES_PER_SECOND)
        for segment in decoder.seg() or []
        if segment.word in PHONES
    ]


@cache
def _decoder() -> Any:
    """One decoder per process."""
    try:
        from pocketsphinx import Config, Decoder, get_model_path
    except ImportError:
        raise IsoglossError("phones.source=pocketsphinx needs pocketsphinx: pip install 'isogloss[train]'") from None
    model = Path(get_model_path("en-us"))
    config = Config(
        hmm=str(model / "en-us"),
        allphone=str(model / "en-us-phone.lm.bin"),
        lw=2.0,
        beam=1e-10,
        pbeam=1e-10,
        loglevel="FATAL",
    )
    config["lm"] = None
    config["dict"] = None
    return Decoder(config)
