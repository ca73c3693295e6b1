"""Observe what rounding the values of a model to a narrower float type would cost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
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

__all__ = ["rounding_losses", "site_losses"]

Feeds = Sequence[Mapping[str, "Array"]]
Custom = Sequence[str | Path]
_TYPES = {"float16": DataType.FLOAT16, "bfloat16": DataType.BFLOAT16}
_MIN_OPSET = 13
"""Before it, the operators of the probe lack element types or take their operands otherwise."""
_SECONDS = 600.0


def rounding_losses(model: Model, to: str, feeds: Feeds, custom_ops: Custom = ()) -> dict[str, float]:
    """Return by name what rounding costs each float32 value of the main graph, at worst over `feeds`.

    That is the root mean square of the rounding error over that of the value; infinite if finite numbers overflow. NaN
    and infinities do not count. `to` is float16 or bfloat16. Empty if nothing can be observed: the model is of an old
    opset, or the runtime cannot run it.
    """

    def instrument(probe: _Probe) -> None:
        for value in probe.floats():
            probe.compare(value.name or "", value, probe.rounded(value))

    return _observe(model, to, feeds, custom_ops, instrument)


def site_losses(
    model: Model, to: str, feeds: Feeds, sites: Collection[str], custom_ops: Custom = ()
) -> dict[str, float]:
    """Return what it costs the results of each node, or of the readers of each initializer, named in `sites`.

    A node's operands and results are rounded, of an initializer's readers that operand alone; what other rounding did
    before does not count. Else as `rounding_losses`.
    """

    def instrument(probe: _Probe) -> None:
        nodes = {node.name: node for node in probe.graph if node.name}
        for site in sites:
            if site in nodes:
                probe.try_rounded(site, nodes[site], None)
            elif site in probe.graph.initializers:
                weight = probe.graph.initializers[site]
                for node, _ in list(weight.uses()):
                    if node.graph is probe.graph:
                        probe.try_rounded(site, node, weight)

    return _observe(model, to, feeds, custom_ops, instrument)


def _observe(
    model: Model, to: str, feeds: Feeds, custom_ops: Custom, instrument: Callable[[_Probe], None]
) -> dict[str, float]:
    if model.opset() < _MIN_OPSET or not feeds:
        return {}
    with tempfile.TemporaryDirectory(prefix="graphopt-") as folder, Worker() as worker:
        path = Path(folder) / "probe.onnx"
        save(model, path)
        probe = _Probe(load(path), _TYPES[to])
        instrument(probe)
        save(probe.finished(), path)
        try:
            return _run(worker, path, probe.names, feeds, custom_ops)
        except (RequestError, WorkerDied):
            return {}


def _run(worker: Worker, path: Path, names: Sequence[str], feeds: Feeds, custom_ops: Custom) -> dict[str, float]:
    worst: dict[str, float] = {}
    limits = Limits(memory_bytes=free_bytes(), wall_seconds=_SECONDS)
    libraries = [str(Path(library).resolve()) for library in custom_ops]
    worker.request("open", {"path": str(path), "threads": 2, "custom_ops": libraries, "pack": True}, (), limits)
    for feed in feeds:
        worker.request("feed", {"key": "feed", "names": list(feed)}, list(feed.values()), limits)
        worker.request("run", {"feed": "feed", "key": "probe"}, (), limits)
        sums = worker.request("fetch", {"key": "probe"}, (), limits)[1]
        for name, noise, signal in zip(names, sums[::2], sums[1::2], strict=True):
            worst[name] = max(worst.get(name, 0.0), _share(float(noise), float(signal)))
    return worst


def _share(noise: float, signal: float) -> float:
    if noise == 0:
        return 0.0
    return float(np.sqrt(noise / signal)) if np.isfinite(noise) and signal > 0 else float("inf")


class _Probe:
    """A copy of a model that returns sums of squares: of an error and of what it is an error of, for each name."""

    def __init__(self, model: Model, to: DataType) -> None:
        self.model, self.graph, self.to = model, model.graph, to
        self.names: list[str] = []
        self.facts = Facts(model)
        self._fresh = Names(model)
        self._found: list[Value] = []
        self._nodes: list[Node] = []
        self._zero = add_initializer(self.graph, make_tensor(np.zeros((), np.float32)), self._fresh.fresh("zero"))

    def floats(self) -> list[Value]:
        """List the float32 values of the main graph that are no constants."""
        values = [value for value in self.graph.inputs if not value.is_initializer()]
        values += [value for node in self.graph for value in node.outputs if value.name]
        return [value for value in values if self.is_float(value) and not self.facts.is_constant(value)]

    def is_float(self, value: Value) -> bool:
        return self.facts.dtype(value) == DataType.FLOAT

    def op(self, op_type: str, *inputs: Value, **attributes: Any) -> Value:
        attrs = [make_attribute(key, value) for key, value in attributes.items()]
        return self._add(Node("", op_type, list(inputs), attrs)).outputs[0]

    def _add(self, node: Node) -> Node:
        node.name = self._fresh.fresh(f"probe/{node.op_type}")
        for value in node.outputs:
            value.name = self._fresh.fresh(f"probe/{node.op_type}_value")
        self._nodes.append(node)
        return node

    def rounded(self, value: Value) -> Value:
        return self.op("Cast", self.op("Cast", value, to=self.to.value), to=DataType.FLOAT.value)

    def compare(self, name: str, value: Value, other: Value) -> None:
        """Have the difference of two values returned under a name."""
        rest = self.op("Sub", value, other)
        # An infinity stays one, and a NaN is none of ours.
        missing = self.op("IsNaN", rest)
        for each in (rest, value):
            self._found.append(self.op("ReduceSumSquare", self.op("Where", missing, self._zero, each), keepdims=0))
        self.names.append(name)

    def try_rounded(self, name: str, node: Node, only: Value | None) -> None:
        """Compare what a node gives with what it gives where its float operands, or `only` that one, are rounded."""
        picked = [value is not None and self.is_float(value) and only in {None, value} for value in node.inputs]
        operands = [
            self.rounded(value) if value is not None and pick else value
            for value, pick in zip(node.inputs, picked, strict=True)
        ]
        attrs = list(node.attributes.values())
        copy = self._add(Node(node.domain, node.op_type, operands, attrs, num_outputs=len(node.outputs)))
        for value, other in zip(node.outputs, copy.outputs, strict=True):
            if value.name and self.is_float(value):
                self.compare(name, value, self.rounded(other) if only is None else other)

    def finished(self) -> Model:
        """Return the model with what was added, which returns nothing else any more."""
        self.graph.extend(self._nodes)
        self.graph.outputs.clear()
        for value in self._found:
            value.dtype = DataType.FLOAT
            self.graph.outputs.append(value)
        return self.model
