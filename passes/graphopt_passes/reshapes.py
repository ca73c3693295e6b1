"""Eliminate and compose operators that only give their input another shape."""

from __future__ import annotations

import numpy as np

from graphopt.graph.dims import Dim, known_positive
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition, constant_where, same_shape
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of

__all__ = ["PASSES", "constant_target", "target_between"]

Shape = tuple[Dim, ...]
VIEWS = "(Reshape | Flatten | Squeeze | Unsqueeze)"


def constant_target(node: Node, source: Value, facts: Facts) -> list[int] | None:
    """Return a constant shape with which `Reshape` makes `node`'s result out of `source`; None if there is none.

    A dimension that `source` has at the same place is 0. One other dimension may be unknown: it is -1, if the rest
    cannot be zero (a -1 beside a zero fails at run time), or if `node` itself says -1 there.
    """
    shape, given = facts.shape(node.outputs[0]), facts.shape(source)
    if shape is None or given is None:
        return None
    target = _target(given, shape)
    if target is not None and -1 in target and not _may_infer(node, facts, target.index(-1)):
        return None
    return target


def target_between(given: Shape, shape: Shape) -> list[int] | None:
    """Return a constant shape with which `Reshape` makes `shape` out of `given`; None if there is none."""
    target = _target(given, shape)
    if target is None or -1 not in target:
        return target
    others = (dim for at, dim in enumerate(shape) if at != target.index(-1))
    return target if all(known_positive(dim) for dim in others) else None


def _target(given: Shape, shape: Shape) -> list[int] | None:
    """Return a constant shape of which one dimension at most, then -1, is not known."""
    target: list[int] = []
    for index, dim in enumerate(shape):
        if index < len(given) and given[index] == dim and not (isinstance(dim, int) and dim > 0):
            target.append(0)
        else:
            target.append(dim if isinstance(dim, int) else -1)
    if target.count(-1) > 1 or any(size == 0 and not _copied(given, shape, at) for at, size in enumerate(target)):
        return None
    return target


def _copied(given: tuple[object, ...], shape: tuple[object, ...], index: int) -> bool:
    return index < len(given) and given[index] == shape[index]


def _may_infer(node: Node, facts: Facts, index: int) -> bool:
    """Tell whether -1 at `index` fails for no input that `node` takes."""
    shape = facts.shape(node.outputs[0]) or ()
    if all(known_positive(dim) for at, dim in enumerate(shape) if at != index):
        return True
    asked = node.inputs[1] if node.op_type == "Reshape" and len(node.inputs) > 1 else None
    contents = None if asked is None else facts.contents(asked)
    return contents is not None and len(contents) == len(shape) and contents[index] == -1


def inserted_ones(narrow: Shape, wide: Shape) -> list[int]:
    """Return at which axes of `wide` a 1 was put in between the dimensions of `narrow`; empty if that is not so."""
    axes: list[int] = []
    at = 0
    for place, dim in enumerate(wide):
        if at < len(narrow) and narrow[at] == dim:
            at += 1
        elif dim == 1:
            axes.append(place)
        else:
            return []
    return axes if at == len(narrow) else []


def _keeps_zeros(node: Node, facts: Facts) -> bool:
    """Tell whether a view has the shape it says where sizes are zero: for a zero, `Reshape` copies what it finds there.

    Where just one size may be zero, what it copies is that zero; where it finds none, it fails.
    """
    if node.op_type != "Reshape":
        return True
    shape = facts.shape(node.outputs[0])
    given = None if node.inputs[0] is None else facts.shape(node.inputs[0])
    if shape is None or given is None:
        return False
    loose = [at for at, dim in enumerate(shape[: len(given)]) if not known_positive(dim)]
    return len(loose) < 2 or all(given[at : at + 1] == shape[at : at + 1] for at in loose)


def _ones(node: Node, source: Value, facts: Facts) -> tuple[str, list[int]] | None:
    """Return the operator and axes that make `node`'s result out of `source` by ones alone."""
    inner = node.inputs[0]
    producer = None if inner is None or inner is source else inner.producer()
    if not _keeps_zeros(node, facts) or (producer is not None and not _keeps_zeros(producer, facts)):
        return None
    shape, given = facts.shape(node.outputs[0]), facts.shape(source)
    if shape is None or given is None:
        return None
    if axes := inserted_ones(given, shape):
        return "Unsqueeze", axes
    axes = inserted_ones(shape, given)
    return ("Squeeze", axes) if axes else None


def _source(match: Match) -> Value | None:
    """Return what the view below the root views."""
    inner = match.root.inputs[0]
    producer = None if inner is None else inner.producer()
    return None if producer is None else producer.inputs[0]


@condition("the shape is computed")
def _computed(match: Match) -> bool:
    return not match.facts.is_constant(match["s"])


@condition("a constant says the same shape")
def _expressible(match: Match) -> bool:
    return _says(match.root, match["x"], match.facts)


@condition("another constant says the same shape more plainly")
def _another_constant(match: Match) -> bool:
    target, said = constant_target(match.root, match["x"], match.facts), match.constant("s")
    return target is not None and said is not None and target != said.tolist()


@condition("one constant shape does for both")
def _one_shape(match: Match) -> bool:
    source = _source(match)
    return source is not None and _says(match.root, source, match.facts)


def _says(node: Node, source: Value, facts: Facts) -> bool:
    return constant_target(node, source, facts) is not None or _ones(node, source, facts) is not None


