"""Independent runs side by side, one single-threaded process per core: nothing waits at a barrier for the slower thread."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from typing import Any, TypeVar

import rich
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

ResultT = TypeVar("ResultT")
Report = Callable[[int, int], None]
"""(steps done, steps in all): how long work tells how far it is."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_reports: Any = None  # the queue to the parent, in a worker


def run_jobs(
    jobs: Iterable[tuple[str, Callable[..., ResultT], tuple[Any, ...]]],
    num_jobs: int,
    finished: Callable[[str, ResultT], None],
) -> None:
    """Run `function(*arguments, report=…)` for every (label, function, arguments); `finished(label, result)` as they end.

    `report(step, total)` moves the job's bar. The first error stops what has not begun and is raised here; whatever
    is finished is on disk, so that the next call skips it.
    """
    with shielded():
        manager = get_context("spawn").Manager()
    with manager, _bars() as bars:
        reports = manager.Queue()
        others = active_children()
        pool = process_pool(num_jobs, _start, reports)
        pending = {pool.submit(_run, label, function, arguments): label for label, function, arguments in jobs}
        overall = bars.add_task("all", total=len(pending)) if len(pending) > 1 else None
        rows: dict[str, TaskID] = {}
        try:
            while pending:
                ended, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                _show(reports, bars, rows)
                for future in ended:
                    label = pending.pop(future)
                    finished(label, future.result())
                    if label in rows:
                        bars.remove_task(rows.pop(label))
                    if overall is not None:
                        bars.advance(overall)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(active_children()) - set(others):
                process.terminate()
            raise
        pool.shutdown()


def _run(label: str, function: Callable[..., ResultT], arguments: tuple[Any, ...]) -> ResultT:
    def report(step: int, total: int) -> None:
        _reports.put((label, step, total))

    return function(*arguments, report=report)


def _start(reports: Any) -> None:
    """Before anything of torch or numba is imported in the worker."""
    global _reports
    _reports = reports
    one_thread()


def one_thread() -> None:
    """In a worker process, before numba or torch are imported in it."""
    quiet_worker()
    os.environ.update(_ONE_THREAD)


@contextmanager
def single_threaded_children() -> Iterator[None]:
    """For processes started here, whose first import may be of a user's script that imports numpy, which looks but once."""
    before = {variable: os.environ.get(variable) for variable in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


def process_pool(num_jobs: int, initializer: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """A pool whose workers are started and will never see Ctrl-C, which is for the parent to act on."""
    # spawn: forking after numba or torch have started threads can hang
    pool = ProcessPoolExecutor(num_jobs, get_context("spawn"), initializer, arguments)
    with shielded():
        pool.submit(os.getpid)  # the first task starts the workers
    return pool


@contextmanager
def shielded() -> Iterator[None]:
    """Processes started here ignore Ctrl-C from their first instruction on, before any code of ours runs in them."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def quiet_worker() -> None:
    """In a worker process: bars and Ctrl-C belong to the parent, and without the parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rich.reconfigure(quiet=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers; left alone they would write where the next run writes."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def bar(label: str) -> Iterator[Report]:
    """A progress bar of its own, for a stage that is run alone."""
    with _bars() as bars:
        task = bars.add_task(label, total=None)
        yield lambda step, total: bars.update(task, completed=step, total=total)


def _show(reports: Any, bars: Progress, rows: dict[str, TaskID]) -> None:
    while True:
        try:
            label, step, total = reports.get_nowait()
        except queue.Empty:
            return
        if label not in rows:
            rows[label] = bars.add_task(label, total=total)
        bars.update(rows[label], completed=step, total=total)


def _bars() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, transient=True)
