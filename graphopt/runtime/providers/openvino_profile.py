"""Read the time of every executed node from OpenVINO's own counters."""

from __future__ import annotations

import statistics
from typing import Any

from graphopt.runtime.providers.interface import Kernel

__all__ = ["kernels_of"]

_WARM_UPS = 2


def kernels_of(model: Any, request: Any, runs: int) -> list[Kernel]:
    """Run a request of a model that was compiled with PERF_COUNT, and return what was executed, in order.

    Each kernel tells in `nodes` the layers of the model that OpenVINO says it stands for, in `attributes` the kind of
    its implementation.
    """
    for _ in range(_WARM_UPS):
        request.infer()
    seconds: dict[str, list[float]] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for _ in range(runs):
        request.infer()
        for info in request.get_profiling_info():
            if str(info.status).endswith("EXECUTED"):
                seconds.setdefault(info.node_name, []).append(info.real_time.total_seconds())
                kinds[info.node_name] = (info.node_type, info.exec_type)
    layers = _layers(model)
    return [
        Kernel(
            name=name,
            operator=kinds[name][0],
            provider="openvino",
            # A node that is left out in some runs took no time in them.
            seconds=statistics.median([*taken, *[0.0] * (runs - len(taken))]),
            nodes=layers.get(name, ()),
            domain="openvino",
            attributes={"implementation": kinds[name][1]},
        )
        for name, taken in seconds.items()
    ]


def _layers(model: Any) -> dict[str, tuple[str, ...]]:
    """Return for each executed node the names of the layers it was made of, the last being its result."""
    found = {}
    for node in model.get_runtime_model().get_ordered_ops():
        told = node.get_rt_info()
        if "originalLayersNames" in told:
            value = told["originalLayersNames"]
            text = str(getattr(value, "value", value))
            found[node.get_friendly_name()] = tuple(name for name in text.split(",") if name)
    return found
