"""Look up which element types the ONNX standard allows for the operands of an operator."""

from __future__ import annotations

from functools import cache
from typing import Any

from graphopt.graph.model import DataType, Node
from graphopt.graph.schema import schema_of

__all__ = ["inputs_taking", "outputs_following"]


@cache
def _parameters(domain: str, op_type: str, opset: int) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """Return for each formal input and output: its type parameter, the tensors allowed, and whether it repeats."""
    schema = schema_of(domain, op_type, opset)
    if schema is None:
        return None
    allowed = {each.type_param_str: frozenset(each.allowed_type_strs) for each in schema.type_constraints}
    inputs, outputs = (
        tuple((each.type_str, allowed.get(each.type_str, frozenset({each.type_str}))) for each in formal)
        for formal in (schema.inputs, schema.outputs)
    )
    return inputs, outputs


def inputs_taking(node: Node, dtype: DataType, opset: int) -> dict[int, str]:
    """Map the index of each input of `node` that may be a tensor of `dtype` to its type parameter.

    Inputs of one parameter have one type. Empty for an operator that the standard does not know.
    """
    found = _parameters(_domain(node), node.op_type, opset)
    if found is None:
        return {}
    name = f"tensor({dtype.name.lower()})"
    formal = {at: _formal(found[0], at) for at in range(len(node.inputs))}
    return {at: each[0] for at, each in formal.items() if each is not None and name in each[1]}


def outputs_following(node: Node, parameters: set[str], opset: int) -> list[int]:
    """List the indices of the outputs of `node` whose type is that of the inputs of one of these type parameters."""
    found = _parameters(_domain(node), node.op_type, opset)
    if found is None:
        return []
    formal = [_formal(found[1], at) for at in range(len(node.outputs))]
    return [at for at, each in enumerate(formal) if each is not None and each[0] in parameters]


def _domain(node: Node) -> str:
    return "" if node.domain == "ai.onnx" else node.domain


def _formal(formal: tuple[Any, ...], at: int) -> Any:
    """Return the formal parameter of an actual one; the last one takes all that are left."""
    return formal[min(at, len(formal) - 1)] if formal else None
