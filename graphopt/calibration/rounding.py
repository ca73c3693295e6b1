"""Observe what rounding the values of a model to a narrower float type would cost them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphopt.graph.edit import add_initializer, make_attribute, make_tensor
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import DataType, Model, Node, Value
from graphopt.graph.names import Names
from graphopt.graph.save import save
from graphopt.runtime.limits import Limits, free_bytes
from graphopt.runtime.process import RequestError, Worker, WorkerDied

if TYPE_CHECKING:
    from graphopt.runtime.frames import Array

__all__ = ["rounding_losses"]

_TYPES = {"float16": DataType.FLOAT16, "bfloat16": DataType.BFLOAT16}
_MIN_OPSET = 13
"""Before it, the operators of the probe lack element types or take their operands otherwise."""


def rounding_losses(
    model: Model, to: str, feeds: Sequence[Mapping[str, Array]], *, threads: int = 2, seconds: float = 600.0
) -> dict[str, float]:
    """Return by name what rounding costs each float32 value of the main graph, at worst over `feeds`.

    That is the root mean square of the rounding error over that of the value; infinite if finite numbers overflow. NaN
    and infinities do not count. `to` is float16 or bfloat16. Empty if nothing can be observed: the model is of an old
    opset, or the runtime cannot run it.
    """
    if model.opset() < _MIN_OPSET or not feeds:
        return {}
    worst: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="graphopt-") as folder, Worker() as worker:
        path = Path(folder) / "probe.onnx"
        save(model, path)
        probe = load(path)
        names = _instrument(probe, _TYPES[to])
        save(probe, path)
        limits = Limits(memory_bytes=free_bytes(), wall_seconds=seconds)
        try:
            worker.request("open", {"path": str(path), "threads": threads, "custom_ops": [], "pack": True}, (), limits)
            for feed in feeds:
                worker.request("feed", {"key": "feed", "names": list(feed)}, list(feed.values()), limits)
                worker.request("run", {"feed": "feed", "key": "probe"}, (), limits)
                sums = worker.request("fetch", {"key": "probe"}, (), limits)[1]
                for name, noise, signal in zip(names, sums[::2], sums[1::2], strict=True):
                    worst[name] = max(worst.get(name, 0.0), _share(float(noise), float(signal)))
        except (RequestError, WorkerDied):
            return {}
    return worst


def _share(noise: float, signal: float) -> float:
    if noise == 0:
        return 0.0
    return float(np.sqrt(noise / signal)) if np.isfinite(noise) and signal > 0 else float("inf")


def _instrument(model: Model, to: DataType) -> list[str]:
    """Let a model return, for each float32 value of its main graph, the squares of rounding error and value, summed."""
    graph, names = model.graph, Names(model)
    observed = _observed(model)
    zero = add_initializer(graph, make_tensor(np.zeros((), np.float32)), names.fresh("zero"))
    graph.outputs.clear()

    def op(op_type: str, *inputs: Value, **attributes: Any) -> Value:
        attrs = [make_attribute(key, value) for key, value in attributes.items()]
        node = Node("", op_type, list(inputs), attrs, name=names.fresh(f"probe/{op_type}"))
        node.outputs[0].name = names.fresh(f"probe/{op_type}_value")
        graph.append(node)
        return node.outputs[0]

    for value in observed:
        rest = op("Sub", value, op("Cast", op("Cast", value, to=to.value), to=DataType.FLOAT.value))
        # An infinity stays one, and a NaN is none of ours.
        missing = op("IsNaN", rest)
        for each in (rest, value):
            found = op("ReduceSumSquare", op("Where", missing, zero, each), keepdims=0)
            found.dtype = DataType.FLOAT
            graph.outputs.append(found)
    return [value.name or "" for value in observed]


def _observed(model: Model) -> list[Value]:
    facts = Facts(model)
    values = [value for value in model.graph.inputs if not value.is_initializer()]
    values += [value for node in model.graph for value in node.outputs if value.name]
    return [value for value in values if facts.dtype(value) == DataType.FLOAT and not facts.is_constant(value)]
