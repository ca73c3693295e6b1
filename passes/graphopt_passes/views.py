"""Transpose at once what is viewed in another shape, transposed and viewed in another shape again."""

from __future__ import annotations

from graphopt.graph.dims import Dim, product
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.reshapes import target_between
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

Shape = tuple[Dim, ...]


def _groups(full: Shape, folded: Shape) -> list[list[int]] | None:
    """Return for each axis of `folded` the axes of `full` that make it; None if they do not come in order."""
    groups: list[list[int]] = []
    at = 0
    for dim in folded:
        start: int = at
        size: Dim = 1
        while at < len(full) and (at == start or size != dim):
            size = product(full[start : at + 1])
            at += 1
        if size != dim:
            return None
        groups.append(list(range(start, at)))
    return groups if at == len(full) else None


def _full_permutation(match: Match) -> list[int] | None:
    """Return how the axes of `x` themselves are permuted from the first view to the last."""
    node: Node = match["t"].producer()
    facts: Facts = match.facts
    perm, full = permutation(node, facts), facts.shape(match["x"])
    folded, unfolded = facts.shape(match["v"]), facts.shape(match.result)
    if perm is None or full is None or folded is None or unfolded is None or 0 in full:
        return None
    try:
        groups = _groups(full, folded)
    except OverflowError:
        return None
    if groups is None or len(groups) != len(perm):
        return None
    moved = [axis for group in perm for axis in groups[group]]
    return moved if tuple(full[axis] for axis in moved) == unfolded else None


@condition("the last view splits the axes that the first one joined")
def _unfolds(match: Match) -> bool:
    return _full_permutation(match) is not None


def _transpose(build: Builder, match: Match) -> Value:
    result: Value = build.op("Transpose", match["x"], perm=_full_permutation(match))
    return result


def _split(folded: Shape, full: Shape) -> list[list[int]] | None:
    """Return for each axis of `folded` the axes of `full` that split it; sizes of 1 come and go freely."""
    groups: list[list[int]] = []
    at = 0
    for dim in folded:
        start, size = at, product(())
        while at < len(full) and size != dim:
            size = product(full[start : at + 1])
            at += 1
        if size != dim:
            return None
        groups.append(list(range(start, at)))
    if not groups or any(dim != 1 for dim in full[at:]):
        return None
    groups[-1].extend(range(at, len(full)))
    return groups


def _one_view(match: Match) -> tuple[list[int], list[int]] | None:
    """Return the shape in which `x` is viewed once, and how that is permuted into the result."""
    node: Node = match["t"].producer()
    facts: Facts = match.facts
    perm, given = permutation(node, facts), facts.shape(match["x"])
    folded, full = facts.shape(match["t"]), facts.shape(match.result)
    if perm is None or given is None or folded is None or full is None or 0 in folded:
        return None
    try:
        groups = _split(folded, full)
    except OverflowError:
        return None
    if groups is None:
        return None
    before = [axis for old in sorted(range(len(perm)), key=perm.__getitem__) for axis in groups[old]]
    target = target_between(given, tuple(full[axis] for axis in before))
    return None if target is None else (target, [before.index(axis) for axis in range(len(full))])


@condition("the last view splits axes, and a constant says the shape before")
def _splits(match: Match) -> bool:
    return _one_view(match) is not None


def _view_once(build: Builder, match: Match) -> Value | None:
    found = _one_view(match)
    if found is None:
        return None
    result: Value = build.op("Transpose", build.op("Reshape", match["x"], build.shape(*found[0])), perm=found[1])
    return result


UNFOLD_TRANSPOSE = Rule(
    name="unfold-transpose",
    doc="Transpose the axes themselves that are joined, transposed and split again.",
    match="(Reshape | Unsqueeze | Squeeze)((t := Transpose((v := (Reshape | Squeeze | Unsqueeze)(x, *a)))), *b)",
    replace=_transpose,
    where=(_unfolds,),
)

VIEW_BEFORE_TRANSPOSE = Rule(
    name="view-before-transpose",
    doc="Split axes before a `Transpose` instead of behind it, where a view stands before it anyway.",
    match="(Reshape | Squeeze)((t := Transpose((Reshape | Flatten | Squeeze | Unsqueeze)(x, *a))), *b)",
    replace=_view_once,
    where=(_splits,),
    min_opset=5,
)

PASSES: tuple[Rule, ...] = (UNFOLD_TRANSPOSE, VIEW_BEFORE_TRANSPOSE)
