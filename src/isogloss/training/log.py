"""The log of a training run: a line of JSON per logged step, and where asked the same for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG, EVENTS = "log.jsonl", "tensorboard"


class TrainingLog:
    """folder/log.jsonl always; with `tensorboard`, folder/tensorboard too (`tensorboard --logdir folder`).

    A line holds "step" and any of: numbers (scalars in TensorBoard), None for what was not measured, lists of numbers whose
    name ends in _by_language (one scalar each, called by `languages`, or by number without them), and histograms
    {"edges": [n + 1], "counts": [n]}. Anything else stands in the JSON alone.

    Errors: IsoglossError at once, not after hours, if TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool = False, languages: Sequence[str] = ()) -> None:
        self.path, self.languages = folder / LOG, list(languages)
        self._events_folder = folder / EVENTS
        self._writer_type = _summary_writer() if tensorboard else None
        self._writer: SummaryWriter | None = None

    def cut(self, step: int) -> None:
        """Drop what was logged after `step`, the checkpoint's: those steps are about to be taken again."""
        self.close()
        if self._writer_type:
            self._writer = self._writer_type(str(self._events_folder), purge_step=step + 1)
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except json.JSONDecodeError:  # the killed run was writing this line
                break
        part = self.path.with_suffix(".part")
        part.write_text("".join(kept), encoding="utf-8")
        os.replace(part, self.path)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; it is on disk when this returns, for whoever reads along."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer_type:
            self._writer = self._writer or self._writer_type(str(self._events_folder))
            for name, value in line.items():
                if name != "step":
                    self._add(self._writer, name, value, line["step"])
            self._writer.flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def _add(self, writer: SummaryWriter, name: str, value: Any, step: int) -> None:
        if isinstance(value, int | float):
            writer.add_scalar(name, value, step)
        elif isinstance(value, dict) and value.keys() == {"edges", "counts"}:
            _add_histogram(writer, name, np.asarray(value["edges"]), np.asarray(value["counts"]), step)
        elif isinstance(value, list) and name.endswith("_by_language"):
            for index, one in enumerate(value):
                if one is not None:
                    language = self.languages[index] if index < len(self.languages) else str(index)
                    writer.add_scalar(f"{name}/{language}", one, step)


def _add_histogram(writer: SummaryWriter, name: str, edges: np.ndarray, counts: np.ndarray, step: int) -> None:
    """edges [n + 1], counts [n]; the moments, which TensorBoard wants too, are those of the middles of the bins."""
    middles = (edges[:-1] + edges[1:]) / 2
    writer.add_histogram_raw(
        name,
        min=edges[0],
        max=edges[-1],
        num=counts.sum(),
        sum=(counts * middles).sum(),
        sum_squares=(counts * middles**2).sum(),
        bucket_limits=edges[1:].tolist(),
        bucket_counts=counts.tolist(),
        global_step=step,
    )


def _summary_writer() -> type[SummaryWriter]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise IsoglossError(
            "a TensorBoard log is asked for, but tensorboard is not installed; `pip install tensorboard`, or do without: "
            f"{LOG} holds the same numbers"
        ) from None
    return SummaryWriter
