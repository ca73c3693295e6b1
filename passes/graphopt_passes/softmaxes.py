"""Recognise softmaxes that are spelled out, and steer those whose axis is not the last one."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.dims import Dim, product
from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in, is_float
from graphopt.rewrite.rule import Condition, Match, Replacement, Rule
from graphopt_passes.axes import axes_of, axis_of
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
ANY_AXIS = 13
"""From this opset on Softmax is over one axis, before over all from that on."""
LARGE = 1024


def _reduced(match: Match, name: str) -> tuple[int, ...] | None:
    """Return the axes of x, counted from the front, that the reduction `name` treats; None if they are not known."""
    rank, node = match.facts.rank(match["x"]), match[name].producer()
    axes = axes_of(node, match.facts, rank)
    return tuple(sorted(axes)) if rank is not None and axes else None


def _axis(match: Match, name: str) -> int | None:
    """Return the one axis that the reduction `name` treats and keeps, if softmaxes of this opset can be over it."""
    axes, rank = _reduced(match, name), match.facts.rank(match["x"])
    if axes is None or len(axes) != 1 or not attribute(match[name].producer(), "keepdims", match.opset):
        return None
    return axes[0] if match.opset >= ANY_AXIS or axes[0] + 1 == rank else None


def over_one_axis(*names: str) -> Condition:
    """Require that the reductions of those names keep one axis, the same, and one that softmaxes can have."""

    def check(match: Match) -> bool:
        axes = {_axis(match, name) for name in names}
        return len(axes) == 1 and None not in axes

    return Condition(f"{', '.join(names)} keep one axis, which a softmax can have", check)


def _over_axis_of(name: str, op_type: str) -> Replacement:
    def build_it(build: Builder, match: Match) -> Value:
        value: Value = build.op(op_type, match["x"], axis=_axis(match, name))
        return value

    return build_it


def _axis_of_root(match: Match) -> int | None:
    return None if has_reference(match.root) else axis_of(match.root, match.facts, match.facts.rank(match["x"]))


def _behind(match: Match) -> list[Dim]:
    """Return the sizes of the axes behind that of the softmax."""
    shape, axis = match.facts.shape(match["x"]), _axis_of_root(match)
    return [] if shape is None or axis is None else list(shape[axis + 1 :])


@condition("two or more axes are behind, of known sizes above zero, not one")
def _wide_behind(match: Match) -> bool:
    sizes = _behind(match)
    return all(isinstance(size, int) and size > 0 for size in sizes) and sum(size != 1 for size in sizes) > 1


def _merged_axes(build: Builder, match: Match) -> Value | None:
    axis, behind = _axis_of_root(match), [size for size in _behind(match) if isinstance(size, int)]
    if axis is None:
        return None
    lead = [0] * (axis + 1)
    flat = build.op("Reshape", match["x"], build.shape(*lead, int(np.prod(behind))))
    made = build.op(match.root.op_type, flat, axis=axis)
    value: Value = build.op("Reshape", made, build.shape(*lead, *behind))
    return value


def _turned_axis(match: Match) -> int | None:
    """Return the axis of x that the softmax between two transpositions is over, if these undo each other."""
    before, node = permutation(match["t"].producer(), match.facts), match["s"].producer()
    after = permutation(match.root, match.facts)
    axis = axis_of(node, match.facts, match.facts.rank(match["x"]))
    if before is None or after is None or axis is None or has_reference(node):
        return None
    return before[axis] if [before[k] for k in after] == list(range(len(after))) else None


@condition("the transpositions undo each other")
def _undone(match: Match) -> bool:
    return _turned_axis(match) is not None


def _unturned(build: Builder, match: Match) -> Value:
    value: Value = build.op(match["s"].producer().op_type, match["x"], axis=_turned_axis(match))
    return value


@condition("what is reduced has known sizes above zero, in a large tensor")
def _large_reduction(match: Match) -> bool:
    axes, shape = axes_of(match.root, match.facts, match.facts.rank(match["x"])), match.facts.shape(match["x"])
    if not axes or shape is None or has_reference(match.root):
        return False
    sizes = [size for size in shape if isinstance(size, int)]
    known = all(isinstance(shape[axis], int) and shape[axis] != 0 for axis in axes)
    return known and product(sizes) >= LARGE  # type: ignore[operator]


def _log_sum_exp(build: Builder, match: Match) -> Value:
    """Build m + log(sum(exp(x - m))), where m is the largest element, limited to the finite numbers."""
    root, x = match.root, match["x"]
    given: dict[str, Any] = {key: attr for key, attr in root.attributes.items() if key != "keepdims"}
    largest = build.op("Clip", build.op("ReduceMax", x, *root.inputs[1:], keepdims=1, **given))
    axes = list(axes_of(root, match.facts, match.facts.rank(x)) or ())
    total = build.op("ReduceSum", build.op("Exp", build.op("Sub", x, largest)), build.shape(*axes), keepdims=1)
    value: Value = build.op("Add", build.op("Log", total), largest)
    if attribute(root, "keepdims", match.opset):
        return value
    return build.op("Squeeze", value, build.shape(*axes))  # type: ignore[no-any-return]


_SHIFTED = "d = Sub(x, (m := ReduceMax(x, *_)))"

# Measured on onnxruntime 1.32, one thread: 0.4 to 0.6 of the time.
RECOGNIZE_SOFTMAX = Rule(
    name="recognize-softmax",
    doc="Replace the exponentials of what is less than the largest element, divided by their sum, by Softmax.",
    match="e = Exp(Sub(x, (m := ReduceMax(x, *_))))\nDiv(e, (s := ReduceSum(e, *_)))",
    replace=_over_axis_of("s", "Softmax"),
    where=(over_one_axis("m", "s"),),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
)

# Softmax does not overflow where the exponentials do.
RECOGNIZE_UNSHIFTED_SOFTMAX = Rule(
    name="recognize-unshifted-softmax",
    doc="Replace exponentials divided by their sum by Softmax, which does not overflow.",
    match="e = Exp(x)\nDiv(e, (s := ReduceSum(e, *_)))",
    replace=_over_axis_of("s", "Softmax"),
    where=(over_one_axis("s"),),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    fast_math=True,
)

# 0.5 to 0.6 of the time.
RECOGNIZE_LOG_SOFTMAX = Rule(
    name="recognize-log-softmax",
    doc="Replace what is less than the largest element, less the logarithm of the sum of exponentials, by LogSoftmax.",
    match=f"{_SHIFTED}\nSub(d, Log((s := ReduceSum(Exp(d), *_))))",
    replace=_over_axis_of("s", "LogSoftmax"),
    where=(over_one_axis("m", "s"),),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
)

# 0.05 to 0.1 of the time: the kernel of ReduceLogSumExp takes its time.
SUBTRACTION_TO_LOG_SOFTMAX = Rule(
    name="subtraction-to-log-softmax",
    doc="Replace a value less the logarithm of the sum of its exponentials by LogSoftmax.",
    match="Sub(x, (s := ReduceLogSumExp(x, *_)))",
    replace=_over_axis_of("s", "LogSoftmax"),
    where=(is_float("x"), over_one_axis("s")),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
)

# 0.16 to 0.3 of the time; but where Softmax rounds to zero, its logarithm is infinite.
LOG_OF_SOFTMAX = Rule(
    name="log-of-softmax",
    doc="Replace the logarithm of Softmax by LogSoftmax, which stays finite.",
    match="Log(Softmax(x, axis=axis))",
    replace="LogSoftmax(x, axis=axis)",
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    fast_math=True,
)

UNTURN_SOFTMAX = Rule(
    name="unturn-softmax",
    doc="Eliminate transpositions before and behind a softmax that only bring its axis to another place.",
    match="Transpose((s := (Softmax | LogSoftmax)((t := Transpose(x)))))",
    replace=_unturned,
    where=(_undone,),
    stage="recognize",
    min_opset=ANY_AXIS,
)

# 0.03 to 0.8 of the time: the runtime swaps the axis with the last one, which is fast only for neighbours.
MERGE_AXES_BEHIND_SOFTMAX = Rule(
    name="merge-axes-behind-softmax",
    doc="Merge the axes behind that of a softmax, so that it becomes the last but one.",
    match="(Softmax | LogSoftmax)(x)",
    replace=_merged_axes,
    where=(_wide_behind,),
    stage="steer",
    min_opset=ANY_AXIS,
    targets=(Target.ORT_CPU,),
)

# 0.1 to 0.3 of the time, on 128 elements 1.2.
LOWER_LOG_SUM_EXP = Rule(
    name="lower-log-sum-exp",
    doc="Compute the logarithm of a sum of exponentials in parts, which have fast kernels.",
    match="ReduceLogSumExp(x, *_)",
    replace=_log_sum_exp,
    where=(dtype_in("x", frozenset({DataType.FLOAT})), _large_reduction),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=ANY_AXIS,
    targets=(Target.ORT_CPU,),
)

PASSES = (
    RECOGNIZE_SOFTMAX,
    RECOGNIZE_UNSHIFTED_SOFTMAX,
    RECOGNIZE_LOG_SOFTMAX,
    SUBTRACTION_TO_LOG_SOFTMAX,
    LOG_OF_SOFTMAX,
    UNTURN_SOFTMAX,
    MERGE_AXES_BEHIND_SOFTMAX,
    LOWER_LOG_SUM_EXP,
)
