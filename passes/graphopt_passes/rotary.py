"""Recognize rotary position embedding: each pair of features turned by an angle that grows with the position.

Source: Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021, equation 34.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphopt.graph.dims import Dim
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of
from graphopt_passes.halves import first_half, halves_are_equal, is_half
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

_HEADS_FIRST = [0, 2, 1, 3]


@dataclass(frozen=True)
class _Tokens:
    """What is turned: `value` has shape [batch, steps, heads, features]; `turned` is its result's layout.

    `own` says that each item of the batch has its own angles, not all of them the same.
    """

    value: Value
    batch: Dim
    steps: Dim
    heads: int
    features: int
    heads_first: bool
    own: bool


def _tokens(x: Value, angles: Value, facts: Facts) -> _Tokens | None:
    """Find the tokens that `x` lays out, whose angles broadcast over the heads; None if that is not so."""
    node = x.producer()
    turned = node is not None and node.op_type == "Transpose" and permutation(node, facts) == _HEADS_FIRST
    value = (node.inputs[0] if turned and node is not None else None) or x
    shape, given = facts.shape(value), facts.shape(angles)
    if shape is None or given is None or len(shape) != 4 or len(given) > 4:
        return None
    batch, steps, heads, features = shape
    items, *rest, _ = (1,) * (4 - len(given)) + given
    if not isinstance(heads, int) or not isinstance(features, int) or items not in (1, batch):
        return None
    if rest != ([1, steps] if turned else [steps, 1]):
        return None
    return _Tokens(value, batch, steps, heads, features, turned, items != 1)


@condition("the halves change places, one with its sign changed")
def _turns_halves(match: Match) -> bool:
    x, facts = match["x"], match.facts
    if not is_half(match["hi"], x, 1, facts) or not is_half(match["lo"], x, 0, facts):
        return False
    joined = match["r"].producer()
    return axis_of(joined, facts, facts.rank(x)) == (facts.rank(x) or 0) - 1


@condition("both halves are turned by the same angles")
def _same_angles(match: Match) -> bool:
    return halves_are_equal(match["c"], match.facts) and halves_are_equal(match["s"], match.facts)


@condition("each token has its angles, the same for all heads")
def _angles_by_token(match: Match) -> bool:
    shape = match.facts.shape(match["c"])
    same = shape is not None and shape == match.facts.shape(match["s"])
    return same and _tokens(match["x"], match["c"], match.facts) is not None


def _sizes(build: Builder, tokens: _Tokens) -> Value:
    """Return the shape of the tokens as an operand of Reshape."""
    unknown = [dim for dim in (tokens.batch, tokens.steps) if not isinstance(dim, int)]
    if not tokens.own:
        return build.shape(0, 0, tokens.heads, tokens.features)
    if len(unknown) == 2:
        leading = build.op("Shape", tokens.value, start=0, end=2)
        sizes: Value = build.op("Concat", leading, build.shape(tokens.heads, tokens.features), axis=0)
        return sizes
    batch, steps = (dim if isinstance(dim, int) else -1 for dim in (tokens.batch, tokens.steps))
    return build.shape(batch, steps, tokens.heads, tokens.features)


def _turn_halves(build: Builder, match: Match) -> Value | None:
    tokens = _tokens(match["x"], match["c"], match.facts)
    if tokens is None:
        return None
    cos, sin = (first_half(build, match[name], match.facts) for name in "cs")
    return _turned(build, tokens, cos, sin)


def _turned(build: Builder, tokens: _Tokens, cos: Value, sin: Value, **attributes: Any) -> Value:
    """Turn the tokens, as if those of all items were one row of steps where each item has its own angles."""
    size = tokens.heads * tokens.features
    rows = build.op("Reshape", tokens.value, build.shape(*((1, -1) if tokens.own else (0, 0)), size))
    table = [build.op("Reshape", each, build.shape(-1, tokens.features // 2)) for each in (cos, sin)]
    attributes |= {"domain": "com.microsoft", "num_heads": tokens.heads}
    turned = build.op("RotaryEmbedding", rows, build.shape(0), *table, **attributes)
    result: Value = build.op("Reshape", turned, _sizes(build, tokens), allowzero=1 if tokens.own else None)
    return build.op("Transpose", result, perm=_HEADS_FIRST) if tokens.heads_first else result


FUSE_ROTARY_EMBEDDING = Rule(
    name="fuse-rotary-embedding",
    doc="Fuse rotary position embedding of feature halves into the operator that onnxruntime has for it.",
    match="Add(Mul(x, c), Mul((r := Concat(Neg(hi), lo)), s))",
    replace=_turn_halves,
    where=(dtype_in("x", frozenset({DataType.FLOAT})), _turns_halves, _same_angles, _angles_by_token),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=15,
    targets=(Target.ORT_CPU,),
)

PASSES = (FUSE_ROTARY_EMBEDDING,)
