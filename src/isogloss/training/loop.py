"""One training run: steps, validation, log, checkpoints. What is trained, and on what, comes from outside."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isogloss.config import TrainConfig
from isogloss.losses.heads import CosineHead
from isogloss.losses.multitask import LossParts, MultitaskLoss
from isogloss.nn.multitask import MultitaskNetwork
from isogloss.training import checkpoint
from isogloss.training.averaging import Average, renew_statistics
from isogloss.training.chunks import ChunkReader, ChunkTable, ahead, epoch_batches, epoch_order, steps_per_epoch
from isogloss.training.distributed import Processes
from isogloss.training.early_stop import EarlyStop
from isogloss.training.log import TrainingLog
from isogloss.training.loss_batch import LossBatch, Objective
from isogloss.training.margins_log import MarginsLog
from isogloss.training.schedule import make_schedule
from isogloss.training.spec_augment import Augment
from isogloss.types import Batch, IsoglossError

logger = logging.getLogger(__name__)
COLLAPSED = 0.9  # mean cosine between class weights, beyond which they tell no languages apart
RENEWING_BATCHES = 100  # that the batch-norm statistics of averaged weights are made of


@dataclass
class Data:
    """Chunks to train on and to validate on, of one store."""

    reader: ChunkReader
    train: ChunkTable
    valid: ChunkTable | None  # of recordings that train has not; None where no validation clip is long enough
    num_languages: int
    cavg: Callable[[np.ndarray, np.ndarray], float]  # of log-posteriors [N, C] and languages [N]


class Run:
    """Network + loss + optimiser at a step; `finish` trains to the end, from the newest checkpoint if there is one.

    In several processes all make the same run; the first alone reads and writes `folder`. What is random is a function of
    (seed, epoch, step), so that a run that is killed and called again ends with the same weights, bit by bit on a CPU.
    """

    def __init__(
        self,
        network: MultitaskNetwork,
        loss: MultitaskLoss,
        data: Data,
        config: TrainConfig,
        folder: Path,
        fingerprint: str,
        *,
        processes: Processes | None = None,
        log: TrainingLog | None = None,
        augment: Augment | None = None,
    ) -> None:
        if (config.early_stop or config.schedule == "plateau") and data.valid is None:
            raise IsoglossError(
                f"train.early_stop and train.schedule=plateau go by {config.monitor}, but no validation clip has "
                f"{config.chunk_frames} voiced frames; add longer ones, or do without"
            )
        self.processes = processes or Processes()
        self.network, self.loss = self.processes.place(network), self.processes.place(loss)
        self.data, self.config, self.folder, self.fingerprint = data, config, folder, fingerprint
        self.log = log or TrainingLog(folder)
        self.augment = augment
        self.objective = Objective(self.network, self.loss, config.precision)
        self.loss_batch = LossBatch(self.objective, config.accumulate, self.processes)
        parameters = [*network.parameters(), *loss.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        order = epoch_order(data.train, data.num_languages, config.chunks_per_epoch, config.seed, 0)
        self.loss_batch.rows(
            min(len(order), config.batch_size)
        )  # too few for the processes: now, not at the first step
        self.steps_per_epoch = steps_per_epoch(len(order), config.batch_size)
        self.num_steps = self.steps_per_epoch * config.num_epochs
        self.schedule = make_schedule(config, self.steps_per_epoch)
        self.average: Average | None = None
        if config.average != "none":
            self.average = Average(self.objective, config.ema_decay if config.average == "ema" else None)
        self.early_stop = EarlyStop(config.early_stop) if config.early_stop else None
        self.margins = MarginsLog(config.seed)
        self.step = 0
        self._told_of_collapse = False
        self.seconds = 0.0  # of training, over all attempts

    def finish(self, report: Callable[[int, int], None]) -> None:
        """Train to `num_steps` or to an early stop, telling `report` (step, num_steps); then the network has its final weights.

        IsoglossError when loss or gradient are not finite.
        """
        self._resume()
        started = time.perf_counter()
        for batch in ahead(self._batches(), pin=self.processes.device.type == "cuda"):
            parts, rate = self._step(batch)
            self.step += 1
            report(self.step, self.num_steps)
            epoch_ends = self.step % self.steps_per_epoch == 0
            validation = self._end_epoch() if epoch_ends else {}
            if epoch_ends or self.step % self.config.log_every == 0 or self.step == 1:
                self._write_log(parts, rate, validation)
            if epoch_ends or self.step % self.config.checkpoint_every == 0:
                now = time.perf_counter()
                self.seconds += now - started
                started = now
                self._save()
            if self._stopped:
                break
        self._choose_weights()

    @property
    def _stopped(self) -> bool:
        return self.early_stop is not None and self.early_stop.stopped

    def _batches(self) -> Iterator[Batch]:
        first_step = self.step
        if self._stopped:
            return
        for epoch in range(first_step // self.steps_per_epoch, self.config.num_epochs):
            yield from self._epoch_batches(epoch, max(0, first_step - epoch * self.steps_per_epoch))

    def _epoch_batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        config, table = self.config, self.data.train
        order = epoch_order(table, self.data.num_languages, config.chunks_per_epoch, config.seed, epoch)
        return epoch_batches(self.data.reader, table, order, config.batch_size, config.seed, epoch, first)

    def _step(self, batch: Batch) -> tuple[LossParts, float]:
        config = self.config
        self.objective.train()
        rate = self.schedule.rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self._placed(batch)
        if self.augment is not None:
            epoch = self.step // self.steps_per_epoch
            batch = Batch(self.augment(batch.features, config.seed, epoch, self.step), batch.languages, batch.pdf_ids)
        # what an encoder draws from torch's own generator (dropout) needs no state in the checkpoint either
        drawn = np.random.SeedSequence([config.seed, self.step, self.processes.index]).generate_state(1, np.uint64)
        torch.manual_seed(int(drawn[0]))
        self.optimiser.zero_grad(set_to_none=True)
        parts = self.loss_batch.backward(batch)
        norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), config.grad_clip, foreach=True)
        if not (math.isfinite(parts.total.item()) and math.isfinite(norm.item())):
            raise IsoglossError(self._what_happened(parts, norm.item(), rate))
        self.optimiser.step()
        self.margins.add(self.step, parts.p, parts.beta_p, batch.languages)
        if self.average is not None and config.average == "ema":
            self.average.update()
        return parts, rate

    def _what_happened(self, parts: LossParts, norm: float, rate: float) -> str:
        terms = {"loss": parts.total, "language": parts.language, "phone": parts.phone, "margin": parts.margin.mean()}
        said = ", ".join(f"{name} {term.item():.4g}" for name, term in terms.items() if term is not None)
        gradients = ((name, p.grad) for name, p in self.objective.named_parameters() if p.grad is not None)
        where = next((name for name, gradient in gradients if not gradient.isfinite().all()), None)
        last = checkpoint.newest(self.folder / "checkpoints")
        return (
            f"step {self.step}: {said}; gradient norm {norm:.4g}{f', not finite first in {where}' if where else ''}; "
            f"learning rate {rate:.3g}; nothing was updated, the last checkpoint is "
            f"{last or 'not made yet'}: try a lower train.learning_rate, or train.precision=fp32"
        )

    def _placed(self, batch: Batch) -> Batch:
        def placed(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(self.processes.device, non_blocking=True)

        labels = None if batch.pdf_ids is None else placed(batch.pdf_ids)
        return Batch(placed(batch.features), placed(batch.languages), labels)

    def _end_epoch(self) -> dict[str, float]:
        """Validate, with averaged weights where they are the result, and tell all who wait for it."""
        config, average = self.config, self.average
        averaged = average if config.average == "ema" else None
        with averaged.in_place() if averaged else nullcontext():
            validation = self.validate()
            if self.early_stop is not None:
                self.early_stop.epoch_ended(validation[config.monitor], self.step, self.objective)
        first_averaged = self.num_steps - config.average_epochs * self.steps_per_epoch
        if average is not None and config.average == "last" and self.step > first_averaged:
            average.update()
        self.schedule.epoch_ended(validation)
        if not isinstance(head := self.loss.head, CosineHead):
            return validation
        class_cosine = head.class_cosine()
        if class_cosine > COLLAPSED and not self._told_of_collapse:
            self._told_of_collapse = True
            logger.warning(
                "step %d: the weights of the %d languages have fallen into one direction (mean cosine %.2f; expected below "
                "0.5): where languages are hard to tell, an angular margin is cheapest there, and training seldom comes back. "
                "Let the margin begin later (train.margin.ramp_start) or use the additive form, AM-Softmax",
                self.step,
                self.data.num_languages,
                class_cosine,
            )
        return validation | {"class_cosine": class_cosine}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Cross-entropy (no margin), accuracy and Cavg over the validation chunks; {} without any."""
        table, device = self.data.valid, self.processes.device
        if table is None:
            return {}
        self.objective.eval()
        logits = torch.zeros(len(table), self.data.num_languages, device=device)
        size = -(-self.config.batch_size // (self.config.accumulate * self.processes.num))
        batches = np.array_split(np.arange(len(table)), -(-len(table) // size))
        for chosen in batches[self.processes.index :: self.processes.num]:
            batch = self._placed(self.data.reader.read(table, chosen))
            embedding = self.objective.encode(batch.features).embedding
            logits[torch.from_numpy(chosen).to(device)] = self.loss.head.logits(embedding.float()).float()
        self.processes.sum(logits)  # every row is one process's, and 0 in the others
        languages = torch.from_numpy(table.languages).to(device)
        return {
            "valid_loss": torch.nn.functional.cross_entropy(logits, languages).item(),
            "valid_accuracy": (logits.argmax(1) == languages).float().mean().item(),
            "valid_cavg": self.data.cavg(logits.log_softmax(1).cpu().numpy(), table.languages),
        }

    def _choose_weights(self) -> None:
        """The weights of the best epoch, or averaged ones, where that was asked for."""
        if self.early_stop is not None and self.step:
            self.early_stop.apply(self.objective)
            best, step = self.early_stop.best, self.early_stop.best_step
            logger.info("took the weights of step %d, %s %.4g", step, self.config.monitor, best)
        elif self.average is not None:
            self.average.apply()
            if self.config.average == "last":
                batches = islice(self._epoch_batches(self.config.num_epochs - 1), RENEWING_BATCHES)
                placed = (self._placed(batch) for batch in batches)
                features = (
                    batch.features[own] for batch in placed for own in self.loss_batch.rows(len(batch.features))
                )
                renew_statistics(self.network, self.objective.encode, features)
            found = ", ".join(f"{name} {value:.4g}" for name, value in self.validate().items())
            logger.info("took averaged weights (%s): %s", self.config.average, found or "not validated")

    def _write_log(self, parts: LossParts, rate: float, validation: dict[str, float]) -> None:
        if not self.processes.first:
            return
        line = {
            "step": self.step,
            "epoch": round(self.step / self.steps_per_epoch, 4),
            "loss": parts.total.item(),
            "loss_language": parts.language.item(),
            "loss_phone": None if parts.phone is None else parts.phone.item(),
            "phone_accuracy": None if parts.phone_accuracy is None else parts.phone_accuracy.item(),
            "learning_rate": rate,
            "margin_mean": parts.margin.mean().item(),
        }
        self.log.write(line | self.margins.interval() | validation)

    def _save(self) -> None:
        if not self.processes.first:
            return
        state = {"fingerprint": self.fingerprint, "step": self.step, "seconds": self.seconds}
        state |= {name: part.state_dict() for name, part in self._stateful().items()}
        checkpoint.save(self.folder / "checkpoints", self.step, state, self.config.keep_checkpoints)

    def _stateful(self) -> dict[str, Any]:
        """What a checkpoint holds the state of."""
        parts = {
            "network": self.network, "loss": self.loss, "optimiser": self.optimiser, "margins": self.margins,
            "schedule": self.schedule, "average": self.average, "early_stop": self.early_stop,
        }  # fmt: skip
        return {name: part for name, part in parts.items() if part is not None}

    def _resume(self) -> None:
        folder, state = self.folder / "checkpoints", None
        if self.processes.first:
            state = checkpoint.latest(folder, self.fingerprint)
            if state is None:
                checkpoint.clear(folder)
        state = self.processes.from_first(state)
        if state is not None:
            for name, part in self._stateful().items():
                part.load_state_dict(state[name])
            self.step, self.seconds = state["step"], state["seconds"]
            logger.info("resumed at step %d of %d", self.step, self.num_steps)
        if self.processes.first:
            self.log.cut(self.step)
