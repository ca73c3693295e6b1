"""Describe this machine and what can run here."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from graphopt.pipeline.report import versions
from graphopt.tables import Table

__all__ = ["machine", "machine_table"]


def machine() -> dict[str, str]:
    """Return processor, usable cores, memory, system and execution providers; "unavailable" where it cannot be read."""
    # onnxruntime would send usage data to its makers, and leave a file in the temporary folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "vector extensions": _extensions(),
        "execution providers": ", ".join(onnxruntime.get_available_providers()),
    }


def machine_table() -> Table:
    """Return versions and machine as one table."""
    rows = [*versions().items(), *machine().items()]
    return Table(("", "here"), tuple((name, text) for name, text in rows))


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
