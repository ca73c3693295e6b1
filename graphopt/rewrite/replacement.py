"""Expand the text of a replacement into nodes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from graphopt.errors import PipelineError
from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.rewrite.pattern import Bind, Literal, NodePattern, Pattern, parse
from graphopt.rewrite.rule import Match

__all__ = ["expand"]


@cache
def _parsed(text: str) -> tuple[NodePattern | Bind, ...]:
    return parse(text)


def expand(text: str, builder: Builder, match: Match) -> Value | None:
    """Build what a replacement's text says and return its root value.

    A number becomes a scalar constant of the root's element type; None if that type is unknown.
    """
    roots = _parsed(text)
    if len(roots) != 1:
        raise PipelineError("a replacement has one root", where=text, advice="use a function instead")
    if _has_number(roots[0]) and match.facts.dtype(match.result) is None:
        return None
    built: Value | None = _build(roots[0], builder, match, {})
    return built


def _has_number(pattern: Pattern) -> bool:
    if isinstance(pattern, NodePattern):
        return any(_has_number(inner) for inner in pattern.inputs)
    return isinstance(pattern, Literal) and pattern.number is not None


def _build(pattern: Pattern, builder: Builder, match: Match, made: dict[Any, Any]) -> Any:
    if isinstance(pattern, Bind):
        return match.get(pattern.name)
    if isinstance(pattern, Literal):
        return None if pattern.number is None else _number(pattern.number, builder, match)
    key = (pattern.ops, pattern.outputs, id(pattern.inputs))
    if key not in made:
        made[key] = _node(pattern, builder, match, made)
    outputs = made[key]
    return outputs[pattern.output] if isinstance(outputs, tuple) else outputs


def _node(pattern: NodePattern, builder: Builder, match: Match, made: dict[Any, Any]) -> Any:
    inputs: list[Any] = []
    for operand in pattern.inputs:
        value = _build(operand, builder, match, made)
        if isinstance(operand, Bind) and operand.rest:
            inputs.extend(value)
        else:
            inputs.append(value)
    attrs = {name: match.get(word) if kind == "bind" else word for name, (kind, word) in pattern.attrs}
    domain, op_type = pattern.ops[0]
    return builder.op(op_type, *inputs, domain=domain, outputs=len(pattern.outputs), **attrs)


def _number(number: float, builder: Builder, match: Match) -> Value:
    dtype = match.facts.dtype(match.result)
    return builder.constant(np.asarray(number, dtype=dtype.numpy() if dtype is not None else np.float32))
