"""Describe this machine and what can run here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from graphopt.measure.energy import EnergyMeter
from graphopt.pipeline.report import versions
from graphopt.runtime.limits import Limits
from graphopt.runtime.machine import machine
from graphopt.runtime.process import RequestError, Worker, WorkerDied
from graphopt.runtime.providers import NAMES
from graphopt.tables import Table

__all__ = ["machine_table"]

USABLE = "usable"
_STATION = "graphopt.runtime.station:Station"
_LIMITS = Limits(wall_seconds=60)
_RUNTIMES = {
    "cpu": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "cuda": ("onnxruntime-gpu",),
    "tensorrt": ("onnxruntime-gpu",),
    "openvino": ("openvino",),
    "ort-openvino": ("onnxruntime-openvino",),
    "webgpu": ("onnxruntime-ep-webgpu",),
}
"""The packages that may bring a provider."""
_EXTRAS = {
    "check --target openvino": ("openvino", ("openvino",), "openvino"),
    "check --target tensorrt": ("tensorrt_rtx", ("tensorrt-rtx-cu12",), "tensorrt-check"),
    "--report FILE.html": ("jinja2", ("jinja2",), "report"),
}
"""What stands on a module: which, the packages that may bring it, and the extra that installs one."""


def machine_table() -> Table:
    """Return versions, machine, execution providers and what else may be installed as one table.

    Each provider is asked in its own process; of the rest it is only said whether it is there.
    """
    with ThreadPoolExecutor(len(NAMES)) as pool:
        providers = list(zip(NAMES, pool.map(_provider, NAMES), strict=True))
    rows = [*versions().items(), *machine().items(), *((f"--ep {name}", text) for name, text in providers)]
    rows += [(use, _installed(*needs)) for use, needs in _EXTRAS.items()]
    rows.append(("energy", EnergyMeter().source))
    return Table(("", "here"), tuple(rows))


def _installed(module: str, packages: tuple[str, ...], extra: str) -> str:
    """Say whether a module is installed, without loading it, or how to install it."""
    if find_spec(module) is None:
        return f"no: pip install 'graphopt[{extra}]'"
    numbers = [f"{package} {number}" for package in packages if (number := _version(package))]
    return f"installed: {', '.join(numbers) or module}"


def _provider(name: str) -> str:
    """Say whether a provider is usable, by which package, or why not."""
    if reason := _why_not(name):
        return f"no: {reason}"
    packages = ((package, _version(package)) for package in _RUNTIMES[name])
    return f"{USABLE}: {', '.join(f'{package} {number}' for package, number in packages if number)}"


def _why_not(name: str) -> str:
    with Worker(_STATION) as worker:
        try:
            return str(worker.request("why_not", {"ep": name}, limits=_LIMITS)[0]["reason"])
        except (RequestError, WorkerDied) as error:
            return error.what


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
