"""The processes that train together: one, or as many as torchrun started. Placement, DDP and start-up are accelerate's."""

from __future__ import annotations

import atexit
import warnings
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from isogloss.nn.global_norm import convert

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Processes:
    """`num` processes, this one the `index`-th, on `device`. Every method but `place` is a no-op where there is one.

    torchrun's environment decides: gloo on CPU, nccl on GPU, one GPU a process. Collective methods must be called by all
    processes, in the same order.
    """

    def __init__(self) -> None:
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision="no",  # accelerate's autocast would make a float32 copy of the phoneme logits
            kwargs_handlers=[
                # buffers are equal everywhere already: batch norm and margins see the whole loss batch
                DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
            ],
        )
        self.num: int = self.accelerator.num_processes
        self.index: int = self.accelerator.process_index
        self.device: torch.device = self.accelerator.device
        atexit.register(_leave)

    @property
    def first(self) -> bool:
        """True in the one process that writes files and talks."""
        return self.index == 0

    def place(self, module: ModuleT) -> ModuleT:
        """`module` on the device, its batch norms over all processes. In place; for one process that is all."""
        return (convert(module) if self.num > 1 else module).to(self.device)

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module` as DDP: backward leaves the mean of all processes' gradients in each."""
        with warnings.catch_warnings():  # torch 2.13 has a new name for broadcast_buffers, which 2.4 does not know
            warnings.simplefilter("ignore", FutureWarning)
            return cast(nn.Module, self.accelerator.prepare(module))

    def apart(self, module: nn.Module) -> AbstractContextManager[None]:
        """Within, backward leaves each process its own gradients, to be added up with the next outside."""
        return cast(AbstractContextManager[None], self.accelerator.no_sync(module))

    def sum(self, tensor: Tensor) -> Tensor:
        """`tensor`, in place, summed over the processes; no gradient."""
        if self.num > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def differentiable_sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes; its gradient is the sum of theirs."""
        return cast(Tensor, _Sum.apply(tensor)) if self.num > 1 else tensor

    def from_first(self, value: Any) -> Any:
        """What the first process passed; the others may pass None."""
        return broadcast_object_list([value])[0] if self.num > 1 else value

    def wait(self) -> None:
        """Until all are here."""
        self.accelerator.wait_for_everyone()


def _leave() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total
