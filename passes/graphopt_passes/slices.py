"""Eliminate and merge slices."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of, integers

__all__ = ["PASSES", "Cut", "cuts_of"]

INT32_MAX = (1 << 31) - 1
INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Cut:
    """What a `Slice` keeps of one axis; `end` is `INT64_MAX` where it goes to the end."""

    start: int
    end: int
    step: int

    @property
    def whole(self) -> bool:
        """Whether it keeps everything of any axis."""
        return self.start == 0 and self.end == INT64_MAX and self.step == 1


def cuts_of(node: Node, facts: Facts) -> dict[int, Cut] | None:
    """Return by axis what a `Slice` with constant operands keeps.

    None unless steps are positive and bounds are not negative, or are made so by known dimensions.
    """
    source = node.inputs[0]
    starts, ends = integers(node, "starts", 1, facts), integers(node, "ends", 2, facts)
    axes, steps = integers(node, "axes", 3, facts), integers(node, "steps", 4, facts)
    if source is None or not starts or not ends or axes is None or steps is None:
        return None
    shape = facts.shape(source)
    axes, steps = axes or tuple(range(len(starts))), steps or (1,) * len(starts)
    if shape is None and min(axes) < 0:
        return None
    found: dict[int, Cut] = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = axis + len(shape or ()) if axis < 0 else axis
        size = shape[place] if shape is not None and place < len(shape) else None
        cut = _cut(start, end, step, size if isinstance(size, int) else None)
        if cut is None or place in found:
            return None
        found[place] = cut
    return found


def _cut(start: int, end: int, step: int, size: int | None) -> Cut | None:
    if step < 1:
        return None
    if size is not None:
        start = max(start + size, 0) if start < 0 else min(start, size)
        end = max(end + size, 0) if end < 0 else min(end, size)
        end = INT64_MAX if end == size else end
    if start < 0 or end < 0:
        return None
    return Cut(start, INT64_MAX if end >= INT32_MAX else end, step)


def _behind(first: Cut, second: Cut) -> Cut:
    """Return the cut that keeps what `second` keeps of what `first` kept."""
    start = first.start + second.start * first.step
    end = INT64_MAX if second.end == INT64_MAX else first.start + second.end * first.step
    return Cut(start, min(first.end, end), first.step * second.step)


def _steps_forward(match: Match) -> bool:
    steps = integers(match.root, "steps", 4, match.facts)
    return steps is not None and all(step > 0 for step in steps)


@condition("it keeps everything")
def _keeps_all(match: Match) -> bool:
    cuts = cuts_of(match.root, match.facts)
    if cuts is not None and all(cut.whole for cut in cuts.values()):
        return True
    shape = match.facts.shape(match["x"])
    return shape is not None and shape == match.facts.shape(match.result) and _steps_forward(match)


@condition("the bounds of both are known from the front")
def _both_known(match: Match) -> bool:
    return None not in (cuts_of(match["t"].producer(), match.facts), cuts_of(match.root, match.facts))


@condition("only slices read the first one")
def _only_sliced(match: Match) -> bool:
    first: Value = match["t"]
    sliced = all(node.op_type == "Slice" and not node.domain and index == 0 for node, index in first.uses())
    return sliced and not first.is_graph_output()


def _merged(match: Match) -> dict[int, Cut]:
    """Return by axis what both slices together keep."""
    first = cuts_of(match["t"].producer(), match.facts) or {}
    second = cuts_of(match.root, match.facts) or {}
    cuts = dict(sorted({**first, **second}.items()))
    return cuts | {axis: _behind(first[axis], second[axis]) for axis in first if axis in second}


def _merge(build: Builder, match: Match) -> Value | None:
    return _slice(build, match, _merged(match))


def _slice(build: Builder, match: Match, cuts: dict[int, Cut]) -> Value | None:
    starts, ends, axes, steps = _bounds(cuts)
    if max(*starts, *steps) > INT32_MAX:
        return None
    if match.opset < 10:
        old: Value = build.op("Slice", match["x"], starts=starts, ends=ends, axes=axes)
        return old
    result: Value = build.op("Slice", match["x"], *(build.shape(*numbers) for numbers in (starts, ends, axes, steps)))
    return result


def _bounds(cuts: dict[int, Cut]) -> tuple[list[int], ...]:
    """Return starts, ends, axes and steps of the slice that makes these cuts."""
    kept = [cuts[axis] for axis in sorted(cuts)]
    return [cut.start for cut in kept], [cut.end for cut in kept], sorted(cuts), [cut.step for cut in kept]


@condition("other bounds say the same more plainly")
def _other_bounds(match: Match) -> bool:
    cuts = cuts_of(match.root, match.facts)
    names = ("starts", "ends", "axes", "steps")
    said = [integers(match.root, name, at + 1, match.facts) for at, name in enumerate(names)]
    return cuts is not None and said != [tuple(numbers) for numbers in _bounds(cuts)]


def _settle(build: Builder, match: Match) -> Value | None:
    cuts = cuts_of(match.root, match.facts)
    return None if cuts is None else _slice(build, match, cuts)


def _piece(match: Match) -> Value | None:
    """Return the operand of the `Concat` below that the slice cuts out again, whole."""
    joint = match["t"].producer()
    rank = match.facts.rank(match["t"])
    axis = axis_of(joint, match.facts, rank)
    cuts = cuts_of(match.root, match.facts)
    if axis is None or cuts is None or set(cuts) != {axis} or cuts[axis].step != 1:
        return None
    at, cut = 0, cuts[axis]
    operands: list[Value | None] = list(joint.inputs)
    for index, operand in enumerate(operands):
        shape = None if operand is None else match.facts.shape(operand)
        size = None if shape is None or axis >= len(shape) else shape[axis]
        last = index == len(operands) - 1
        if at == cut.start and (last if cut.end == INT64_MAX else isinstance(size, int) and at + size == cut.end):
            return operand
        if not isinstance(size, int):
            return None
        at += size
    return None


@condition("it cuts out one operand")
def _is_piece(match: Match) -> bool:
    return _piece(match) is not None


def _forward_piece(_: Builder, match: Match) -> Value | None:
    return _piece(match)


ELIMINATE_SLICE = Rule(
    name="eliminate-slice",
    doc="Eliminate a `Slice` that keeps everything in its order.",
    match="Slice(x, *bounds)",
    replace="x",
    where=(_keeps_all,),
)

MERGE_SLICES = Rule(
    name="merge-slices",
    doc="Merge two `Slice` in a row.",
    match="Slice((t := Slice(x, *a)), *b)",
    replace=_merge,
    where=(_both_known, _only_sliced),
    shared=True,
)

FORWARD_CONCAT_SLICE = Rule(
    name="forward-concat-slice",
    doc="Forward the operand of a `Concat` that a `Slice` cuts out again.",
    match="Slice((t := Concat(*xs)), *bounds)",
    replace=_forward_piece,
    where=(_is_piece,),
    shared=True,
)

SETTLE_SLICE = Rule(
    name="settle-slice",
    doc="Say the bounds of a `Slice` one way: from the front, axes and steps too, to the end without a number.",
    match="Slice(x, *bounds)",
    replace=_settle,
    where=(_other_bounds,),
    min_opset=10,
)

PASSES: tuple[Rule, ...] = (ELIMINATE_SLICE, FORWARD_CONCAT_SLICE, MERGE_SLICES, SETTLE_SLICE)
