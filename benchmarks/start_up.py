"""Measure what starting costs: `graphopt --help` against an empty interpreter, in CPU seconds.

Exits with 1 if the median of `graphopt --help` is above its bound.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

ROUNDS = 11
BOUND_S = 0.25
COMMANDS = {
    "an empty interpreter": ("-c", "pass"),
    "import graphopt": ("-c", "import graphopt"),
    "graphopt --help": ("-m", "graphopt", "--help"),
}


def cpu_seconds(arguments: tuple[str, ...]) -> float:
    """Return user and system time of one run, children included."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> int:
    """Run all commands in turns and print medians and ranges."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, arguments in COMMANDS.items():
            times[name].append(cpu_seconds(arguments))
    for name, found in times.items():
        print(f"{name:22} {statistics.median(found):.3f} s ({min(found):.3f} to {max(found):.3f})")
    return int(statistics.median(times["graphopt --help"]) > BOUND_S)


if __name__ == "__main__":
    sys.exit(main())
