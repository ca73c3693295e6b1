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
from graphopt.rewrite.rule import Condition, Match, Replacement, Rule
from graphopt_passes.axes import axis_of
from graphopt_passes.halves import first_half, halves_are_equal, is_half
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

_HEADS_FIRST = [0, 2, 1, 3]


@dataclass(frozen=True)
class _Tokens:
    """What is turned: `value` has shape [batch, steps, heads, features], or with `single` [batch, heads, 1, features].

    `heads_first` asks to transpose the result to [batch, heads, steps, features]. `own` says that each item of the
    batch has its own angles, not all of them the same.
    """

    value: Value
    batch: Dim
    steps: Dim
    heads: int
    features: int
    heads_first: bool
    own: bool
    single: bool


def _tokens(x: Value, angles: Value, facts: Facts) -> _Tokens | None:
    """Find the tokens that `x` lays out, whose angles broadcast over the heads; None if that is not so."""
    node = x.producer()
    turned = node is not None and node.op_type == "Transpose" and permutation(node, facts) == _HEADS_FIRST
    value = (node.inputs[0] if turned and node is not None else None) or x
    shape, given = facts.shape(value), facts.shape(angles)
    if shape is None or given is None or len(shape) != 4 or len(given) > 4:
        return None
    items, *rest, _ = (1,) * (4 - len(given)) + given
    # Of one step, heads first or tokens first is the same: no Transpose tells.
    single = shape[2] == 1 and rest == [1, 1] and not turned
    batch, steps, heads, features = shape if not single else (shape[0], 1, shape[1], shape[3])
    if not isinstance(heads, int) or not isinstance(features, int) or items not in (1, batch):
        return None
    if rest != ([1, steps] if turned else [steps, 1]):
        return None
    return _Tokens(value, batch, steps, heads, features, turned, items != 1, single)


def _turns(match: Match, x: Value, *, paired: bool) -> bool:
    """Tell whether `hi` and `lo` are the halves of `x`, and joined on the last axis."""
    facts, joined = match.facts, match["r"].producer()
    if not all(is_half(match[name], x, which, facts, paired=paired) for which, name in enumerate(("lo", "hi"))):
        return False
    rank = facts.rank(match["r"])
    return rank is not None and axis_of(joined, facts, rank) == rank - 1


@condition("the halves change places, one with its sign changed")
def _turns_halves(match: Match) -> bool:
    return _turns(match, match["x"], paired=False)


@condition("neighbours change places, one with its sign changed")
def _turns_pairs(match: Match) -> bool:
    shape, joined = match.facts.shape(match["x"]), match.facts.shape(match["r"])
    if shape is None or joined is None or len(joined) != len(shape) + 1:
        return False
    return _turns(match, match["x"], paired=True) and match.facts.shape(match["v"]) == shape


@condition("the halves of one value are turned")
def _splits_halves(match: Match) -> bool:
    node, c = match["lo"].producer(), match.facts.shape(match["c"])
    half = match.facts.shape(match["lo"])
    return (
        node is not None
        and _turns(match, node.inputs[0], paired=False)
        and c is not None
        and half is not None
        and c[-1:] == half[-1:]
    )


def same_angles(*, paired: bool) -> Condition:
    """Require that both halves are turned by the same angles."""

    def check(match: Match) -> bool:
        return all(halves_are_equal(match[name], match.facts, paired=paired) for name in "cs")

    return Condition(f"both {'neighbours' if paired else 'halves'} are turned by the same angles", check)


def _found(match: Match) -> _Tokens | None:
    """Find the tokens, if cosines and sines are of one shape."""
    shape = match.facts.shape(match["c"])
    if shape is None or shape != match.facts.shape(match["s"]):
        return None
    x = match.get("x") or match["lo"].producer().inputs[0]
    return _tokens(x, match["c"], match.facts)


@condition("each token has its angles, the same for all heads")
def _angles_by_token(match: Match) -> bool:
    return _found(match) is not None


def _sizes(build: Builder, tokens: _Tokens) -> Value:
    """Return the shape of the tokens as an operand of Reshape behind one row of all steps of all items."""
    batch, steps = (dim if isinstance(dim, int) else -1 for dim in (tokens.batch, tokens.steps))
    if batch == steps == -1:
        leading = build.op("Shape", tokens.value, start=0, end=2)
        sizes: Value = build.op("Concat", leading, build.shape(tokens.heads, tokens.features), axis=0)
        return sizes
    middle = (tokens.heads, steps) if tokens.single else (steps, tokens.heads)
    return build.shape(batch, *middle, tokens.features)


def _rows(build: Builder, tokens: _Tokens) -> Value:
    """Return the tokens as [batch, steps, heads * features]."""
    steps = 1 if tokens.single else 0
    rows: Value = build.op("Reshape", tokens.value, build.shape(0, steps, tokens.heads * tokens.features))
    return rows


