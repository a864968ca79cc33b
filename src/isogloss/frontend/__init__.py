"""Audio to frames, NumPy in and out: usable alone, without the rest of isogloss and without torch.

A function hides the module of its own name: `isogloss.frontend.pitch` as an attribute is the function, while
`from isogloss.frontend.pitch import PitchTracker` still finds the module.
"""

from isogloss.frontend.audio import read_audio
from isogloss.frontend.cmvn import cmvn, sliding_cmn
from isogloss.frontend.deltas import deltas, splice
from isogloss.frontend.frontend import Frames, FrontEnd
from isogloss.frontend.mfcc import fbank, mfcc
from isogloss.frontend.perturb import perturb_speed, perturb_volume
from isogloss.frontend.pitch import pitch
from isogloss.frontend.process_pitch import process_pitch
from isogloss.frontend.vad import vad

__all__ = [
    "Frames",
    "FrontEnd",
    "cmvn",
    "deltas",
    "fbank",
    "mfcc",
    "perturb_speed",
    "perturb_volume",
    "pitch",
    "process_pitch",
    "read_audio",
    "sliding_cmn",
    "splice",
    "vad",
]
