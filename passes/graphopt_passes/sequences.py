"""Take sequences apart whose making and reading both stand in the graph."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]


def _index(match: Match, node: Node) -> int | None:
    """Return the constant place that a `SequenceAt` reads."""
    value = node.inputs[1]
    array = None if value is None else match.facts.constant(value)
    return int(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


@condition("the place is constant and inside")
def _inside(match: Match) -> bool:
    index = _index(match, match.root)
    return index is not None and -len(match["xs"]) <= index < len(match["xs"])


def _element(_: Builder, match: Match) -> Value | None:
    index = _index(match, match.root)
    found: Value | None = None if index is None else match["xs"][index]
    return found


def _concat(build: Builder, match: Match) -> Value:
    result: Value = build.op("Concat", *match["xs"], axis=match["axis"])
    return result


def _length(build: Builder, match: Match) -> Value:
    return build.constant(np.array(len(match["xs"]), dtype=np.int64))


def _only_read_at(match: Match) -> bool:
    """Tell whether all readers of the sequence read it at constant places."""
    sequence = match["t"]
    readers = [user for user, _ in sequence.uses()]
    return not sequence.is_graph_output() and all(
        user.op_type == "SequenceAt" and not user.domain and _index(match, user) is not None for user in readers
    )


def _bounds(match: Match) -> tuple[int, int] | None:
    """Return where the part begins and ends that the root reads, if the parts' sizes are constants."""
    sizes, index = match.constant("s"), _index(match, match.root)
    if sizes is None or index is None:
        return None
    if sizes.ndim == 0:
        return (index * int(sizes), (index + 1) * int(sizes)) if index >= 0 else None
    if not -sizes.size <= index < sizes.size:
        return None
    ends = np.cumsum(sizes)
    return int(ends[index] - sizes[index]), int(ends[index])


@condition("all parts are read at constant places of known bounds")
def _known_parts(match: Match) -> bool:
    return _bounds(match) is not None and _only_read_at(match)


def _slice(build: Builder, match: Match) -> Value | None:
    bounds = _bounds(match)
    if bounds is None:
        return None
    operands = [build.constant(np.array([number], dtype=np.int64)) for number in (*bounds, match["axis"])]
    result: Value = build.op("Slice", match["x"], *operands)
    return result


@condition("all parts are read at constant places")
def _constant_places(match: Match) -> bool:
    return _only_read_at(match) and match["keepdims"] in (0, 1)


def _gather(build: Builder, match: Match) -> Value:
    place = np.array(_index(match, match.root), dtype=np.int64)
    index = build.constant(place.reshape(1) if match["keepdims"] else place)
    result: Value = build.op("Gather", match["x"], index, axis=match["axis"])
    return result


FORWARD_SEQUENCE_ELEMENT = Rule(
    name="forward-sequence-element",
    doc="Forward the element of a sequence that is read at a constant place.",
    match="SequenceAt(SequenceConstruct(*xs), i)",
    replace=_element,
    where=(_inside,),
    shared=True,
)

CONCAT_ELEMENTS = Rule(
    name="concat-elements",
    doc="Concatenate the elements of a sequence directly.",
    match="ConcatFromSequence(SequenceConstruct(*xs), axis=axis, new_axis=0)",
    replace=_concat,
    shared=True,
)

COUNT_ELEMENTS = Rule(
    name="count-elements",
    doc="Count the elements of a sequence that stand in the graph.",
    match="SequenceLength(SequenceConstruct(*xs))",
    replace=_length,
    shared=True,
)

SLICE_SEQUENCE_PART = Rule(
    name="slice-sequence-part",
    doc="Slice the parts out that `SplitToSequence` cuts and `SequenceAt` reads.",
    match="SequenceAt((t := SplitToSequence(x, const(s), axis=axis)), i)",
    replace=_slice,
    where=(_known_parts,),
    shared=True,
)

GATHER_SEQUENCE_PART = Rule(
    name="gather-sequence-part",
    doc="Gather the layers that `SplitToSequence` cuts and `SequenceAt` reads.",
    match="SequenceAt((t := SplitToSequence(x, None, axis=axis, keepdims=keepdims)), i)",
    replace=_gather,
    where=(_constant_places,),
    shared=True,
)

JOIN_SPLIT_SEQUENCE = Rule(
    name="join-split-sequence",
    doc="Eliminate the concatenation of what `SplitToSequence` has cut along the same axis.",
    match="ConcatFromSequence(SplitToSequence(x, *s, axis=axis, keepdims=1), axis=axis, new_axis=0)",
    replace="x",
    shared=True,
)

PASSES: tuple[Rule, ...] = (
    FORWARD_SEQUENCE_ELEMENT,
    CONCAT_ELEMENTS,
    COUNT_ELEMENTS,
    SLICE_SEQUENCE_PART,
    GATHER_SEQUENCE_PART,
    JOIN_SPLIT_SEQUENCE,
)
