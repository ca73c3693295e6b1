"""Describe the machine that runs this."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["machine"]


def machine() -> dict[str, str]:
    """Return system, processor, usable cores, memory and vector extensions; "unavailable" where it cannot be read."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{_memory() / 2**30:.1f} GiB",
        "vector extensions": _extensions(),
    }


def _memory() -> int:
    if hasattr(os, "sysconf"):
        # psutil takes longer to import than all of this.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import psutil

    return int(psutil.virtual_memory().total)


def _cpuinfo(key: str) -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return ""
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or "unavailable"


def _extensions() -> str:
    flags = set(_cpuinfo("flags").split())
    known = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
    return ", ".join(flag for flag in known if flag in flags) or "unavailable"
