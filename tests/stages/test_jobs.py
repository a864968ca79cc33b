import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isogloss.stages.jobs import run_jobs


def square(number, report):
    report(1, 2)
    return number * number, os.environ["OMP_NUM_THREADS"]


def fail(report):
    raise ZeroDivisionError("on purpose")


def test_every_job_is_run_on_one_thread_and_its_result_handed_over():
    results = {}
    run_jobs([(f"job {n}", square, (n,)) for n in range(5)], 2, results.__setitem__)
    assert results == {f"job {n}": (n * n, "1") for n in range(5)}


def test_the_first_error_is_raised():
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        run_jobs([("bad", fail, ())], 1, lambda label, result: None)


ORPHAN = """
import os, sys, time
sys.path.insert(0, {folder!r})
from isogloss.stages.jobs import run_jobs
from orphan_job import wait
if __name__ == "__main__":
    run_jobs([("wait", wait, ({pid_file!r},))], 1, lambda label, result: None)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "orphan_job.py").write_text(
        "import os, time\n\ndef wait(path, report):\n    open(path, 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    pid_file = tmp_path / "pid"
    (tmp_path / "main.py").write_text(ORPHAN.format(folder=str(tmp_path), pid_file=str(pid_file)))
    parent = subprocess.Popen([sys.executable, str(tmp_path / "main.py")])
    deadline = time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    worker = int(pid_file.read_text())
    parent.kill()
    parent.wait()
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{worker}/stat")
        if status.exists() and status.read_text().split()[2] == "Z":  # ended, and only waits for somebody to ask
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker outlived its parent")
