"""Eliminate, compose and sink transpositions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

UNARY = (
    "Relu | Sigmoid | Tanh | LeakyRelu | Elu | Selu | Celu | HardSigmoid | HardSwish | Mish | ThresholdedRelu"
    " | Softplus | Softsign | Gelu | Erf | Exp | Log | Sqrt | Abs | Neg | Reciprocal | Floor | Ceil | Round | Sign"
    " | Sin | Cos | Tan | Not | IsNaN | IsInf | Cast | Identity"
)
"""Operators on each element by itself, with one input."""
TINY_BYTES = 1024
"""A constant of this size may be copied rather than shared."""
BINARY = (
    "Add | Sub | Mul | Div | Pow | PRelu | And | Or | Xor | Equal | Greater | Less | GreaterOrEqual | LessOrEqual | Mod"
)


def permutation(node: Node, facts: Facts) -> list[int] | None:
    """Return the permutation of a `Transpose`; without the attribute the axes are reversed."""
    perm = attribute(node, "perm", facts.opset(node))
    rank = None if node.inputs[0] is None else facts.rank(node.inputs[0])
    if perm is not None:
        # A model that is wrong must not become one that runs.
        return [int(axis) for axis in perm] if rank in {None, len(perm)} else None
    if "perm" in node.attributes or rank is None:
        return None
    return list(reversed(range(rank)))


def _producer(value: Value | None) -> Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == "Transpose" and not node.domain else None


def _transposed(build: Builder, value: Value, perm: Sequence[int]) -> Value:
    """Return `value` transposed, itself if nothing moves."""
    if list(perm) == list(range(len(perm))):
        return value
    result: Value = build.op("Transpose", value, perm=list(perm))
    return result


@condition("no axis moves")
def _stays(match: Match) -> bool:
    perm = permutation(match.root, match.facts)
    return perm is not None and perm == sorted(perm)


@condition("both permutations are known")
def _both_known(match: Match) -> bool:
    inner = _producer(match.root.inputs[0])
    return None not in (permutation(match.root, match.facts), inner and permutation(inner, match.facts))


def _compose(build: Builder, match: Match) -> Value | None:
    inner = _producer(match.root.inputs[0])
    outer = permutation(match.root, match.facts)
    first = None if inner is None else permutation(inner, match.facts)
    if outer is None or first is None:
        return None
    return _transposed(build, match["x"], [first[axis] for axis in outer])


def _cancels(match: Match, inner: Node | None) -> list[int] | None:
    """Return what the transposes before and after come to, if they are known."""
    outer = permutation(match.root, match.facts)
    first = None if inner is None else permutation(inner, match.facts)
    return None if outer is None or first is None or len(first) != len(outer) else [first[axis] for axis in outer]


def _redo(build: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    """Build `node` anew on other inputs."""
    attributes: dict[str, Any] = dict(node.attributes)
    result: Value = build.op(node.op_type, *inputs, domain=node.domain, **attributes)
    return result


@condition("the permutations around are known")
def _around_unary(match: Match) -> bool:
    return _cancels(match, match["t"].producer()) is not None


def _sink_unary(build: Builder, match: Match) -> Value | None:
    perm = _cancels(match, match["t"].producer())
    middle = match["u"].producer()
    if perm is None or middle is None:
        return None
    return _transposed(build, _redo(build, middle, [match["x"]]), perm)


@condition("both are transposed alike")
def _alike(match: Match) -> bool:
    perms = [permutation(match[name].producer(), match.facts) for name in ("s", "t")]
    ranks = [match.facts.rank(match[name]) for name in ("x", "y")]
    return perms[0] is not None and perms[0] == perms[1] and ranks == [len(perms[0])] * 2


def _sink_binary(build: Builder, match: Match) -> Value | None:
    perm = permutation(match["s"].producer(), match.facts)
    if perm is None:
        return None
    return _transposed(build, _redo(build, match.root, [match["x"], match["y"]]), perm)


@condition("the constant can be transposed back")
def _small_constant(match: Match) -> bool:
    return _around_constant(match) is not None


def _around_constant(match: Match) -> tuple[int, list[int], list[int]] | None:
    """Return the operand that is transposed, its permutation, and what all come to; None if it does not fit.

    The other operand is a constant of no higher rank.
    """
    middle = match["u"].producer()
    for index in (0, 1):
        inner = _producer(middle.inputs[index])
        constant = middle.inputs[1 - index]
        perm = None if inner is None else _cancels(match, inner)
        if inner is None or perm is None or constant is None or not match.facts.is_constant(constant):
            continue
        rank = match.facts.rank(constant)
        alone = len(inner.outputs[0].uses()) == 1 and not inner.outputs[0].is_graph_output()
        if rank is not None and rank <= len(perm) and alone and _may_copy(constant, match.facts):
            return index, permutation(inner, match.facts) or [], perm
    return None


def _may_copy(constant: Value, facts: Facts) -> bool:
    """Tell whether a transposed copy makes the model no bigger, or hardly so."""
    size = facts.nbytes(constant)
    alone = len(constant.uses()) == 1 and not constant.is_graph_output()
    return alone or facts.element_count(constant) == 1 or (size is not None and size <= TINY_BYTES)


def _unmoved(array: np.ndarray[Any, Any], perm: Sequence[int]) -> np.ndarray[Any, Any]:
    """Transpose a constant that meets a value after `perm` so that it meets the value before it."""
    wide = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    return np.ascontiguousarray(wide.transpose(np.argsort(perm)))


def _sink_constant(build: Builder, match: Match) -> Value | None:
    found = _around_constant(match)
    middle = match["u"].producer()
    if found is None or middle is None:
        return None
    index, first, perm = found
    source, constant = middle.inputs[index].producer().inputs[0], middle.inputs[1 - index]
    array = match.facts.constant(constant)
    if array is None:
        return None
    operand = constant if math.prod(array.shape) == 1 else build.constant(_unmoved(array, first), constant.name or "")
    pair = [source, operand] if index == 0 else [operand, source]
    return _transposed(build, _redo(build, middle, pair), perm)


ELIMINATE_TRANSPOSE = Rule(
    name="eliminate-transpose",
    doc="Eliminate a `Transpose` that moves no axis.",
    match="Transpose(x)",
    replace="x",
    where=(_stays,),
)

COMPOSE_TRANSPOSES = Rule(
    name="compose-transposes",
    doc="Compose two `Transpose`.",
    match="Transpose(Transpose(x))",
    replace=_compose,
    where=(_both_known,),
    shared=True,
)

SINK_TRANSPOSE_UNARY = Rule(
    name="sink-transpose-unary",
    doc="Sink a `Transpose` through an elementwise operator into the next one.",
    match=f"Transpose((u := ({UNARY})((t := Transpose(x)))))",
    replace=_sink_unary,
    where=(_around_unary,),
)

SINK_TRANSPOSE_CONSTANT = Rule(
    name="sink-transpose-constant",
    doc="Sink a `Transpose` through an elementwise operator with a constant into the next one.",
    match=f"Transpose((u := ({BINARY})(x, y)))",
    replace=_sink_constant,
    where=(_small_constant,),
    min_opset=7,
)

SINK_TRANSPOSE_BINARY = Rule(
    name="sink-transpose-binary",
    doc="Sink two equal `Transpose` below the operator that joins them.",
    match=f"({BINARY})((s := Transpose(x)), (t := Transpose(y)))",
    replace=_sink_binary,
    where=(_alike,),
    min_opset=7,
)

PASSES: tuple[Rule, ...] = (
    ELIMINATE_TRANSPOSE,
    COMPOSE_TRANSPOSES,
    SINK_TRANSPOSE_UNARY,
    SINK_TRANSPOSE_CONSTANT,
    SINK_TRANSPOSE_BINARY,
)
