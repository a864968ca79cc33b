"""What a training step costs, beside ASV-Subtools' own module and the matrix rate measured between the same steps.

    python bench/training.py [--width 512] [--batch 512] [--pdfs 1507] [--threads 1,2] [--steps 2] [--rounds 2]

The step is the whole of it: forward (under autocast in bf16), language and phoneme cross-entropy, backward, clipping, AdamW.
All rows have the same weights, batch and losses. ASV-Subtools is asv_subtools_baseline.py as the toolkit trains on a CPU;
plain is our network with its layers called as they stand in torch (Conv1d, ReLU, BatchNorm1d, var, Linear, cross_entropy);
ours is the network as `isogloss train` runs it, freed memory kept.

Each row is made in fresh processes, in turns, so that a slower hour of a shared machine falls on all: in each, after a step
to warm up, or as many as it takes until no more memory is asked for where it is kept, the matrix rate and a step alternate.
Shown are medians; × is by ASV-Subtools. A step's arithmetic is
counted from our layers, which multiply no masked zeros (2 operations per multiply-add, backward = 2 × forward but for the
first layer's input); the share is of the operations per CPU second that the processor reaches in a product. Peak memory is
that of the process, torch itself included. The errors are relative, of the first step's loss and gradient, from those of the
plain network in float64, on a batch of 16. Where rounding turns one ReLU over, a gradient changes as if it were another
frame: compare it with that of the plain network in the same type.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

FRAMES, DIM, LANGUAGES, ALPHA = 100, 23, 10, 0.3
ERROR_BATCH = 16
WARM_UP, SETTLED = 8, 100  # steps at most; page faults of a step whose memory is all there
BASELINE = "ASV-Subtools"
ROWS = {BASELINE: "fp32", "plain, fp32": "fp32", "ours, fp32": "fp32", "plain, bf16": "bf16", "ours, bf16": "bf16"}


def matrix_rate(bf16: bool, seconds: float = 0.4) -> float:
    """Operations per CPU second, the better of a 2048³ matrix product and a three-tap convolution of 512 channels.

    Two kinds, because two libraries do them, and which is nearer to the machine's limit depends on the processor.
    """
    import torch

    dtype = torch.bfloat16 if bf16 else torch.float32
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    frames, taps = torch.randn(64, 512, 102).to(dtype), torch.randn(512, 512, 3).to(dtype)
    kinds: tuple[tuple[Callable[[], Any], float], ...] = (
        (lambda: left @ right, 2 * 2048**3),
        (lambda: torch.conv1d(frames, taps), 2 * 3 * 64 * 100 * 512 * 512),
    )
    rates = []
    for work, operations_each in kinds:
        work()
        count, begun = 0, time.process_time()
        while time.process_time() - begun < seconds:
            work()
            count += 1
        rates.append(operations_each * count / (time.process_time() - begun))
    return max(rates)


class Setting:
    """Networks of equal weights, ours and the baseline's, and a batch."""

    def __init__(self, width: int, pdfs: int, batch: int) -> None:
        import torch
        from asv_subtools_baseline import MultiTaskXvector

        torch.manual_seed(0)
        self.baseline = MultiTaskXvector(DIM, LANGUAGES, pdfs, width, round(1500 * width / 512))
        # utterances that differ: of equal ones, batch normalisation of the segments would blow up the rounding
        self.features = torch.randn(batch, FRAMES, DIM) + torch.randn(batch, 1, DIM)
        self.languages = torch.randint(LANGUAGES, (batch,))
        self.pdf_ids = torch.randint(pdfs, (batch, FRAMES))

    def ours(self) -> tuple[Any, Any]:
        """Network and loss."""
        from isogloss.losses import ConstantMargin, MultitaskLoss, Softmax
        from isogloss.nn.asv_subtools import from_asv_subtools

        imported = from_asv_subtools(self.baseline.state_dict())
        head = Softmax(imported.network.embedding_dim, LANGUAGES)
        head.load_state_dict({"affine.weight": imported.head_weight, "affine.bias": imported.head_bias})
        return imported.network.train(), MultitaskLoss(head, ConstantMargin(0.0), ALPHA)

    def total(self, row: str) -> tuple[Callable[[], Any], list[Any]]:
        """The loss of the batch as a function, and the parameters in it."""
        import torch

        from isogloss.types import Batch

        if row == BASELINE:
            baseline, x = self.baseline.train(), self.features.transpose(1, 2).contiguous()

            def total() -> torch.Tensor:
                language, phone = baseline(x, self.languages, self.pdf_ids)
                return language + ALPHA * phone

            return total, list(baseline.parameters())
        network, loss = self.ours()
        batch = Batch(self.features, self.languages, self.pdf_ids)

        def total() -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=ROWS[row] == "bf16"):
                if row.startswith("plain"):
                    embedding, logits = plain(network, batch.features)
                else:
                    encoded = network(batch.features)
            if row.startswith("plain"):
                return self.losses(loss.head, embedding.float(), logits.float())
            return loss(encoded, batch).total

        return total, [*network.parameters(), *loss.parameters()]

    def losses(self, head: Any, embedding: Any, logits: Any) -> Any:
        """L_c + α·L_p by torch's own cross-entropy."""
        import torch.nn.functional as F

        language = F.cross_entropy(head.affine(embedding), self.languages)
        return language + ALPHA * F.cross_entropy(logits.flatten(0, 1), self.pdf_ids.flatten())

    def exact(self) -> tuple[float, Any]:
        """Loss and gradient of the plain network in float64."""
        import torch

        network, loss = (module.double() for module in self.ours())
        total = self.losses(loss.head, *plain(network, self.features.double()))
        total.backward()
        return total.item(), torch.cat([p.grad.flatten() for p in [*network.parameters(), *loss.parameters()]])


