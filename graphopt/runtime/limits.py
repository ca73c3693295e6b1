"""Limit what one request to the child process may use."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

__all__ = ["NO_LIMITS", "Limits", "free_bytes", "hush_core_dumps", "lift", "put"]


@dataclass(frozen=True)
class Limits:
    """Bounds of one request; None means no bound.

    `memory_bytes` counts from what the child uses before the request, `cpu_seconds` is the sum over its threads.
    """

    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    wall_seconds: float | None = None


NO_LIMITS = Limits()


def free_bytes() -> int:
    """Return nine tenths of the memory that the machine has free, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available * 0.9)


def _soften(kind: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (soft, hard))


def put(memory_bytes: int | None, cpu_seconds: float | None) -> None:
    """Set this process's soft limits; where the system has none, the parent watches instead."""
    if sys.platform == "win32":
        return
    import resource

    if memory_bytes is not None and sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - Path costs more than the read
            pages = int(file.read().split()[0])
        _soften(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)
    if cpu_seconds is not None:
        # The kernel counts whole seconds.
        _soften(resource.RLIMIT_CPU, math.ceil(time.process_time() + cpu_seconds))


def lift() -> None:
    """Raise this process's soft limits to the hard ones."""
    if sys.platform == "win32":
        return
    import resource

    for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (hard, hard))


def hush_core_dumps() -> None:
    """Keep a crash of this process from writing a core file."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
