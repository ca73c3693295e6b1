"""Serve measurements of one model on one provider, in a child process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphopt.runtime.crowd import run_closed, run_open
from graphopt.runtime.frames import Array

if TYPE_CHECKING:
    from graphopt.runtime.providers.interface import Opened

__all__ = ["Station"]

Reply = tuple[dict[str, Any], list[Array]]
_WARM_UPS = 2
_LONG = 0.25
"""Seconds of an inference against which cold caches are nothing."""


class Station:
    """Hold one opened model between requests; results travel back only when asked for."""

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.feeds: dict[str, Mapping[str, Array]] = {}
        self.bound: dict[str, Callable[[], object]] = {}
        self.empty: int | None = None
        self.again: Callable[[], Opened] | None = None
        self.cores = _cores()
        self.long = False

    def ping(self, _: dict[str, Any], arrays: list[Array]) -> Reply:
        """Answer with the process id and what was sent."""
        return {"pid": os.getpid()}, arrays

    def why_not(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Say why a provider cannot be used here."""
        from graphopt.runtime.providers import provider
        from graphopt.runtime.providers.interface import RunOptions

        return {"reason": provider(request["ep"]).why_not(RunOptions(**request.get("options", {})))}, []

    def open(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Open a model for `callers` that run it at once; the peak of memory before it is what the runtime takes."""
        from graphopt.runtime.providers import provider
        from graphopt.runtime.providers.interface import NotUsable, Refused, RunOptions

        self.opened, self.bound = None, {}
        _trim()
        _pin(self.cores, request["options"]["threads"] * request.get("callers", 1))
        kind = provider(request["ep"])
        if reason := kind.why_not(RunOptions(**request["options"])):
            return {"not_usable": reason}, []
        # The runtime is imported by now, and the peak of what was opened before is not taken for that of the runtime.
        self.empty = empty = _peak_bytes() if self.empty is None else self.empty
        self.again = functools.partial(kind.open, request["path"], RunOptions(**request["options"]))
        begin = time.perf_counter()
        try:
            self.opened = self.again()
        except NotUsable as error:
            return {"not_usable": str(error), "refused": isinstance(error, Refused)}, []
        seconds = time.perf_counter() - begin
        opened = self.opened
        reply = {"seconds": seconds, "empty_bytes": empty, "chosen": opened.chosen, "software": opened.software}
        return {**reply, "inputs": opened.inputs, "outputs": opened.outputs, "placement": opened.placement()}, []

    def feed(self, request: dict[str, Any], arrays: list[Array]) -> Reply:
        """Keep a feed under a key."""
        self.bound.pop(request["key"], None)
        self.feeds[request["key"]] = dict(zip(request["names"], arrays, strict=True))
        return {}, []

    def first(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Time the first inference on a feed, and warm up with `warm_ups` more; two, or one long one, unless told."""
        run = self._run(request["key"])
        begin = time.perf_counter()
        run()
        first = time.perf_counter() - begin
        warm = first
        asked = request.get("warm_ups")
        for _again in range(_WARM_UPS if asked is None else asked):
            begin = time.perf_counter()
            run()
            warm = time.perf_counter() - begin
            if warm > _LONG and asked is None:
                break
        self.long = warm > _LONG
        return {"first": first, "warm": warm}, []

    def batch(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Time `count` inferences one by one; the seconds of each come back as one float64 array.

        One more runs before them, as others had the caches in between; unless it takes long, where that is little.
        """
        run, clock = self._run(request["key"]), time.perf_counter
        extra = 0 if self.long else 1
        for _again in range(extra):
            run()
        seconds = np.empty(request["count"])
        for index in range(request["count"]):
            begin = clock()
            run()
            seconds[index] = clock() - begin
        return {"extra": extra}, [seconds]

    def closed_load(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Let `callers` run at once for some `seconds`; the seconds of each inference come back as one array."""
        spent, taken = run_closed(self._crowd(request["key"], request["callers"]), request["seconds"])
        return {"seconds": spent}, [taken]

    def open_load(self, request: dict[str, Any], arrays: list[Array]) -> Reply:
        """Run one inference for each moment of an array; latencies and who had to wait come back.

        After `seconds` no more are begun; their latencies are missing.
        """
        runs = self._crowd(request["key"], request["servers"])
        spent, latencies, waited = run_open(runs, arrays[0], request["seconds"])
        return {"seconds": spent}, [latencies, waited]

    def outputs(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Run once and return the outputs; those that are no arrays are left out and named."""
        found = self._open.run(self.feeds[request["key"]])
        names = [name for name, _ in self._open.outputs]
        held = [(name, value) for name, value in zip(names, found, strict=True) if isinstance(value, np.ndarray)]
        left = [name for name, value in zip(names, found, strict=True) if not isinstance(value, np.ndarray)]
        return {"names": [name for name, _ in held], "left_out": left}, [value for _, value in held]

    def profile(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Return the time of every executed node over some `runs`, or why it is not known."""
        from graphopt.runtime.providers.interface import NotUsable

        try:
            kernels = self._open.profile(self.feeds[request["key"]], request["runs"])
        except NotUsable as error:
            return {"not_usable": str(error)}, []
        return {"kernels": [asdict(kernel) for kernel in kernels]}, []

    def memory(self, _: dict[str, Any], __: list[Array]) -> Reply:
        """Return the peak of resident memory so far."""
        return {"peak_bytes": _peak_bytes()}, []

    def _crowd(self, key: str, count: int) -> list[Callable[[], object]]:
        """Bind the model, or as many of it as it takes, for `count` callers at once."""
        self.bound = {}
        first = self._open
        others = [first if first.parallel or self.again is None else self.again() for _ in range(count - 1)]
        return [each.bind(self.feeds[key]) for each in (first, *others)]

    @property
    def _open(self) -> Opened:
        if self.opened is None:
            raise ValueError("no model is open")
        return self.opened

    def _run(self, key: str) -> Callable[[], object]:
        if key not in self.bound:
            self.bound = {key: self._open.bind(self.feeds[key])}
        return self.bound[key]


def _cores() -> list[int]:
    """List the cores that this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _pin(cores: list[int], threads: int) -> None:
    """Keep this process on as many of `cores` as it has threads, the last ones; the same for all, as cores differ."""
    if cores:
        os.sched_setaffinity(0, cores[-threads:])


def _trim() -> None:
    """Give free memory back to the system, so that a model opened next gets other pages."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _peak_bytes() -> int:
    """Return this process's own peak of resident memory; ru_maxrss would tell the parent's if that was larger."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    import psutil

    return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
