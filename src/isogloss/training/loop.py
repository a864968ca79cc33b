"""One training run: steps, validation, log, checkpoints. What is trained, and on what, comes from outside."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isogloss.config import TrainConfig
from isogloss.losses.multitask import LossParts, MultitaskLoss
from isogloss.nn.multitask import MultitaskNetwork
from isogloss.training import checkpoint
from isogloss.training.chunks import ChunkReader, ChunkTable, epoch_batches, epoch_order, steps_per_epoch
from isogloss.training.margins_log import MarginsLog
from isogloss.training.schedule import learning_rate
from isogloss.types import Batch, IsoglossError

logger = logging.getLogger(__name__)


@dataclass
class Data:
    """Chunks to train on and to validate on, of one store."""

    reader: ChunkReader
    train: ChunkTable
    valid: ChunkTable | None  # of recordings that train has not; None where no validation clip is long enough
    num_languages: int


class Run:
    """Network + loss + optimiser at a step; `finish` trains to the end, from the newest checkpoint if there is one."""

    def __init__(
        self,
        network: MultitaskNetwork,
        loss: MultitaskLoss,
        data: Data,
        config: TrainConfig,
        folder: Path,
        fingerprint: str,
    ) -> None:
        self.network, self.loss, self.data, self.config = network, loss, data, config
        self.folder, self.fingerprint = folder, fingerprint
        parameters = [*network.parameters(), *loss.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.margins = MarginsLog(config.seed)
        self.step = 0
        self.seconds = 0.0  # of training, over all attempts
        order = epoch_order(data.train, data.num_languages, config.chunks_per_epoch, config.seed, 0)
        self.steps_per_epoch = steps_per_epoch(len(order), config.batch_size)
        self.num_steps = self.steps_per_epoch * config.num_epochs

    def finish(self, report: Callable[[int, int], None]) -> None:
        """Train to `num_steps`, telling `report` (step, num_steps). IsoglossError when loss or gradient are not finite."""
        self._resume()
        started = time.perf_counter()
        for batch in self._batches():
            parts, rate = self._step(batch)
            self.step += 1
            report(self.step, self.num_steps)
            epoch_ends = self.step % self.steps_per_epoch == 0
            if epoch_ends or self.step % self.config.log_every == 0 or self.step == 1:
                self._log(parts, rate, self.validate() if epoch_ends else {})
            if epoch_ends or self.step % self.config.checkpoint_every == 0:
                now = time.perf_counter()
                self.seconds += now - started
                started = now
                self._save()

    def _batches(self) -> Iterator[Batch]:
        config = self.config
        for epoch in range(self.step // self.steps_per_epoch, config.num_epochs):
            order = epoch_order(self.data.train, self.data.num_languages, config.chunks_per_epoch, config.seed, epoch)
            first = self.step - epoch * self.steps_per_epoch
            yield from epoch_batches(
                self.data.reader, self.data.train, order, config.batch_size, config.seed, epoch, first
            )

    def _step(self, batch: Batch) -> tuple[LossParts, float]:
        config = self.config
        self.network.train()
        self.loss.train()
        rate = learning_rate(
            self.step, self.steps_per_epoch, config.cycles, config.learning_rate, config.min_learning_rate
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        parts = self._forward(batch)
        self.optimiser.zero_grad(set_to_none=True)
        parts.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(
            [*self.network.parameters(), *self.loss.parameters()], config.grad_clip, foreach=True
        )
        if not (math.isfinite(parts.total.item()) and math.isfinite(norm.item())):
            raise IsoglossError(
                f"step {self.step}: loss {parts.total.item():.4g}, gradient norm {norm.item():.4g}; language loss "
                f"{parts.language.item():.4g} at learning rate {rate:.3g}; the last checkpoint is in {self.folder}: "
                "try a lower train.learning_rate, or train.precision=fp32"
            )
        self.optimiser.step()
        if parts.beta_p is not None:
            self.margins.add(self.step, parts.beta_p)
        return parts, rate

    def _forward(self, batch: Batch) -> LossParts:
        """Network under autocast, loss in fp32."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
            encoded = self.network(batch.features)
        return self.loss(encoded, batch)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Cross-entropy (no margin) and accuracy over the validation chunks; {} without any."""
        table = self.data.valid
        if table is None:
            return {}
        self.network.eval()
        self.loss.eval()
        losses, hits = [], []
        for chosen in np.array_split(np.arange(len(table)), -(-len(table) // self.config.batch_size)):
            batch = self.data.reader.read(table, chosen)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
                encoded = self.network(batch.features)
            logits = self.loss.head.logits(encoded.embedding.float())
            losses.append(torch.nn.functional.cross_entropy(logits, batch.languages, reduction="none"))
            hits.append((logits.argmax(1) == batch.languages).float())
        return {"valid_loss": torch.cat(losses).mean().item(), "valid_accuracy": torch.cat(hits).mean().item()}

    def _log(self, parts: LossParts, rate: float, validation: dict[str, float]) -> None:
        line: dict[str, Any] = {
            "step": self.step,
            "epoch": round(self.step / self.steps_per_epoch, 4),
            "loss": parts.total.item(),
            "loss_language": parts.language.item(),
            "loss_phone": None if parts.phone is None else parts.phone.item(),
            "phone_accuracy": None if parts.phone_accuracy is None else parts.phone_accuracy.item(),
            "learning_rate": rate,
            "margin_mean": parts.margin.mean().item(),
            **self.margins.interval(),
            **validation,
        }
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "margins": self.margins.state_dict(),
        }
        checkpoint.save(self.folder / "checkpoints", self.step, state, self.config.keep_checkpoints)

    def _resume(self) -> None:
        state = checkpoint.latest(self.folder / "checkpoints", self.fingerprint)
        if state is None:
            checkpoint.clear(self.folder / "checkpoints")
        else:
            self.network.load_state_dict(state["network"])
            self.loss.load_state_dict(state["loss"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.margins.load_state_dict(state["margins"])
            self.step, self.seconds = state["step"], state["seconds"]
            logger.info("resumed at step %d of %d", self.step, self.num_steps)
        _cut_log(self.folder / "log.jsonl", self.step)


def _cut_log(path: Path, step: int) -> None:
    """Drop what was logged after the checkpoint: those steps are about to be taken again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:  # the killed run was writing this line
            break
    part = path.with_suffix(".part")
    part.write_text("".join(kept), encoding="utf-8")
    os.replace(part, path)
