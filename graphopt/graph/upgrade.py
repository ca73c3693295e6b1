"""Raise the version of ai.onnx that a model imports, in place, where every operator's change is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphopt.graph.edit import add_initializer, make_attribute, make_tensor
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Model, Node
from graphopt.graph.names import Names
from graphopt.graph.schema import attribute, since_version
from graphopt.graph.scopes import walk

__all__ = ["LAST", "upgrade", "why_not_upgrade"]

FIRST, LAST = 11, 21
"""Versions between which what changed was read, operator by operator. What `_STEPS` does not name got types only."""

_EXPANDED = frozenset(
    {
        *("Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu", "Softplus", "Softsign"),
        "ThresholdedRelu",
    }
)
_LAST_EXPANDED = 18
_WITH_KERNEL = frozenset({DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16})
"""For other types onnxruntime 1.32 has no kernels of these; it takes the standard's expansion, which it then misses."""

_IR_VERSIONS = {12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}


@dataclass(frozen=True)
class _Site:
    node: Node
    opset: int
    facts: Facts
    names: Names | None = None

    def attr(self, name: str) -> Any:
        return attribute(self.node, name, self.opset)


@dataclass(frozen=True)
class _Step:
    """What a node needs to become the next form of its operator: `allowed` tells whether it can, `apply` does it."""

    allowed: Callable[[_Site], bool]
    apply: Callable[[_Site], None] = lambda _: None


def why_not_upgrade(model: Model, to: int, facts: Facts) -> str:
    """Say why the model can't import version `to`; empty if it can."""
    now = model.opset()
    if model.ir.functions:
        return "the model has local functions"
    if now < FIRST or to > LAST:
        return f"what changed between {now} and {to} is not known"
    for scope in walk(model):
        for node in scope.graph:
            reason = "" if node.domain else _why_not_node(_Site(node, now, facts), to)
            if reason:
                return reason
    return ""


def _why_not_node(site: _Site, to: int) -> str:
    node = site.node
    if since_version("", node.op_type, site.opset) is None or since_version("", node.op_type, to) is None:
        return f"{node.op_type} is not defined in both versions"
    if any(attr.is_ref() for attr in node.attributes.values()):
        return f"{node.op_type} takes an attribute from a function"
    if site.opset <= _LAST_EXPANDED < to and node.op_type in _EXPANDED:
        value = node.inputs[0] if node.inputs else None
        if value is None or site.facts.dtype(value) not in _WITH_KERNEL:
            return f"onnxruntime expands {node.op_type} of this type up to {_LAST_EXPANDED} only"
    for version in range(site.opset + 1, to + 1):
        step = _STEPS.get((version, node.op_type))
        if step is not None and not step.allowed(site):
            return f"{node.op_type} means something else from {version} on"
    return ""


def upgrade(model: Model, to: int, facts: Facts, names: Names) -> None:
    """Import version `to` and bring every node into its form; the model must have passed `why_not_upgrade`."""
    now = model.opset()
    for scope in list(walk(model)):
        for node in list(scope.graph):
            versions = () if node.domain else range(now + 1, to + 1)
            for version in versions:
                step = _STEPS.get((version, node.op_type))
                if step is not None:
                    step.apply(_Site(node, now, facts, names))
        if "" in scope.graph.opset_imports:
            scope.graph.opset_imports[""] = to
    model.ir.opset_imports[""] = to
    model.ir.ir_version = max(model.ir.ir_version, _IR_VERSIONS[to])


def _always(_: _Site) -> bool:
    return True


def _to_input(name: str, dtype: Any = np.int64) -> _Step:
    """Make the attribute the second input."""

    def apply(site: _Site) -> None:
        attr = site.node.attributes.pop(name, None)
        if attr is None or site.names is None or site.node.graph is None:
            return
        array = np.array(attr.value, dtype=dtype)
        hint = f"{site.node.outputs[0].name}/{name}"
        value = add_initializer(site.node.graph, make_tensor(array), site.names.fresh(hint))
        site.node.resize_inputs(2)
        site.node.replace_input_with(1, value)

    return _Step(_always, apply)


def _is_last_axis(site: _Site) -> bool:
    """Before 13 everything from the axis on was flattened; that is the same for the last one only."""
    value = site.node.inputs[0]
    rank = None if value is None else site.facts.rank(value)
    axis = site.attr("axis")
    return rank is not None and rank > 0 and axis is not None and int(axis) % rank == rank - 1


def _set_last_axis(site: _Site) -> None:
    site.node.attributes["axis"] = make_attribute("axis", -1)


def _count_parts(site: _Site) -> None:
    if len(site.node.inputs) < 2 or site.node.inputs[1] is None:
        site.node.attributes["num_outputs"] = make_attribute("num_outputs", len(site.node.outputs))


def _keep_half_pixel(site: _Site) -> None:
    name = "coordinate_transformation_mode"
    if name not in site.node.attributes:
        site.node.attributes[name] = make_attribute(name, "output_half_pixel")


_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}


def _rename_mode(site: _Site) -> None:
    mode = str(site.attr("mode") or "bilinear")
    site.node.attributes["mode"] = make_attribute("mode", _GRID_MODES.get(mode, mode))


def _lacks_attr(name: str, *values: Any) -> Callable[[_Site], bool]:
    return lambda site: site.attr(name) not in values


_REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"),
    "ReduceSumSquare",
)

_STEPS: dict[tuple[int, str], _Step] = {
    (12, "Dropout"): _to_input("ratio", np.float32),
    **{(13, op): _Step(_is_last_axis, _set_last_axis) for op in ("Softmax", "LogSoftmax", "Hardmax")},
    **{(13, op): _to_input("axes") for op in ("ReduceSum", "Squeeze", "Unsqueeze")},
    (13, "Split"): _to_input("split"),
    (13, "Resize"): _Step(_lacks_attr("coordinate_transformation_mode", "tf_half_pixel_for_nn")),
    (14, "BatchNormalization"): _Step(lambda site: len(site.node.outputs) == 1),
    (16, "RoiAlign"): _Step(_always, _keep_half_pixel),
    **{(18, op): _to_input("axes") for op in _REDUCTIONS},
    # An empty last part was allowed, but not computed from a count.
    (18, "Split"): _Step(lambda site: len(site.node.outputs) > 0, _count_parts),
    (19, "AveragePool"): _Step(lambda site: not site.attr("ceil_mode")),
    (20, "DFT"): _Step(lambda _: False),
    (20, "GridSample"): _Step(_always, _rename_mode),
    (21, "GroupNormalization"): _Step(lambda _: False),
}
