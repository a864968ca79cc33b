"""Run every benchmark and write bench/README.md: time and error side by side, with command, commit and machine.

python bench/run.py [--reference DIR]      DIR as in bench/frontend.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import date
from pathlib import Path

from isogloss.stages.report import commit, machine

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", help="folder of Kaldi's numbers; default the subset in tests/data")
    reference = ["--reference", given] if (given := parser.parse_args().reference) else []
    commands = {
        "Front end": ["frontend.py", *reference],
        "Training step, the paper's network": ["training.py"],
        "Training step, the vl16 recipe's network": [
            "training.py",
            "--width",
            "256",
            "--batch",
            "128",
            "--pdfs",
            "117",
        ],
        "Training data": ["loader.py"],
        "Training in two processes": ["ddp.py"],
        "Frame store": ["store.py"],
        "Phone recogniser": ["phones.py"],
        "Metrics": ["metrics.py"],
    }
    parts = [
        "# Benchmarks",
        f"Made by `python bench/run.py` (`make bench`) at commit {commit()} on {machine()}, {date.today()}.",
        "The machine is shared: compare within one table, not between runs.",
    ]
    for title, (script, *options) in commands.items():
        print(f"{title} …", flush=True)
        run = subprocess.run([sys.executable, HERE / script, *options], capture_output=True, text=True, check=True)
        shown = ["--reference DIR" if option == given else option for option in options if option != "--reference"]
        parts += [
            f"## {title}",
            f"`python bench/{script}{''.join(' ' + option for option in shown)}`",
            run.stdout.strip().replace("## ", "### "),
        ]
    (HERE / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"wrote {HERE / 'README.md'}")


if __name__ == "__main__":
    main()
