"""What training together costs: two processes on one loss batch against two that train alone, the same chunks in each.

    python bench/ddp.py [--width 512] [--batch 256] [--pdfs 1507] [--processes 2] [--blocks 6] [--steps 2] [--precision bf16]

Each process has both: a plain loop (network, loss, backward, clipping, AdamW), which waits for nobody, and this project's step
under DDP, with batch norm, p and the loss over all processes. They take turns in blocks of steps, all processes in the same
one, so that what else the machine does hits both alike. `--batch` is per process; one thread each, gloo. CPU seconds include
the threads that talk. The error column is the norm of the difference
of the gradient from that of one process with all chunks, over its norm; in float64 and of 8 chunks each, for in float32 the
gradient of either is 2e-3 from the true one, rounding deciding at some thousands of ReLUs on which side of 0 they are.
"""

from __future__ import annotations

import argparse
import copy
import os
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.multiprocessing import spawn

from isogloss.losses import AMSoftmax, MultitaskLoss, PhonemeAwareMargin
from isogloss.nn.multitask import MultitaskNetwork
from isogloss.training.allocator import keep_freed_memory
from isogloss.training.distributed import Processes
from isogloss.training.loss_batch import LossBatch, Objective
from isogloss.types import Batch

LANGUAGES, FRAMES, DIM = 10, 100, 23


def optimiser_of(objective: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(objective.parameters(), lr=1e-4)


def update(objective: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    nn.utils.clip_grad_norm_(objective.parameters(), 10.0, foreach=True)
    optimiser.step()


def gradient_error(objective: Objective, batch: Batch, size: int, processes: Processes) -> float:
    batch = Batch(batch.features[:size].double(), batch.languages[:size], batch.pdf_ids[:size])
    alone = copy.deepcopy(objective).double().train()
    together = processes.place(copy.deepcopy(objective).double()).train()
    alone(batch).total.backward()
    LossBatch(together, 1, processes).backward(batch)
    expected, got = (
        torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]) for module in (alone, together)
    )
    return ((got - expected).norm() / expected.norm()).item()


def work(index: int, port: int, options: argparse.Namespace) -> None:
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"WORLD_SIZE": str(options.processes), "LOCAL_WORLD_SIZE": str(options.processes)}
    torch.set_num_threads(1)
    keep_freed_memory()
    processes = Processes()
    torch.manual_seed(0)
    size = options.batch * options.processes
    batch = Batch(
        torch.randn(size, FRAMES, DIM),
        torch.randint(LANGUAGES, (size,)),
        torch.randint(options.pdfs, (size, FRAMES)),
    )
    own = slice(index * options.batch, (index + 1) * options.batch)
    part = Batch(batch.features[own], batch.languages[own], batch.pdf_ids[own])
    margin = PhonemeAwareMargin(0.2, 10.0, normalise="batch_sum", target_mean=0.002)
    loss = MultitaskLoss(AMSoftmax(options.width, LANGUAGES), margin)
    first = Objective(MultitaskNetwork(DIM, options.pdfs, options.width), loss, "fp32")
    error = gradient_error(first, batch, 8 * options.processes, processes)
    first = Objective(first.network, first.loss, options.precision)
    alone, together = copy.deepcopy(first).train(), processes.place(copy.deepcopy(first)).train()
    alone_optimiser, optimiser = optimiser_of(alone), optimiser_of(together)
    loss_batch = LossBatch(together, 1, processes)

    def plain() -> None:
        alone_optimiser.zero_grad(set_to_none=True)
        alone(part).total.backward()
        update(alone, alone_optimiser)

    def ddp() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss_batch.backward(batch)
        update(together, optimiser)

    def measured(step: Callable[[], Any]) -> tuple[float, float]:
        processes.wait()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            step()
        return (time.perf_counter() - wall) / options.steps, (time.process_time() - cpu) / options.steps

    for step in (plain, ddp) * 4:  # until all memory is there, and DDP's order of buckets
        step()
    blocks = [[*measured(plain), *measured(ddp)] for _ in range(options.blocks)]
    means = processes.sum(torch.tensor(blocks)) / options.processes
    if not processes.first:
        return
    medians = [statistics.median(column) for column in means.T.tolist()]
    print(
        f"{options.processes} processes × {options.batch} chunks × {FRAMES} frames, width {options.width}, {options.pdfs} "
    )
    print(f"pdfs, {options.precision}; {options.blocks} blocks of {options.steps} steps, median\n")
    print(
        "| | each alone | together | overhead | smallest … largest block | gradient error |\n|---|---:|---:|---:|---|---:|"
    )
    for name, column in (("wall s per step", 0), ("CPU s per step", 1)):
        ratios = [row[column + 2] / row[column] - 1 for row in means.tolist()]
        a, b = medians[column], medians[column + 2]
        spread = f"{min(ratios):+.1%} … {max(ratios):+.1%}"
        print(f"| {name} | {a:.3f} | {b:.3f} | {statistics.median(ratios):+.1%} | {spread} | {error:.1e} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"width": 512, "batch": 256, "pdfs": 1507, "processes": 2, "blocks": 6, "steps": 2}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn(work, (port, options), options.processes)


if __name__ == "__main__":
    main()
