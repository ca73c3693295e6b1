"""Run several inferences of one opened model at once, and time them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from graphopt.runtime.frames import Array

__all__ = ["run_closed", "run_open"]

Run = Callable[[], object]
_SPIN_SECONDS = 1e-3


def run_closed(runs: Sequence[Run], seconds: float) -> tuple[float, Array]:
    """Let each of `runs` run again and again for `seconds`, each in a thread of its own and at least once.

    Return the seconds from start to end and those of each inference.
    """
    clock = time.perf_counter
    begin = threading.Barrier(len(runs) + 1)

    def call(run: Run) -> list[float]:
        taken: list[float] = []
        begin.wait()
        end = clock() + seconds
        while not taken or clock() < end:
            start = clock()
            run()
            taken.append(clock() - start)
        return taken

    for run in runs:
        run()
    with ThreadPoolExecutor(len(runs)) as pool:
        callers = [pool.submit(call, run) for run in runs]
        begin.wait()
        start = clock()
        taken = [caller.result() for caller in callers]
        spent = clock() - start
    return spent, np.array(list(itertools.chain.from_iterable(taken)))


def run_open(runs: Sequence[Run], due: Array, seconds: float) -> tuple[float, Array, Array]:
    """Run one inference for each moment in `due` (seconds from the start, rising), by whichever of `runs` is free.

    None is begun after `seconds`. Return the seconds from start to end, the latency of each inference since it was due,
    and for each whether all were busy at that moment; both only of those that ran, the first ones.
    """
    clock = time.perf_counter
    latencies, waited = np.full(len(due), np.nan), np.zeros(len(due), bool)
    for run in runs:
        run()
    numbers = iter(range(len(due)))
    lock = threading.Lock()
    origin = clock() + 0.01

    def serve(run: Run) -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None or clock() > origin + seconds:
                return
            moment = origin + float(due[number])
            waited[number] = clock() > moment
            _until(moment)
            run()
            latencies[number] = clock() - moment

    with ThreadPoolExecutor(len(runs)) as pool:
        for server in [pool.submit(serve, run) for run in runs]:
            server.result()
    ran = ~np.isnan(latencies)
    return clock() - origin, latencies[ran], waited[ran]


def _until(moment: float) -> None:
    """Wait for a moment; the last millisecond in the shortest of naps, as longer ones end late."""
    while (left := moment - time.perf_counter()) > 0:
        # Even a nap of no time lets the other threads of this interpreter on.
        time.sleep(max(0.0, left - _SPIN_SECONDS))
