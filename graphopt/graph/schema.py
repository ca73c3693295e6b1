"""Look up what the ONNX standard says of an operator."""

from __future__ import annotations

from functools import cache
from typing import Any

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Node, subgraphs

__all__ = ["RANDOM_OPERATORS", "attribute", "default_of", "is_deterministic", "schema_of", "since_version"]

RANDOM_OPERATORS = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Operators of ai.onnx whose result differs from run to run."""


@cache
def schema_of(domain: str, op_type: str, version: int) -> Any:
    """Return the standard's schema in force at `version`; None if there is none."""
    from onnx import defs

    try:
        return defs.get_schema(op_type, version, domain)
    except defs.SchemaError:
        return None


@cache
def _defaults(domain: str, op_type: str, version: int) -> dict[str, Any]:
    from onnx import AttributeProto, helper

    schema = schema_of(domain, op_type, version)
    if schema is None:
        return {}
    found: dict[str, Any] = {}
    for name, attr in schema.attributes.items():
        default = attr.default_value
        if default.type != AttributeProto.UNDEFINED:
            value = helper.get_attribute_value(default)
            found[name] = value.decode() if isinstance(value, bytes) else value
    return found


def default_of(op_type: str, name: str, version: int) -> Any:
    """Return what an attribute of an ai.onnx operator is where it is left out; None if the standard names no value."""
    return _defaults("", op_type, version).get(name)


def since_version(domain: str, op_type: str, version: int) -> int | None:
    """Return the version that introduced the operator's form in force at `version`; None if there is none."""
    schema = schema_of(domain, op_type, version)
    return None if schema is None else int(schema.since_version)


def attribute(node: Node, name: str, version: int) -> Any:
    """Return the value of an attribute, or the standard's default at opset `version`, or None.

    A reference to a function's attribute gives None: its value differs from call to call.
    """
    attr = node.attributes.get(name)
    if attr is None:
        return _defaults(node.domain, node.op_type, version).get(name)
    if attr.is_ref():
        return None
    return list(attr.value) if isinstance(attr.value, tuple) else attr.value


def is_deterministic(node: Node) -> bool:
    """Tell whether equal inputs always give equal results, nested graphs included.

    False for random operators, for training mode (Dropout draws, BatchNormalization keeps statistics), and for every
    operator outside the standard's domains, of which nothing is known.
    """
    todo = [node]
    while todo:
        node = todo.pop()
        if node.domain not in {"", "ai.onnx.ml", "com.microsoft"} or node.op_type in RANDOM_OPERATORS:
            return False
        if node.op_type == "Dropout" and (len(node.inputs) > 2 or "is_test" in node.attributes):
            return False
        if node.op_type == "BatchNormalization" and "training_mode" in node.attributes:
            return False
        todo.extend(inner for graph in subgraphs(node) for inner in graph)
    return True


def has_reference(node: Node) -> bool:
    """Tell whether an attribute of `node` refers to an attribute of the enclosing function."""
    return any(attr.type != ir.AttributeType.GRAPH and attr.is_ref() for attr in node.attributes.values())
