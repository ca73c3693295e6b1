"""Run the command line in forks of a process that has imported it, and stop each of them at another moment.

`python -m tests.system.driver SIGNAL COUNT SPAN ARGS...` starts `graphopt ARGS` COUNT times, sends each run SIGNAL
after another share of SPAN seconds (with `staged` for SPAN: from the moment on that something stands beside the
output), and prints one line of JSON for each run: how it ended, and the hash of the output then.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import graphopt.pipeline.optimize
from graphopt.cli import main as graphopt_main

STAGED_SPAN = 0.05
"""Seconds from the first file beside the output until the last moment to stop at."""


def start(argv: list[str], log: int) -> int:
    """Run the command line in a fork; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        # A shell may have started this in the background, where Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        graphopt_main(argv)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for_stage(child: int, folder: Path) -> None:
    """Return as soon as a hidden folder stands in `folder`, or the child has ended."""
    while not any(path.suffix == ".tmp" for path in folder.iterdir()):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return


def run(number: signal.Signals, wait: float | None, delay: float, argv: list[str]) -> dict[str, object]:
    """Stop one run after `delay` seconds; with `wait` None, counted from the first file beside the output."""
    output = Path(argv[argv.index("-o") + 1])
    with open(os.devnull, "w", encoding="ascii") as log:  # noqa: PTH123 - a descriptor is all it is for
        child = start(argv, log.fileno())
        if wait is None:
            wait_for_stage(child, output.parent)
        time.sleep(delay)
        os.kill(child, number)
        _, status = os.waitpid(child, 0)
    held = hashlib.sha256(output.read_bytes()).hexdigest() if output.exists() else ""
    return {"ended": os.waitstatus_to_exitcode(status), "sha256": held}


def main(name: str, count: int, span: str, argv: list[str]) -> None:
    """Stop the runs one after another, at rising delays."""
    wait = None if span == "staged" else 0.0
    longest = STAGED_SPAN if wait is None else float(span)
    for at in range(count):
        print(json.dumps(run(signal.Signals[name], wait, longest * (at + 0.5) / count, argv)), flush=True)  # noqa: T201


if __name__ == "__main__":
    assert graphopt.pipeline.optimize is not None
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
