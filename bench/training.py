"""What a training step costs: chunks per second, and the share of the matrix-multiply rate measured in the same run.

    python bench/training.py [--width 512] [--batch 128] [--pdfs 1507] [--threads 1] [--steps 5]

The step is the whole of it: batch, forward under autocast, loss in fp32, backward, clipping, optimiser. Its arithmetic
is counted from the layers (2 operations per multiply-add, backward = 2 × forward but for the first layer's input). The
error column is the relative difference of the loss from that of the same step in float64.
"""

from __future__ import annotations

import argparse
import copy
import time

import torch
from torch import nn

from isogloss.losses import AMSoftmax, MultitaskLoss, PhonemeAwareMargin
from isogloss.nn.multitask import MultitaskNetwork
from isogloss.training.allocator import keep_freed_memory
from isogloss.types import Batch

LANGUAGES, FRAMES, DIM = 10, 100, 23
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@torch.no_grad()
def matrix_rate(dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Operations per CPU second, the better of a 2048³ matrix product and a three-tap convolution of 512 channels.

    Two kinds, because two libraries do them, and which is nearer to the machine's limit depends on the processor.
    """
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    frames, taps = torch.randn(64, 512, 102).to(dtype), torch.randn(512, 512, 3).to(dtype)
    rates = []
    for work, operations_each in (
        (lambda: left @ right, 2 * 2048**3),
        (lambda: torch.conv1d(frames, taps), 2 * 3 * 64 * 100 * 512 * 512),
    ):
        work()
        count, begun = 0, time.process_time()
        while time.process_time() - begun < seconds:
            work()
            count += 1
        rates.append(operations_each * count / (time.process_time() - begun))
    return max(rates)


def operations(network: nn.Module, features: torch.Tensor) -> float:
    """Operations of one training step, by the shapes its layers see."""
    counted: list[float] = []

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        columns = output.shape[1] if isinstance(layer, nn.Conv1d) else output.shape[-1]
        forward = 2.0 * output.numel() / columns * layer.weight.numel()
        counted.append(forward * (2 if not counted else 3))  # nobody needs the gradient of the features

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv1d | nn.Linear)]
    with torch.no_grad():
        network(features)
    for hook in hooks:
        hook.remove()
    return sum(counted)


def step(
    network: MultitaskNetwork, loss: MultitaskLoss, batch: Batch, optimiser: torch.optim.Optimizer, bf16: bool
) -> float:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        encoded = network(batch.features)
    total = loss(encoded, batch).total
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimiser.step()
    return total.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 512), ("batch", 128), ("pdfs", 1507), ("threads", 1), ("steps", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    features = torch.randn(options.batch, FRAMES, DIM)
    languages = torch.randint(LANGUAGES, (options.batch,))
    batch = Batch(features, languages, torch.randint(options.pdfs, (options.batch, FRAMES)))
    first = MultitaskNetwork(DIM, options.pdfs, options.width)
    first_loss = MultitaskLoss(
        AMSoftmax(options.width, LANGUAGES), PhonemeAwareMargin(0.2, 10.0, normalise="batch_sum", target_mean=0.002)
    )
    arithmetic = operations(copy.deepcopy(first), features)
    exact_network, exact_loss = copy.deepcopy(first).double(), copy.deepcopy(first_loss).double()
    exact = exact_loss(exact_network(features.double()), batch).total.item()
    print(
        f"width {options.width}, {options.pdfs} pdfs, batch {options.batch} × {FRAMES} frames, {options.threads} thread(s), "
    )
    print(f"{arithmetic / options.batch / 1e9:.2f} G operations per chunk and step\n")
    print(
        "| step | allocator | chunks/s (wall) | chunks per CPU s | G op per CPU s | matrix rate | share | loss error |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for kept in (False, True):
        if kept and not keep_freed_memory():
            continue
        for name, dtype in DTYPES.items():
            network, loss = copy.deepcopy(first), copy.deepcopy(first_loss)
            optimiser = torch.optim.AdamW([*network.parameters(), *loss.parameters()], lr=1e-3)
            error = abs(step(network, loss, batch, optimiser, name == "bf16") / exact - 1)
            rate = matrix_rate(dtype)
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(options.steps):
                step(network, loss, batch, optimiser, name == "bf16")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            chunks, done = options.batch * options.steps, arithmetic * options.steps
            print(
                f"| {name} | {'kept' if kept else 'glibc default'} | {chunks / wall:.1f} | {chunks / cpu:.1f} "
                f"| {done / cpu / 1e9:.0f} | {rate / 1e9:.0f} | {done / cpu / rate:.0%} | {error:.1e} |"
            )


if __name__ == "__main__":
    main()
