"""Time whole models against each other, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from graphopt.calibration.task import Feed
from graphopt.errors import MeasureError
from graphopt.measure.feeds import candidates, first_that_runs
from graphopt.pipeline.report import RaceRecord
from graphopt.runtime.frames import Array
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.turns import TWIN, Contender, Stand, Timing, take_turns

__all__ = ["cores", "find_feed", "race", "records"]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_feed(path: Path, task: str, seed: int, custom_ops: Sequence[str]) -> Feed:
    """Return the task's first feed, or a drawn one that the model runs.

    Raises `TaskError` if the task's data does not fit the model, `MeasureError` if the model cannot be run.
    """
    with Stand(Contender("original", path, options=_options(1, custom_ops))) as stand:
        try:
            stand.open()
        except (RequestError, WorkerDied) as error:
            raise MeasureError("the model does not run here, so nothing can be timed", where=error.what) from error

        def attempt(group: tuple[Feed, ...]) -> dict[str, Array]:
            try:
                return stand.outputs(group[0])
            except WorkerDied:
                stand.open()
                raise

        return first_that_runs(candidates(path, task, 1, seed, custom_ops), attempt)[1][0]


def _options(threads: int, custom_ops: Sequence[str]) -> dict[str, object]:
    return {"threads": threads, "custom_ops": [str(Path(path).resolve()) for path in custom_ops]}


def race(contenders: Sequence[Contender], feed: Feed, budget_s: float, seed: int = 0) -> Timing:
    """Time contenders in turns, with the first, the base of all ratios, a second time; those that fail are left out.

    Raises `MeasureError` if the first does not run.
    """
    first = contenders[0].label
    with ExitStack() as stack:
        stands: dict[str, Stand] = {}
        for one in contenders:
            stand = stack.enter_context(Stand(one))
            if _starts(stand, feed):
                stands[one.label] = stand
        twin = stack.enter_context(Stand(contenders[0]))
        if first not in stands or not _starts(twin, feed):
            raise MeasureError(f"{first} does not run here, so nothing can be timed")
        try:
            return take_turns({**stands, TWIN: twin}, budget_s=budget_s, seed=seed)
        except (RequestError, WorkerDied) as error:
            raise MeasureError("a model fails while it is timed", where=error.what) from error


def _starts(stand: Stand, feed: Feed) -> bool:
    try:
        stand.open()
        stand.feed(feed)
        stand.first()
    except (RequestError, WorkerDied):
        return False
    return True


def records(timing: Timing, base: str, threads: int) -> list[RaceRecord]:
    """Return what a race found, the base against itself first."""
    found = {base: timing.noise, **timing.ratios}
    return [RaceRecord(name, base, ratio.median, ratio.low, ratio.high, threads) for name, ratio in found.items()]