def _laid_out(build: Builder, tokens: _Tokens, rows: Value) -> Value:
    """Return rows as `_rows` gives them in the layout that the tokens came in."""
    middle = (tokens.heads, 1) if tokens.single else (0, tokens.heads)
    result: Value = build.op("Reshape", rows, build.shape(0, *middle, tokens.features))
    return build.op("Transpose", result, perm=_HEADS_FIRST) if tokens.heads_first else result


def _fuse_whole(*, paired: bool) -> Replacement:
    def build_it(build: Builder, match: Match) -> Value | None:
        cos, sin = (first_half(build, match[name], match.facts, paired=paired) for name in "cs")
        return _rotate(build, match, cos, sin, interleaved=1 if paired else None)

    return build_it


def _fuse_split(build: Builder, match: Match) -> Value | None:
    return _rotate(build, match, match["c"], match["s"])


def _rotate(build: Builder, match: Match, cos: Value, sin: Value, **attributes: Any) -> Value | None:
    tokens = _found(match)
    if tokens is None:
        return None
    table = [build.op("Reshape", each, build.shape(-1, tokens.features // 2)) for each in (cos, sin)]
    attributes |= {"domain": "com.microsoft", "num_heads": tokens.heads}
    if not tokens.own:
        turned = build.op("RotaryEmbedding", _rows(build, tokens), build.shape(0), *table, **attributes)
        return _laid_out(build, tokens, turned)
    # Where each item has its own angles, the tokens of all items are turned as if they were the steps of one.
    rows = build.op("Reshape", tokens.value, build.shape(1, -1, tokens.heads * tokens.features))
    turned = build.op("RotaryEmbedding", rows, build.shape(0), *table, **attributes)
    result: Value = build.op("Reshape", turned, _sizes(build, tokens), allowzero=1)
    return build.op("Transpose", result, perm=_HEADS_FIRST) if tokens.heads_first else result


@condition("each item has its own angles, or is the only one")
def _angles_by_item(match: Match) -> bool:
    tokens = _found(match)
    return tokens is not None and (tokens.own or tokens.batch == 1)


def _standard(build: Builder, match: Match) -> Value | None:
    tokens = _found(match)
    if tokens is None:
        return None
    table = [first_half(build, match[name], match.facts) for name in "cs"]
    if tokens.own:
        table = [build.op("Squeeze", each, build.shape(1 if tokens.heads_first else 2)) for each in table]
    else:
        table = [build.op("Reshape", each, build.shape(1, -1, tokens.features // 2)) for each in table]
    return _laid_out(build, tokens, build.op("RotaryEmbedding", _rows(build, tokens), *table, num_heads=tokens.heads))


_FLOAT = dtype_in("c", frozenset({DataType.FLOAT}))

# Measured with onnxruntime 1.32, one thread, Transpose and angles included: 0.35 to 0.70 of the time.
FUSE_ROTARY_EMBEDDING = Rule(
    name="fuse-rotary-embedding",
    doc="Fuse rotary position embedding of feature halves into the operator that onnxruntime has for it.",
    match="Add(Mul(x, c), Mul((r := Concat(Neg(hi), lo)), s))",
    replace=_fuse_whole(paired=False),
    where=(_FLOAT, _turns_halves, same_angles(paired=False), _angles_by_token),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=15,
    targets=(Target.ORT_CPU,),
)

FUSE_INTERLEAVED_EMBEDDING = Rule(
    name="fuse-interleaved-embedding",
    doc="Fuse rotary position embedding of neighbouring features into the operator that onnxruntime has for it.",
    match="Add(Mul(x, c), Mul((v := Reshape((r := Concat(Unsqueeze(Neg(hi), *_), Unsqueeze(lo, *_))), *_)), s))",
    replace=_fuse_whole(paired=True),
    where=(_FLOAT, _turns_pairs, same_angles(paired=True), _angles_by_token),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=15,
    targets=(Target.ORT_CPU,),
)

FUSE_SPLIT_EMBEDDING = Rule(
    name="fuse-split-embedding",
    doc="Fuse rotary position embedding that turns feature halves apart into the operator that onnxruntime has for it.",
    match="(r := Concat(Sub(Mul(lo, c), Mul(hi, s)), Add(Mul(hi, c), Mul(lo, s))))",
    replace=_fuse_split,
    where=(_FLOAT, _splits_halves, _angles_by_token),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=15,
    targets=(Target.ORT_CPU,),
)

RECOGNIZE_ROTARY_EMBEDDING = Rule(
    name="recognize-rotary-embedding",
    doc="Replace rotary position embedding of feature halves by RotaryEmbedding.",
    match="Add(Mul(x, c), Mul((r := Concat(Neg(hi), lo)), s))",
    replace=_standard,
    where=(_FLOAT, _turns_halves, same_angles(paired=False), _angles_by_item),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=23,
    targets=(Target.PORTABLE, Target.ORT_CPU),
)

PASSES = (RECOGNIZE_ROTARY_EMBEDDING, FUSE_ROTARY_EMBEDDING, FUSE_INTERLEAVED_EMBEDDING, FUSE_SPLIT_EMBEDDING)
