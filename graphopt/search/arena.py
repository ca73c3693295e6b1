"""Serve duels of small models in a child process: all in one process, in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphopt.runtime.frames import Array
from graphopt.runtime.ratios import FEW_OPENINGS, estimate, flag
from graphopt.runtime.session import open_session, plain, runner

__all__ = ["Arena"]

Reply = tuple[dict[str, Any], list[Array]]
_TURN_SECONDS = 0.004
"""A turn takes about so long, or one inference: longer than the clock's noise, shorter than that of the machine."""
_FEWEST_ROUNDS = 4
_OPENINGS = 12
_TRIFLE = 0.004
"""Half width of an interval around 1 that is small enough to give up on a difference."""


class Arena:
    """Run models for their values, and time models against each other."""

    def ping(self, _: dict[str, Any], arrays: list[Array]) -> Reply:
        """Answer with what was sent."""
        return {}, arrays

    def values(self, request: dict[str, Any], arrays: list[Array]) -> Reply:
        """Run the model at `path` on a feed and return its outputs, all of which are arrays."""
        session = open_session(request["path"], optimize=True, custom_ops=request["custom_ops"])
        return {}, plain(session, dict(zip(request["names"], arrays, strict=True)), request["outputs"])

    def duel(self, request: dict[str, Any], arrays: list[Array]) -> Reply:
        """Time the models of `paths` on one feed for at most `seconds`; return those of each by opening and round.

        The last is the first again. All are opened anew several times, as where their memory lies makes a difference,
        until it is clear which of them are faster than the first. `errors` holds for each model the largest difference
        of its outputs to those of the first, relative to the largest magnitude.
        """
        feed = dict(zip(request["names"], arrays, strict=True))
        paths, seconds = request["paths"], request["seconds"]
        start = time.perf_counter()
        rows: list[Array] = []
        errors: list[float] = []
        while len(rows) < FEW_OPENINGS or (time.perf_counter() - start < seconds and not _is_clear(rows)):
            sessions = self._open(request, backwards=len(rows) % 2 == 1)
            feeds = [_part(feed, session) for session in sessions]
            errors = errors or _errors([plain(*each) for each in zip(sessions, feeds, strict=True)])
            runs = [runner(*each) for each in zip(sessions, feeds, strict=True)]
            end = time.perf_counter() + seconds / _OPENINGS
            rows.append(_rounds(runs, lambda end=end: time.perf_counter() >= end))  # type: ignore[misc]
            del sessions, runs
        return {"errors": errors[: len(paths)], "rounds": [len(row) for row in rows]}, [np.concatenate(rows)]

    def _open(self, request: dict[str, Any], *, backwards: bool) -> list[Any]:
        """Open all models, each second time in the reverse order."""
        gc.collect()
        opened = [
            open_session(
                path, threads=request["threads"], optimize=True, spare_memory=False, custom_ops=request["custom_ops"]
            )
            for path in (request["paths"][::-1] if backwards else request["paths"])
        ]
        return opened[::-1] if backwards else opened


def _is_clear(rows: list[Array]) -> bool:
    """Tell whether each model is faster or slower than the first beyond the noise, or as fast but for a trifle."""
    times = [[row[:, at].tolist() for row in rows] for at in range(rows[0].shape[1])]
    noise = estimate(times[-1], times[0])
    found = [flag(estimate(each, times[0]), noise) for each in times[1:-1]]
    return all(not ratio.no_difference or ratio.half_width < _TRIFLE for ratio in found)


def _part(feed: Mapping[str, Array], session: Any) -> dict[str, Array]:
    return {value.name: feed[value.name] for value in session.get_inputs()}


def _rounds(runs: list[Callable[[], Any]], over: Callable[[], bool]) -> Array:
    """Run rounds until time is `over`, every second one mirrored; return the seconds as [round, model]."""
    clock = time.perf_counter
    slowest = 1e-7
    for run in runs:
        run()
        begin = clock()
        run()
        slowest = max(slowest, clock() - begin)
    count = max(1, min(1000, int(_TURN_SECONDS / slowest)))
    rows: list[list[float]] = []
    order = list(range(len(runs)))
    while len(rows) < _FEWEST_ROUNDS or not over():
        row = [0.0] * len(runs)
        for at in order:
            run = runs[at]
            run()
            begin = clock()
            for _ in range(count):
                run()
            row[at] = (clock() - begin) / count
        rows.append(row)
        # Each of them comes first and last equally often, and is as often before as behind each other one.
        order = order[::-1] if len(rows) % 2 else order[1:] + order[:1]
    return np.array(rows)


def _errors(outputs: list[list[Any]]) -> list[float]:
    return [
        max((_error(one, other) for one, other in zip(outputs[0], each, strict=True)), default=0.0) for each in outputs
    ]


def _error(expected: Any, found: Any) -> float:
    """Return the largest difference relative to the largest finite magnitude; infinite where it cannot be told."""
    if not isinstance(expected, np.ndarray) or not isinstance(found, np.ndarray) or expected.shape != found.shape:
        return float("inf")
    if expected.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    one, other = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return float("inf")
    peak = np.abs(one[finite]).max(initial=0.0)
    distance = float(np.abs(one[finite] - other[finite]).max(initial=0.0))
    return distance / float(peak) if peak else distance
