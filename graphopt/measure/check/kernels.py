"""Look up in a list of onnxruntime's kernels whether one fits a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Node
from graphopt.graph.schema import since_version
from graphopt.measure.check.lists import read_list

__all__ = ["Kernels"]

_OPEN = 2147483647
_NAMES = {
    DataType.FLOAT: "float",
    DataType.DOUBLE: "double",
    DataType.FLOAT8E4M3FN: "float8e4m3fn",
    DataType.FLOAT8E5M2: "float8e5m2",
}


class Kernels:
    """A list of kernels.

    `widens` says that the runtime casts float16 to float for nodes whose kernels know only the latter.
    """

    def __init__(self, name: str, *, widens: bool = False) -> None:
        record = read_list(name)
        self.versions: Mapping[str, str] = record["versions"]
        self._types: list[list[str]] = record.get("types", [])
        self._kernels: Mapping[str, list[Any]] = record["kernels"]
        self._parameters: Mapping[str, Mapping[str, Any]] = record.get("parameters", {})
        self._functions: Mapping[str, list[int]] = record.get("functions", {})
        self._widens = widens

    def lacks(self, node: Node, facts: Facts) -> str:
        """Say why no kernel fits `node`; empty if one does, or if the runtime replaces the node by others."""
        domain = "" if node.domain == "ai.onnx" else node.domain
        key, opset = f"{domain}:{node.op_type}", facts.opset(node)
        forms = self._parameters.get(key, {})
        known = max((int(each) for each in forms if int(each) <= opset), default=opset)
        since = known if domain else since_version("", node.op_type, opset) or known
        if since in self._functions.get(key, ()):
            return ""
        kernels = self._kernels.get(key)
        if kernels is None:
            return "no kernel of that name"
        fitting = [kernel for kernel in kernels if _in_force(kernel, since)]
        if not fitting:
            return f"no kernel for its form of opset {since}"
        actual = dict(_bound_types(node, forms[str(since)], facts)) if str(since) in forms else {}
        if any(self._fits(kernel[2], actual) for kernel in fitting):
            return ""
        return f"no kernel for {', '.join(sorted(set(actual.values())))}"

    def _fits(self, constraints: Mapping[str, int], actual: Mapping[str, str]) -> bool:
        for name, index in constraints.items():
            kind, allowed = actual.get(name), self._types[index]
            widened = self._widens and kind == "float16" and "float" in allowed
            if kind is not None and kind not in allowed and not widened:
                return False
        return True


def _in_force(kernel: list[Any], since: int) -> bool:
    """Tell whether a kernel's versions cover a form; one without an end covers the form that it begins with only."""
    first, last = kernel[:2]
    return bool(first == since or (first < since <= last and last != _OPEN))


def _bound_types(node: Node, form: list[Any], facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the known element type of each parameter, under its own name and under that of its constraint."""
    for values, formal in ((node.inputs, form[0]), (node.outputs, form[1])):
        for at, value in enumerate(values):
            dtype = None if value is None or not formal else facts.dtype(value)
            if dtype is not None:
                name, constraint = formal[min(at, len(formal) - 1)]
                kind = _NAMES.get(dtype, dtype.name.lower())
                yield name, kind
                yield constraint, kind
