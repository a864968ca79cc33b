"""Who does the work: processes of this machine, or a Dask cluster. Both are `concurrent.futures.Executor`, as lhotse's are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from isogloss.stages.jobs import one_thread, process_pool
from isogloss.types import IsoglossError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
AHEAD = 4  # tasks under way for each worker: enough to keep it busy, few enough to hold their results in memory


@contextmanager
def local_processes(num_jobs: int | None = None) -> Iterator[Executor]:
    """`num_jobs` single-threaded processes; default one for each core."""
    pool = process_pool(num_jobs or os.cpu_count() or 1, one_thread)
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise IsoglossError(
                "a worker process was killed; is memory short? Run it again with fewer --jobs: it goes on where it was"
            ) from None
        raise
    pool.shutdown()


@contextmanager
def dask_cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor on the Dask scheduler at `address` (tcp://host:8786), and its number of cores.

    The workers need isogloss installed and the audio under the same paths.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise IsoglossError("--dask needs Dask, which is not installed: pip install 'distributed'") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise IsoglossError(
            f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`"
        ) from None
    try:
        num_cores = sum(client.ncores().values())
        if not num_cores:
            raise IsoglossError(f"the Dask scheduler at {address} has no workers; start some: `dask worker {address}`")
        yield client.get_executor(pure=False), num_cores
    finally:
        client.close()


def map_unordered(
    work: Callable[[TaskT], ResultT], tasks: Iterable[TaskT], executor: Executor, num_jobs: int
) -> Iterator[ResultT]:
    """`work(task)` of every task as it is done; no more than AHEAD × num_jobs are under way, so that memory stays the same."""
    remaining, pending = iter(tasks), set[Future[ResultT]]()
    try:
        while True:
            pending |= {executor.submit(work, task) for task in islice(remaining, AHEAD * num_jobs - len(pending))}
            if not pending:
                return
            ended, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
    finally:
        for future in pending:
            future.cancel()
