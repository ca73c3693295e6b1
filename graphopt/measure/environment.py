"""Describe what a measurement depends on, so that results of different environments are not compared unawares."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from graphopt.runtime.machine import machine

__all__ = ["UNAVAILABLE", "differences", "environment", "environment_hash", "load_average"]

UNAVAILABLE = "unavailable"
LOAD_BEFORE, LOAD_AFTER = "load before", "load after"
_PASSING = frozenset({LOAD_BEFORE, LOAD_AFTER})
_RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-ep-webgpu",
    "openvino",
    "tensorrt-rtx-cu12",
    "numpy",
)
_VARIABLES = (
    "OMP_",
    "ORT_",
    "KMP_",
    "MKL_",
    "TBB_",
    "OPENBLAS_",
    "OV_",
    "OPENVINO_",
    "CUDA_",
    "GLIBC_TUNABLES",
    "MALLOC_",
    "LD_PRELOAD",
    "VK_",
)
_SYSTEM = Path("/sys")
_CONTROL = Path("/sys/fs/cgroup")


def environment(before: str = "", after: str = "") -> dict[str, str]:
    """Return machine and software, by name; "unavailable" where something cannot be read.

    It names no host, user or folder. `before` and `after` are the load averages around a measurement.
    """
    cpu = _SYSTEM / "devices/system/cpu"
    passing = {LOAD_BEFORE: before or UNAVAILABLE, LOAD_AFTER: after or UNAVAILABLE}
    return {
        **machine(),
        "operating system": _distribution(),
        "caches": _caches(cpu / "cpu0/cache"),
        "quota of cores": _quota(_CONTROL / "cpu.max"),
        "governor": _line(cpu / "cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(cpu),
        "hypervisor": _hypervisor(),
        "huge pages": _line(_SYSTEM / "kernel/mm/transparent_hugepage/enabled"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "c library": " ".join(platform.libc_ver()).strip() or UNAVAILABLE,
        **{name: _version(name) for name in _RUNTIMES},
        "variables": _variables(os.environ),
        **passing,
    }


def environment_hash(found: Mapping[str, str]) -> str:
    """Return a short hash of what lasts of an environment; equal ones may be compared."""
    lasting = {key: value for key, value in found.items() if key not in _PASSING}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:16]


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Say in one line each how two environments differ."""
    names = [name for name in {**one, **other} if name not in _PASSING]
    pairs = [(name, one.get(name, UNAVAILABLE), other.get(name, UNAVAILABLE)) for name in names]
    return [f"{name}: {before}, then {after}" for name, before, after in pairs if before != after]


def load_average() -> str:
    """Return the load averages over 1, 5 and 15 minutes."""
    if not hasattr(os, "getloadavg"):
        return UNAVAILABLE
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or UNAVAILABLE
    except OSError:
        return UNAVAILABLE


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", UNAVAILABLE)
    except OSError:
        return platform.version() if platform.system() in {"Darwin", "Windows"} else UNAVAILABLE


def _caches(folder: Path) -> str:
    """List the first core's caches, such as `L1 data 32K`."""
    found = []
    for index in sorted(folder.glob("index*")):
        level, kind, size = (_line(index / name) for name in ("level", "type", "size"))
        found.append(f"L{level} {size}" if kind == "Unified" else f"L{level} {kind.lower()} {size}")
    return ", ".join(found) or UNAVAILABLE


def _quota(path: Path) -> str:
    """Read how many cores the control group may use: "none" if all."""
    quota, _, period = _line(path).partition(" ")
    if quota == "max":
        return "none"
    return f"{int(quota) / int(period):g}" if quota.isdigit() and period.isdigit() else UNAVAILABLE


def _turbo(cpu: Path) -> str:
    if (found := _line(cpu / "cpufreq/boost")) != UNAVAILABLE:
        return {"0": "off", "1": "on"}.get(found, UNAVAILABLE)
    return {"0": "on", "1": "off"}.get(_line(cpu / "intel_pstate/no_turbo"), UNAVAILABLE)


def _hypervisor() -> str:
    """Say whether this is a virtual machine, and whose."""
    flags = next((text for text in _line(Path("/proc/cpuinfo")).splitlines() if text.startswith("flags")), "")
    if not flags:
        return UNAVAILABLE
    if "hypervisor" not in flags.split():
        return "none"
    maker = _line(_SYSTEM / "class/dmi/id/sys_vendor")
    return "yes" if maker == UNAVAILABLE else maker


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _variables(given: Mapping[str, str]) -> str:
    """List the variables that change how a runtime works; what could name a folder or a user is hashed."""
    found = {name: given[name] for name in sorted(given) if name.startswith(_VARIABLES)}
    return ", ".join(f"{name}={_discreet(value)}" for name, value in found.items()) or "none"


def _discreet(value: str) -> str:
    if "/" not in value and "\\" not in value:
        return value
    return f"(sha256 {hashlib.sha256(value.encode('utf-8', 'surrogateescape')).hexdigest()[:8]})"
