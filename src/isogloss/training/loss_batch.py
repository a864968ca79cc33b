"""The gradient of one loss batch, taken in parts: over processes and, with train.accumulate, one after another.

    L = 1/N Σ_chunks l_i + α · 1/M Σ_frames l_t        (eq. 9 to 11)

N chunks and M labelled frames are the whole loss batch's, so a part with n and m of them counts n/N and m/M of its means;
p (eq. 13) is normalised over the whole too. Over processes that is exact, batch normalisation included (global_norm). Of parts
taken one after another each has batch-norm statistics of its own; all else is exact there too.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from isogloss.losses.margins import PhonemeAwareMargin
from isogloss.losses.multitask import LossParts, MultitaskLoss
from isogloss.nn.multitask import MultitaskNetwork
from isogloss.training.distributed import Processes
from isogloss.types import IGNORE_PDF, Batch, Encoded, IsoglossError


class Objective(nn.Module):
    """Network (under autocast) and loss (in fp32) as the one module that DDP wants."""

    def __init__(self, network: MultitaskNetwork, loss: MultitaskLoss, precision: str) -> None:
        super().__init__()
        self.network, self.loss, self._precision = network, loss, precision

    def encode(self, features: Tensor) -> Encoded:
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            encoded: Encoded = self.network(features)
        return encoded

    def forward(self, batch: Batch, alpha: float | None = None) -> LossParts:
        parts: LossParts = self.loss(self.encode(batch.features), batch, alpha)
        return parts


class LossBatch:
    """`backward(batch)` for batches of any size ≥ 2 per part; every process passes the whole batch and computes its rows."""

    def __init__(self, objective: Objective, accumulate: int, processes: Processes) -> None:
        self._objective, self._accumulate, self._processes = objective, accumulate, processes
        self._module = processes.wrap(objective)
        self._margin = next((m for m in objective.loss.modules() if isinstance(m, PhonemeAwareMargin)), None)
        self._rows, self._size = slice(0), 0  # of the part being computed, among the chunks of the whole
        self._statistics: Tensor | None = None  # [N], where parts come one after another
        if self._margin is None or not self._margin.reads_whole_batch or accumulate * processes.num == 1:
            self._margin = None
            return
        if accumulate > 1 and not self._margin.detach:
            raise IsoglossError(
                "train.margin.detach=false with train.accumulate > 1: the gradient of a p normalised over the loss batch would "
                "need all its parts at once; use detach=true, or more processes in place of accumulate"
            )
        self._margin.whole_batch = self._whole

    def rows(self, size: int) -> list[slice]:
        """This process's rows of a loss batch, part after part. IsoglossError if a part would have fewer than 2."""
        num = self._processes.num
        if size < 2 * self._accumulate * num:
            raise IsoglossError(
                f"{size} chunks per step for {num} processes × {self._accumulate} parts one after another; expected 2 each at "
                "least: use a larger train.batch_size (or more data), a smaller train.accumulate, or fewer processes"
            )
        return [_share(part, num, self._processes.index) for part in _cut(slice(0, size), self._accumulate)]

    def backward(self, batch: Batch) -> LossParts:
        """Add the gradient of the loss of `batch` to that of the parameters; what is returned is of the whole batch."""
        loss, size = self._objective.loss, len(batch.languages)
        own = self.rows(size)
        num_labelled = _num_labelled(batch)
        self._size, self._statistics = size, None
        if self._margin is not None and self._accumulate > 1:
            self._statistics = self._read_statistics(batch, own)
        counters = [(buffer, buffer.clone()) for buffer in loss.buffers()]  # move once per loss batch, not per part
        means = torch.zeros(3, dtype=torch.float32, device=batch.features.device)
        of_chunks = means.new_zeros(3, size)
        for rows in own:
            self._rows = rows
            for buffer, value in counters:
                buffer.copy_(value)
            part = _part(batch, rows)
            share = len(part.languages) / size
            of_phones = _num_labelled(part) / max(1, num_labelled)
            with nullcontext() if rows == own[-1] else self._processes.apart(self._module):
                parts: LossParts = self._module(part, loss.alpha * of_phones / share)
                (parts.total * (share * self._processes.num)).backward()  # DDP divides by the processes
            means[0] += parts.language * share
            if parts.phone is not None and parts.phone_accuracy is not None:
                means[1] += parts.phone * of_phones
                means[2] += parts.phone_accuracy * of_phones
            of_chunks[0, rows] = parts.margin
            if parts.p is not None and parts.beta_p is not None:
                of_chunks[1, rows], of_chunks[2, rows] = parts.p, parts.beta_p
        together = self._processes.sum(torch.cat([means, of_chunks.flatten()]))
        (language, phone, accuracy), (margin, p, beta_p) = together[:3], together[3:].view(3, size)
        multitask, aware = parts.phone is not None, parts.p is not None
        return LossParts(
            total=language + loss.alpha * phone if multitask else language,
            language=language,
            phone=phone if multitask else None,
            phone_accuracy=accuracy if multitask else None,
            p=p if aware else None,
            beta_p=beta_p if aware else None,
            margin=margin,
        )

    def _whole(self, own: Tensor) -> Tensor:
        """Statistics [N] of the whole loss batch from those of the part being computed; through them flows a gradient."""
        if self._statistics is not None:
            return self._statistics
        whole = own.new_zeros(self._size)
        whole[self._rows] = own
        return self._processes.differentiable_sum(whole)

    @torch.no_grad()
    def _read_statistics(self, batch: Batch, own: list[slice]) -> Tensor:
        """[N]: a first pass over all parts, forward only, which makes a step a third longer.

        No part's loss can be known before the statistics of all, and to keep the activations of all is what accumulation is
        there to avoid. The network's buffers are put back: each part is seen once more.
        """
        margin = self._margin
        assert margin is not None
        whole = torch.zeros(self._size, device=batch.features.device)
        before = [(buffer, buffer.clone()) for buffer in self._objective.network.buffers()]
        margin.eval()

        def note(statistics: Tensor) -> Tensor:
            whole[self._rows] = statistics
            return statistics

        margin.whole_batch = note
        for rows in own:
            self._rows = rows
            margin(self._objective.encode(batch.features[rows]).phone_logits)
        margin.whole_batch = self._whole
        margin.train()
        for buffer, value in before:
            buffer.copy_(value)
        return self._processes.sum(whole)


def _cut(rows: slice, num: int) -> list[slice]:
    """`rows` in `num` runs, as even as they go."""
    return [_share(rows, num, index) for index in range(num)]


def _share(rows: slice, num: int, index: int) -> slice:
    size = rows.stop - rows.start
    return slice(rows.start + size * index // num, rows.start + size * (index + 1) // num)


def _num_labelled(batch: Batch) -> int:
    return 0 if batch.pdf_ids is None else int(torch.ne(batch.pdf_ids, IGNORE_PDF).sum())


def _part(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.features[rows], batch.languages[rows], None if batch.pdf_ids is None else batch.pdf_ids[rows])