def plain(network: Any, features: Any) -> tuple[Any, Any]:
    """Embedding and phoneme logits by the layers as they stand in torch: Conv1d, ReLU, BatchNorm1d, var, Linear."""
    import torch

    def layers(of: Any, x: torch.Tensor) -> torch.Tensor:
        for layer in of:
            x = layer.norm(torch.relu(layer.affine(x)))
        return x

    frames = layers(network.encoder.children(), features.transpose(1, 2))
    phone, language = network.phone, network.language
    wide = layers([language.tdnn5], frames)
    pooled = torch.cat([wide.mean(2), wide.var(2, correction=0).clamp_min(1e-10).sqrt()], dim=1).unsqueeze(2)
    logits = phone.output(layers([phone.tdnn5, phone.tdnn6, phone.tdnn7], frames).transpose(1, 2))
    return layers([language.tdnn6, language.tdnn7], pooled).squeeze(2), logits


def operations(network: Any, features: Any) -> float:
    """Operations of one training step, by the shapes its layers see."""
    import torch
    from torch import nn

    counted: list[float] = []

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        columns = output.shape[1] if isinstance(layer, nn.Conv1d) else output.shape[-1]
        forward = 2.0 * output.numel() / columns * layer.weight.numel()
        counted.append(forward * (2 if not counted else 3))  # nobody needs the gradient of the features

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv1d | nn.Linear)]
    with torch.no_grad():
        network.eval()(features)
    for hook in hooks:
        hook.remove()
    return sum(counted)


def errors(row: str, width: int, pdfs: int) -> dict[str, float]:
    """Of loss and gradient; the gradient's only where it is ours, for the baseline's has other parameters."""
    import torch

    setting = Setting(width, pdfs, ERROR_BATCH)
    exact, exact_gradient = setting.exact()
    total, parameters = setting.total(row)
    loss = total()
    loss.backward()
    found = {
        "operations": operations(setting.ours()[0], setting.features) / ERROR_BATCH,
        "loss": abs(loss.item() / exact - 1),
    }
    if row != BASELINE:
        gradient = torch.cat([p.grad.flatten() for p in parameters]).double()
        found["gradient"] = float((gradient - exact_gradient).norm() / exact_gradient.norm())
    return found


def measure(row: str, width: int, pdfs: int, batch: int, steps: int) -> dict[str, Any]:
    """Wall and CPU seconds of each step, the matrix rate beside it, and the peak memory of this process."""
    import torch

    from isogloss.training.allocator import keep_freed_memory

    kept = row.startswith("ours") and keep_freed_memory()
    total, parameters = Setting(width, pdfs, batch).total(row)
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.3)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        total().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimiser.step()

    # the optimiser's state is new in the first; memory that is kept still grows in the next few, which a run of thousands forgets
    for _ in range(WARM_UP if kept else 1):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        step()
        if resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < SETTLED:
            break
    walls, cpus, rates = [], [], []
    rate = matrix_rate(ROWS[row] == "bf16")
    for _ in range(steps):
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        after = matrix_rate(ROWS[row] == "bf16")
        rates.append((rate + after) / 2)
        rate = after
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall": walls, "cpu": cpus, "rate": rates, "peak": peak}


def in_a_fresh_process(threads: int, **job: Any) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 512), ("batch", 512), ("pdfs", 1507), ("steps", 2), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = json.loads(options.job)
        print(json.dumps((measure if "batch" in job else errors)(**job)))
        return
    shape = {"width": options.width, "pdfs": options.pdfs}
    error = {row: in_a_fresh_process(1, row=row, **shape) for row in ROWS}
    arithmetic = error["ours, fp32"]["operations"] * options.batch
    print(
        f"width {options.width}, {options.pdfs} pdfs, batch {options.batch} × {FRAMES} frames, "
        f"{options.steps * options.rounds} steps"
    )
    print(f"{arithmetic / options.batch / FRAMES / 1e6:.1f} M operations per frame and step\n")
    print(
        "| step | threads | frames per CPU s | × | frames per s (wall) | × | G op per CPU s | matrix rate | share | peak MB "
        "| loss error | gradient error |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for threads in map(int, options.threads.split(",")):
        rounds: dict[str, list[dict[str, Any]]] = {row: [] for row in ROWS}
        for _ in range(options.rounds):
            for row in ROWS:
                rounds[row].append(
                    in_a_fresh_process(threads, row=row, batch=options.batch, steps=options.steps, **shape)
                )
        cpu, wall = ({row: _median(made, key) for row, made in rounds.items()} for key in ("cpu", "wall"))
        for row, made in rounds.items():
            share = statistics.median(
                arithmetic / c / r for one in made for c, r in zip(one["cpu"], one["rate"], strict=True)
            )
            frames = options.batch * FRAMES
            gradient = f"{error[row]['gradient']:.1e}" if "gradient" in error[row] else "–"
            print(
                f"| {row} | {threads} | {frames / cpu[row]:,.0f} | {cpu[BASELINE] / cpu[row]:.2f} | {frames / wall[row]:,.0f} "
                f"| {wall[BASELINE] / wall[row]:.2f} | {arithmetic / cpu[row] / 1e9:.0f} | {_median(made, 'rate') / 1e9:.0f} "
                f"| {share:.0%} | {max(one['peak'] for one in made):,.0f} | {error[row]['loss']:.1e} | {gradient} |",
                flush=True,
            )


def _median(made: list[dict[str, Any]], key: str) -> float:
    return statistics.median(value for one in made for value in one[key])


if __name__ == "__main__":
    main()
