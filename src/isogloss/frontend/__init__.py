"""Audio to frames, NumPy in and out: usable alone, without the rest of isogloss and without torch."""

from isogloss.frontend.cmvn import sliding_cmn
from isogloss.frontend.frontend import Frames, FrontEnd
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.vad import vad

__all__ = ["Frames", "FrontEnd", "mfcc", "sliding_cmn", "vad"]
