"""Time sessions in turns, inside the child."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from graphopt.runtime.frames import Array
from graphopt.runtime.session import open_session, runner

__all__ = ["take_turns"]

_BATCH_SECONDS = 0.05
_MAX_BATCH = 200
_WARM_UPS = 2


def take_turns(request: dict[str, Any], feed: Mapping[str, Array]) -> dict[str, Any]:
    """Open every model of `request["models"]` (label, path) and run them in rounds, in a seeded and mirrored order.

    Returns for each label the median seconds of an inference in each round. Stops after `rounds`, or when the next
    round would exceed `budget_seconds`, but not before three.
    """
    sessions = {
        label: open_session(
            path, threads=request["threads"], optimize=True, spare_memory=False, custom_ops=request["custom_ops"]
        )
        for label, path in request["models"]
    }
    runs = {label: runner(session, feed) for label, session in sessions.items()}
    start = time.perf_counter()
    one = max(_warm_up(run) for run in runs.values())
    count = max(1, min(_MAX_BATCH, int(_BATCH_SECONDS / max(one, 1e-6))))
    medians: dict[str, list[float]] = {label: [] for label in sessions}
    order = list(sessions)
    generator = random.Random(request["seed"])  # noqa: S311 - no secret
    for turn in range(request["rounds"]):
        begin = time.perf_counter()
        # ABBA: each second round mirrors the one before it, so that a drift cancels out.
        if turn % 2:
            order.reverse()
        else:
            generator.shuffle(order)
        for label in order:
            medians[label].append(_batch(runs[label], count))
        now = time.perf_counter()
        if turn >= 2 and now - start + (now - begin) > request["budget_seconds"]:
            break
    return {"medians": medians, "batch": count}


def _warm_up(run: Callable[[], Any]) -> float:
    seconds = 0.0
    for _ in range(_WARM_UPS):
        begin = time.perf_counter()
        run()
        seconds = time.perf_counter() - begin
    return seconds


def _batch(run: Callable[[], Any], count: int) -> float:
    seen = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        seen.append(time.perf_counter() - begin)
    return statistics.median(seen)