def _reshape(build: Builder, match: Match) -> Value | None:
    target = constant_target(match.root, match["x"], match.facts)
    if target is None:
        ones = _ones(match.root, match["x"], match.facts)
        return None if ones is None else _with_axes(build, match, *ones)
    result: Value = build.op("Reshape", match["x"], build.constant(np.array(target, dtype=np.int64)))
    return result


def _view_axes(node: Node, facts: Facts) -> tuple[int, ...] | None:
    """Return the axes of a Squeeze (in its input) or Unsqueeze (in its result); None if unknown or left out."""
    inner = node.inputs[0]
    rank = None if inner is None else facts.rank(inner)
    axes = axes_of(node, facts, rank)
    if axes and node.op_type == "Unsqueeze" and rank is not None:
        axes = axes_of(node, facts, rank + len(axes))
    return axes or None


def _both_axes(match: Match) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    inner = match["t"].producer()
    first, second = _view_axes(inner, match.facts), _view_axes(match.root, match.facts)
    return None if first is None or second is None else (first, second)


@condition("all axes are known")
def _known_axes(match: Match) -> bool:
    return _both_axes(match) is not None


@condition("the axes are the same")
def _same_axes(match: Match) -> bool:
    both = _both_axes(match)
    return both is not None and sorted(both[0]) == sorted(both[1])


def _with_axes(build: Builder, match: Match, op_type: str, axes: list[int]) -> Value:
    if match.opset < 13:
        old: Value = build.op(op_type, match["x"], axes=axes)
        return old
    result: Value = build.op(op_type, match["x"], build.constant(np.array(axes, dtype=np.int64)))
    return result


def _merge_squeezes(build: Builder, match: Match) -> Value | None:
    both = _both_axes(match)
    if both is None:
        return None
    left = [axis for axis in range(max(both[1]) + len(both[0]) + 1) if axis not in both[0]]
    return _with_axes(build, match, "Squeeze", sorted([*both[0], *(left[axis] for axis in both[1])]))


def _merge_unsqueezes(build: Builder, match: Match) -> Value | None:
    both = _both_axes(match)
    if both is None:
        return None
    count = max(*both[0], *both[1]) + len(both[0]) + len(both[1]) + 1
    left = [axis for axis in range(count) if axis not in both[1]]
    return _with_axes(build, match, "Unsqueeze", sorted([*both[1], *(left[axis] for axis in both[0])]))


ELIMINATE_RESHAPE = Rule(
    name="eliminate-reshape",
    doc="Eliminate a change of shape to the shape that is there.",
    match=f"{VIEWS}(x, *rest)",
    replace="x",
    where=(same_shape("x", "result"),),
)

ELIMINATE_UNSQUEEZE_SQUEEZE = Rule(
    name="eliminate-unsqueeze-squeeze",
    doc="Eliminate a `Squeeze` of the axes that an `Unsqueeze` has put in.",
    match="Squeeze((t := Unsqueeze(x, *a)), *b)",
    replace="x",
    where=(_same_axes,),
    shared=True,
)

MERGE_SQUEEZES = Rule(
    name="merge-squeezes",
    doc="Merge two `Squeeze` in a row.",
    match="Squeeze((t := Squeeze(x, *a)), *b)",
    replace=_merge_squeezes,
    where=(_known_axes,),
    shared=True,
)

MERGE_UNSQUEEZES = Rule(
    name="merge-unsqueezes",
    doc="Merge two `Unsqueeze` in a row.",
    match="Unsqueeze((t := Unsqueeze(x, *a)), *b)",
    replace=_merge_unsqueezes,
    where=(_known_axes,),
    shared=True,
)

MERGE_RESHAPES = Rule(
    name="merge-reshapes",
    doc="Merge two changes of shape in a row into one `Reshape`.",
    match=f"{VIEWS}({VIEWS}(x, *a), *b)",
    replace=_reshape,
    where=(_one_shape,),
    min_opset=5,
    shared=True,
)

MATERIALIZE_RESHAPE_SHAPE = Rule(
    name="materialize-reshape-shape",
    doc="Materialize the shape that a `Reshape` computes, with one free dimension at most.",
    match="Reshape(x, s)",
    replace=_reshape,
    where=(_computed, _expressible),
    min_opset=5,
)

FLATTEN_TO_RESHAPE = Rule(
    name="flatten-to-reshape",
    doc="Replace a `Flatten` by the `Reshape` that does the same, which other rules read.",
    match="Flatten(x)",
    replace=_reshape,
    where=(_expressible,),
    min_opset=5,
)

DROP_ALLOWZERO = Rule(
    name="drop-allowzero",
    doc="Drop what a `Reshape` says of zeros where its shape has none.",
    match="Reshape(x, const(s), allowzero=1)",
    replace="Reshape(x, s)",
    where=(constant_where("s", "has no zero", lambda s: bool(s.all())),),
    min_opset=14,
)

SETTLE_RESHAPE_SHAPE = Rule(
    name="settle-reshape-shape",
    doc="Say the constant shape of a `Reshape` one way: numbers where they are known, 0 where a size stays.",
    match="Reshape(x, const(s), allowzero=0)",
    replace=_reshape,
    where=(_another_constant,),
    min_opset=5,
)

PASSES: tuple[Rule, ...] = (
    ELIMINATE_RESHAPE,
    ELIMINATE_UNSQUEEZE_SQUEEZE,
    MERGE_SQUEEZES,
    MERGE_UNSQUEEZES,
    MERGE_RESHAPES,
    MATERIALIZE_RESHAPE_SHAPE,
    FLATTEN_TO_RESHAPE,
    DROP_ALLOWZERO,
    SETTLE_RESHAPE_SHAPE,
)
