"""Leave axes of size 1 where they end up, so that no Transpose has to move them."""

from __future__ import annotations

from graphopt.graph.dims import Dim
from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.reshapes import target_between
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

Shape = tuple[Dim, ...]


def _settled(shape: Shape, perm: list[int]) -> tuple[Shape, list[int]]:
    """Return a shape with the ones where the permutation puts them, and a permutation to the same that moves none."""
    long = [axis for axis in range(len(shape)) if shape[axis] != 1]
    ones = {place for place, axis in enumerate(perm) if shape[axis] == 1}
    free = [place for place in range(len(shape)) if place not in ones]
    stands = dict(zip(free, long, strict=True))
    where = {axis: place for place, axis in stands.items()}
    moved = [place if place in ones else where[axis] for place, axis in enumerate(perm)]
    return tuple(shape[stands[place]] if place in stands else 1 for place in range(len(shape))), moved


def _as_view(match: Match) -> list[int] | None:
    """Return the shape that a `Reshape` gives `x`, if the root moves nothing but ones."""
    perm, shape = permutation(match.root, match.facts), match.facts.shape(match["x"])
    if perm is None or shape is None or 1 not in shape:
        return None
    wanted, left = _settled(shape, perm)
    return target_between(shape, wanted) if left == sorted(left) and wanted != shape else None


@condition("nothing but axes of size 1 moves")
def _moves_ones(match: Match) -> bool:
    return _as_view(match) is not None


def _view(build: Builder, match: Match) -> Value | None:
    target = _as_view(match)
    return None if target is None else build.op("Reshape", match["x"], build.shape(*target))


def _viewed_alike(match: Match) -> tuple[list[int], list[int]] | None:
    """Return the shape that a `Reshape` gives `x` instead, and how that is permuted."""
    perm, shape = permutation(match.root, match.facts), match.facts.shape(match["v"])
    given = match.facts.shape(match["x"])
    if perm is None or shape is None or given is None or 1 not in shape:
        return None
    wanted, left = _settled(shape, perm)
    target = None if wanted == shape else target_between(given, wanted)
    return None if target is None else (target, left)


@condition("an axis of size 1 that the view makes moves")
def _moves_made_ones(match: Match) -> bool:
    return _viewed_alike(match) is not None


def _view_alike(build: Builder, match: Match) -> Value | None:
    found = _viewed_alike(match)
    if found is None:
        return None
    result: Value = build.op("Transpose", build.op("Reshape", match["x"], build.shape(*found[0])), perm=found[1])
    return result


# Last, as a Transpose meets others and vanishes where a Reshape would stand in the way.
TRANSPOSE_ONES_TO_RESHAPE = Rule(
    name="transpose-ones-to-reshape",
    doc="Replace a `Transpose` that moves nothing but axes of size 1 by a `Reshape`.",
    match="Transpose(x)",
    replace=_view,
    where=(_moves_ones,),
    stage="steer",
    min_opset=5,
)

SETTLE_ONES = Rule(
    name="settle-ones",
    doc="Let a `Reshape` put axes of size 1 where the `Transpose` behind it would move them.",
    match="Transpose((v := Reshape(x, s)))",
    replace=_view_alike,
    where=(_moves_made_ones,),
    min_opset=5,
)

PASSES: tuple[Rule, ...] = (TRANSPOSE_ONES_TO_RESHAPE, SETTLE_ONES)
