"""Transducers as numpy arrays; on disk an OpenFst ConstFst, which kaldifst and OpenFst's own programs read.

The file is version 2, unaligned (openfst/const-fst.h): a header; five 32-bit words per state (final weight, first arc,
arcs, input epsilons, output epsilons); four per arc (input label, output label, weight, next state). Weights are tropical:
negative natural logs. A state with an infinite final weight is not final.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isogloss.types import IsoglossError

MAGIC = 2125659606
HEADER = struct.Struct("<ii5si8siiQqqq")  # magic, "const", "standard", version, flags, properties, start, states, arcs
STATE = np.dtype(
    [("final", "<f4"), ("first", "<u4"), ("num_arcs", "<u4"), ("in_epsilons", "<u4"), ("out_epsilons", "<u4")]
)
ARC = np.dtype([("ilabel", "<i4"), ("olabel", "<i4"), ("weight", "<f4"), ("to", "<i4")])
EXPANDED = 1  # OpenFst's property bit; all others are left for it to find out


@dataclass(frozen=True, eq=False)
class FstArrays:
    """Arcs by state: state s has `arcs[first[s] : first[s + 1]]`; `final` [S] float32, `first` [S + 1] int64."""

    start: int
    final: np.ndarray
    first: np.ndarray
    arcs: np.ndarray  # [A] of ARC

    @property
    def num_states(self) -> int:
        return len(self.final)

    @property
    def source(self) -> np.ndarray:
        """The state each arc leaves [A] int64."""
        return np.repeat(np.arange(self.num_states), np.diff(self.first))

    @classmethod
    def sorted_by_source(cls, start: int, final: np.ndarray, source: np.ndarray, arcs: np.ndarray) -> FstArrays:
        """From arcs [A] in any order and the state each one leaves [A]; a state's arcs keep their order."""
        order = np.argsort(source, kind="stable")
        first = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=len(final)))])
        return cls(start, final.astype(np.float32), first, arcs[order])

    @classmethod
    def read(cls, path: Path) -> FstArrays:
        """Raises IsoglossError for a file that is no ConstFst over tropical weights."""
        data = path.read_bytes()
        if len(data) < HEADER.size:
            raise IsoglossError(f"{path}: {len(data)} bytes are no transducer; was the write cut short? Build it again")
        magic, _, kind, _, weights, _, flags, _, start, num_states, num_arcs = HEADER.unpack_from(data)
        if (magic, kind, weights, flags) != (MAGIC, b"const", b"standard", 0):
            raise IsoglossError(
                f"{path} is not an OpenFst ConstFst file over tropical weights; convert it or build it again"
            )
        wanted = HEADER.size + num_states * STATE.itemsize + num_arcs * ARC.itemsize
        if len(data) != wanted:
            raise IsoglossError(
                f"{path}: {len(data)} bytes, expected {wanted}; was the write cut short? Build it again"
            )
        states = np.frombuffer(data, STATE, num_states, HEADER.size)
        arcs = np.frombuffer(data, ARC, num_arcs, HEADER.size + states.nbytes)
        first = np.append(states["first"].astype(np.int64), num_arcs)
        return cls(int(start), states["final"].copy(), first, arcs)

    def write(self, path: Path) -> None:
        """As an OpenFst ConstFst file, which `kaldifst.StdConstFst.read` and OpenFst's own programs read."""
        states = np.zeros(self.num_states, STATE)
        states["final"], states["first"], states["num_arcs"] = self.final, self.first[:-1], np.diff(self.first)
        for label, name in (("ilabel", "in_epsilons"), ("olabel", "out_epsilons")):
            states[name] = np.diff(np.concatenate([[0], np.cumsum(self.arcs[label] == 0)])[self.first])
        header = HEADER.pack(
            MAGIC, 5, b"const", 8, b"standard", 2, 0, EXPANDED, self.start, self.num_states, len(self.arcs)
        )  # fmt: skip
        with path.open("wb") as file:
            file.write(header)
            file.write(states.tobytes())
            file.write(self.arcs.astype(ARC).tobytes())
