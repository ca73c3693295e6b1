"""View how two graphs differ."""

from __future__ import annotations

from collections.abc import Mapping

from graphopt.graph.facts import Facts
from graphopt.graph.interface import signature
from graphopt.graph.model import Model
from graphopt.graph.stats import stats
from graphopt.tables import Table

__all__ = ["difference"]

Row = tuple[str, str, str]


def difference(a: Model, b: Model) -> list[Table]:
    """Return tables of what differs in interface and metadata, in operators, and in nodes (told apart by name).

    A table without rows says that nothing does.
    """
    return [
        Table(("", "A", "B"), tuple(_interface(a, b)), "interface and metadata", key="interface"),
        Table(("operator", "A", "B"), tuple(_operators(a, b)), "operators", frozenset({1, 2}), "operators"),
        Table(("node", "A", "B"), tuple(_nodes(a, b)), "nodes", key="nodes"),
    ]


def _interface(a: Model, b: Model) -> list[Row]:
    rows: list[Row] = []
    left = {(kind, name): text for kind, name, text in signature(a)}
    right = {(kind, name): text for kind, name, text in signature(b)}
    pairs = [(" ".join(key), left.get(key, "-"), right.get(key, "-")) for key in left | right]
    pairs += _pairs("opset", a.ir.opset_imports, b.ir.opset_imports)
    pairs += _pairs("metadata", a.ir.metadata_props, b.ir.metadata_props)
    pairs.append(("IR version", str(a.ir.ir_version), str(b.ir.ir_version)))
    rows.extend(pair for pair in pairs if pair[1] != pair[2])
    order = [name for _, name, _ in signature(a)], [name for _, name, _ in signature(b)]
    if order[0] != order[1] and sorted(order[0]) == sorted(order[1]):
        rows.append(("order", ", ".join(order[0]), ", ".join(order[1])))
    return rows


def _pairs(kind: str, a: Mapping[str, object], b: Mapping[str, object]) -> list[Row]:
    return [(f"{kind} {key or 'ai.onnx'}", str(a.get(key, "-")), str(b.get(key, "-"))) for key in {**a, **b}]


def _operators(a: Model, b: Model) -> list[Row]:
    left, right = (stats(model, Facts(model)).operators for model in (a, b))
    names = sorted(left | right)
    return [
        (name, str(left.get(name, 0)), str(right.get(name, 0))) for name in names if left.get(name) != right.get(name)
    ]


def _nodes(a: Model, b: Model) -> list[Row]:
    def named(model: Model) -> dict[str, str]:
        found = {}
        for scope in model.scopes():
            for node in scope:
                inputs = ", ".join(value.name or "" if value else "" for value in node.inputs)
                found[node.name or node.outputs[0].name or ""] = f"{node.op_type}({inputs})"
        return found

    left, right = named(a), named(b)
    return [(key, left.get(key, "-"), right.get(key, "-")) for key in left | right if left.get(key) != right.get(key)]
