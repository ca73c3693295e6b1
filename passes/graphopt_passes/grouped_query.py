"""Let the query heads that share a key and value head read it at one place, instead of a copy each."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

_FEW = 8


@dataclass(frozen=True)
class _Repeated:
    """Heads that are copied for a group of query heads each: `source` has shape [batch, heads, 1, rows, columns]."""

    source: Value
    heads: int
    group: int
    swapped: bool
    """Whether rows and columns are swapped after the copying."""


def _producer(value: Value | None, *op_types: str) -> Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and not node.domain and node.op_type in op_types else None


def _repeated(value: Value, facts: Facts) -> _Repeated | None:
    """Find what `value`, of shape [batch, heads * group, rows, columns], is a copy of; None if it is none."""
    transpose = _producer(value, "Transpose")
    if transpose is not None and permutation(transpose, facts) != [0, 1, 3, 2]:
        return None
    joined = value if transpose is None else transpose.inputs[0]
    view = _producer(joined, "Reshape")
    copy = None if view is None else _producer(view.inputs[0], "Expand", "Tile")
    if copy is None or joined is None or copy.inputs[0] is None:
        return None
    narrow, wide = facts.shape(copy.inputs[0]), facts.shape(copy.outputs[0])
    if narrow is None or wide is None or len(narrow) != 5 or len(wide) != 5:
        return None
    heads, group = wide[1], wide[2]
    if not isinstance(heads, int) or not isinstance(group, int) or narrow != (*wide[:2], 1, *wide[3:]):
        return None
    if facts.shape(joined) != (wide[0], heads * group, *wide[3:]):
        return None
    return _Repeated(copy.inputs[0], heads, group, transpose is not None)


def _queries(match: Match) -> int | None:
    """Return the number of rows for each query head, if it is known."""
    shape = match.facts.shape(match["a"])
    rows = shape[2] if shape is not None and len(shape) == 4 else None
    return rows if isinstance(rows, int) else None


@condition("the number of queries is known")
def _known_queries(match: Match) -> bool:
    return (_queries(match) or 0) > 0


@condition("the queries are few")
def _few_queries(match: Match) -> bool:
    return 0 < (_queries(match) or 0) <= _FEW


@condition("groups of heads read copies of the same rows")
def _grouped(match: Match) -> bool:
    found, shape = _repeated(match["r"], match.facts), match.facts.shape(match["a"])
    return found is not None and shape is not None and len(shape) == 4 and shape[1] == found.heads * found.group


def _join_rows(build: Builder, match: Match) -> Value | None:
    found, rows = _repeated(match["r"], match.facts), _queries(match)
    if found is None or rows is None:
        return None
    shared = build.op("Squeeze", found.source, build.shape(2))
    if found.swapped:
        shared = build.op("Transpose", shared, perm=[0, 1, 3, 2])
    queries = build.op("Reshape", match["a"], build.shape(0, found.heads, found.group * rows, 0))
    product = build.op("MatMul", queries, shared)
    result: Value = build.op("Reshape", product, build.shape(0, found.heads * found.group, rows, 0))
    return result


def _broadcast_heads(build: Builder, match: Match) -> Value | None:
    """Put the group on an axis of its own; a 0 in a shape copies the size at its place, whatever that is."""
    found = _repeated(match["r"], match.facts)
    if found is None:
        return None
    shared, heads = found.source, found.heads * found.group
    if found.swapped:
        shared = build.op("Transpose", shared, perm=[0, 1, 2, 4, 3])
    axis = build.shape(2)
    queries = build.op(
        "Reshape", build.op("Unsqueeze", match["a"], axis), build.shape(0, found.heads, found.group, 0, 0)
    )
    product = build.op("MatMul", queries, shared)
    result: Value = build.op("Squeeze", build.op("Reshape", product, build.shape(0, heads, 1, 0, 0)), axis)
    return result


# A mask is added to the product in its old shape: between the two products of attention only views are put in. Measured
# with onnxruntime 1.32, one and two threads: 0.3 of the time with one query and 1024 keys, 0.9 to 1.0 with 128 or more.
JOIN_GROUPED_QUERIES = Rule(
    name="join-grouped-queries",
    doc="Multiply the queries of all heads that share a key head as rows of one matrix, without copies of the keys.",
    match="MatMul(a, r)",
    replace=_join_rows,
    where=(_known_queries, _grouped),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=13,
    targets=(Target.ORT_CPU,),
)

BROADCAST_KEY_HEADS = Rule(
    name="broadcast-key-heads",
    doc="Let the product broadcast the key heads that queries share, however many queries there are, without copies.",
    match="MatMul(a, r)",
    replace=_broadcast_heads,
    where=(_grouped,),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=13,
    targets=(Target.ORT_CPU,),
)

# OpenVINO fuses attention as a whole, and with 512 queries takes 0.84 of the time of the products apart; with one query
# and 1024 keys it takes 1.4 times as long.
JOIN_FEW_GROUPED_QUERIES = Rule(
    name="join-few-grouped-queries",
    doc="Multiply the queries of all heads that share a key head as rows of one matrix, where they are few.",
    match="MatMul(a, r)",
    replace=_join_rows,
    where=(_few_queries, _grouped),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=13,
    targets=(Target.OPENVINO,),
)

PASSES = (JOIN_GROUPED_QUERIES, BROADCAST_KEY_HEADS, JOIN_FEW_GROUPED_QUERIES)
