"""Compute dense convolutions with fewer multiplications."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from graphopt.graph.deferred import defer
from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.padding import window_pads
from graphopt_passes.toom_cook import Transforms, transforms

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]

_TILES = ((2, 2), (4, 4), (2, 1), (4, 1), (6, 1), (1, 2), (1, 4), (1, 6))
"""Rows and columns of results that one tile gives; where that is one, the direction is computed directly.

Tiles that are cut in both directions save most work, at most memory traffic and error; unequal ones were never best.
"""

_MOST_POINTS = 8
"""Points of a tile in one direction; more of them cost too much precision in float32."""

_WORTH = 0.9
"""Predicted share of the direct convolution's time below which the rewrite is worth its weights."""

_HOPELESS = 1.3
"""Predicted share of the time above which a choice by measurement does not try the rewrite."""

_EXPLORED = ((2, 2), (4, 4), (4, 1), (6, 1), (1, 4))
"""The tiles that a choice by measurement tries, each where it may."""

_COSTS = (1.15, 36.2, 8.6, 1.2, 4.9)
"""Cost of a product, a copied value, a read weight, and of both transforms, in multiply-adds of a direct convolution.

Fitted to measured ratios of two kernels of 3 x 3 in a row between pointwise ones, 32 to 512 channels, 7 to 112 rows;
the root mean square of the relative error is 0.07. Kernels of 5 x 5 gain more than it predicts.
"""

_CACHE_BYTES = 3 << 19
"""Transformed values of one image that stay near the processor; measured up to 10 MB on 1 MiB of L2, 32 MiB of L3."""

_BLOCK = 16
"""Channels that the runtime computes at once."""


@dataclass(frozen=True)
class _Axis:
    """Rows or columns, cut into tiles of `tile` results; with tiles of one result nothing is transformed.

    `pads` stand before and behind.
    """

    size: int
    taps: int
    pads: tuple[int, int]
    tile: int = 1

    @property
    def cut(self) -> bool:
        """Tell whether tiles are transformed."""
        return self.tile > 1

    @property
    def results(self) -> int:
        """The size of the result."""
        return self.size + sum(self.pads) - self.taps + 1

    @property
    def tiles(self) -> int:
        """The number of tiles, the last of which may overhang."""
        return -(-self.results // self.tile)

    @property
    def points(self) -> int:
        """The points at which a tile is multiplied."""
        return self.tile + self.taps - 1 if self.cut else 1

    @property
    def transforms(self) -> Transforms:
        """The transforms of a tile; of one that is not cut, the number one."""
        return transforms(self.tile, self.taps if self.cut else 1)

    @property
    def kernel(self) -> Array:
        """What makes the weights at a point of those at the taps, [points, taps that are left, taps]."""
        return self.transforms.kernel[:, None] if self.cut else np.eye(self.taps)[None]


_ONE = _Axis(1, 1, (0, 0))


@dataclass(frozen=True)
class _Site:
    """A dense convolution of stride 1 with known sizes; lines and pictures of one column count as those of one row."""

    channels: int
    outputs: int
    down: _Axis
    across: _Axis
    rank: int = 4
    column: bool = False

    @property
    def axes(self) -> tuple[_Axis, _Axis]:
        """Both axes."""
        return self.down, self.across

    @property
    def points(self) -> int:
        """The points of a tile in both directions."""
        return self.down.points * self.across.points

    @property
    def together(self) -> int:
        """The channels that are transformed at once, so that their points fill a block."""
        return max(math.gcd(self.channels, count) for count in (1, 2, 4) if count == 1 or self.points * count <= _BLOCK)

    def best(self, tiles: Sequence[tuple[int, int]]) -> _Site:
        """Return the same convolution with its axes cut into those of `tiles` that cost the least."""
        down, across = self.axes
        plans = [replace(self, down=replace(down, tile=m), across=replace(across, tile=n)) for m, n in tiles]
        return min((plan for plan in plans if plan.fits), key=lambda plan: plan.cost, default=self)

    @property
    def fits(self) -> bool:
        """Tell whether the runtime has a fast kernel for the products, and float32 is precise enough for the tiles.

        An axis of one tap needs none.
        """
        blocks = self.channels % _BLOCK == 0 and self.outputs % _BLOCK == 0
        return blocks and all(axis.points <= _MOST_POINTS and (axis.taps > 1 or not axis.cut) for axis in self.axes)

    @property
    def cost(self) -> float:
        """Predict the time over that of the direct convolution."""
        tiles, points = math.prod(axis.tiles for axis in self.axes), self.points
        taps = math.prod(1 if axis.cut else axis.taps for axis in self.axes)
        if points == 1:
            return 1.0
        product, copy, weight, enter, leave = _COSTS
        padded = -(-points * self.together // _BLOCK) * _BLOCK / self.together
        copy *= _spill(4 * points * tiles * max(self.channels, self.outputs))
        each = product * taps + copy * (1 / self.channels + padded / points / self.outputs) / 2
        each += enter * padded / self.outputs + leave * math.prod(axis.tile for axis in self.axes) / self.channels
        return points * (tiles * each + weight * taps) / math.prod(axis.taps * axis.results for axis in self.axes)


def _spill(size: int) -> float:
    """Return how much dearer copies become where `size` bytes of transformed values do not fit the caches."""
    return 1 + min(2.0, max(0.0, size / _CACHE_BYTES - 1))


def _site(match: Match, tiles: Sequence[tuple[int, int]] = _TILES) -> _Site | None:
    """Read the convolution, cut into the best of `tiles`; None if a size is not known or it is of another kind."""
    conv, opset = match.root, match.opset
    shape, w = match.facts.shape(match["x"]), match.facts.static_shape(match["w"])
    if shape is None or w is None or len(shape) != len(w) or len(w) not in {3, 4} or has_reference(conv):
        return None
    axes = len(w) - 2
    pads = window_pads(conv, opset, axes)
    ones = [attribute(conv, name, opset) or [1] for name in ("strides", "dilations")]
    if pads is None or min(pads) < 0 or any(set(each) != {1} for each in ones) or attribute(conv, "group", opset) != 1:
        return None
    sizes = [size for size in shape[2:] if isinstance(size, int)]
    if len(sizes) < axes or shape[1] != w[1]:
        return None
    around = [(pads[axis], pads[axis + axes]) for axis in range(axes)]
    found = [_Axis(size, taps, pad) for size, taps, pad in zip(sizes, w[2:], around, strict=True)]
    column = axes == 2 and found[1] == _ONE
    down, across = (_ONE, found[0]) if axes == 1 or column else found
    site = _Site(w[1], w[0], down, across, rank=len(w), column=column)
    return site.best(tiles) if min(axis.results for axis in found) > 0 else None


@condition("fewer multiplications outweigh the transforms")
def _worth(match: Match) -> bool:
    site = _site(match)
    return site is not None and site.cost < _WORTH


def _winograd(build: Builder, match: Match, tiles: Sequence[tuple[int, int]] = _TILES) -> Value | None:
    site, w, b = _site(match, tiles), match.constant("w"), match.constant("b")
    if site is None or w is None or (match.get("b") is not None and b is None):
        return None
    weights = w.reshape(site.outputs, site.channels, site.down.taps, site.across.taps)
    products = _multiply(build, _enter(build, match["x"], site), weights, b, site)
    return _leave(build, products, site)


def _enter(build: Builder, x: Value, site: _Site) -> Value:
    """Transform overlapping tiles: [n, c, h, w] becomes [n, points * c, h, w], where tiles stand for what is cut."""
    down, across = site.axes
    one = np.eye(site.together)
    filters = np.einsum("ia,jb,xy->ijxyab", down.transforms.data, across.transforms.data, one).astype(np.float32)
    kernel = build.constant(filters.reshape(-1, site.together, down.points, across.points))
    before = [axis.pads[0] if axis.cut else 0 for axis in site.axes]
    behind = [axis.pads[1] + axis.tiles * axis.tile - axis.results if axis.cut else 0 for axis in site.axes]
    sizes = [axis.tiles if axis.cut else axis.size for axis in site.axes]
    planes = build.op("Reshape", x, build.shape(-1, site.together, *(axis.size for axis in site.axes)))
    made = build.op("Conv", planes, kernel, strides=[axis.tile for axis in site.axes], pads=[*before, *behind])
    parts = build.shape(-1, site.channels // site.together, site.points, site.together * math.prod(sizes))
    made = build.op("Reshape", made, parts)
    made = build.op("Transpose", made, perm=[0, 2, 1, 3])
    value: Value = build.op("Reshape", made, build.shape(-1, site.points * site.channels, *sizes))
    return value


def _multiply(build: Builder, x: Value, w: Array, b: Array | None, site: _Site) -> Value:
    """Multiply the channels at each point; the bias enters where it reaches every result alike."""
    down, across = site.axes
    bias = None
    if b is not None:
        spread = np.zeros((len(down.kernel), len(across.kernel), site.outputs), np.float32)
        spread[down.transforms.one, across.transforms.one] = b
        bias = build.constant(spread.reshape(-1))
    kernel = _transformed(build, w, site)
    pads = [0 if axis.cut else axis.pads[side] for side in (0, 1) for axis in site.axes]
    value: Value = build.op("Conv", x, kernel, bias, group=site.points, pads=pads)
    return value


def _transformed(build: Builder, w: Array, site: _Site) -> Value:
    """Transform the kernel [o, c, kh, kw] to [points * o, c, ...] when the model is loaded, as that is larger."""
    down, across = site.axes
    matrices = np.einsum("iua,jvb->ijabuv", down.kernel, across.kernel).astype(np.float32)
    rest = matrices.shape[4:]
    by_point = build.constant(matrices.reshape(-1, math.prod(w.shape[2:]), math.prod(rest)))
    rows = build.op("MatMul", build.constant(w.reshape(site.outputs * site.channels, -1)), by_point)
    value: Value = build.op("Reshape", rows, build.shape(-1, site.channels, *rest))
    for node in build.nodes[-2:]:
        defer(node)
    return value


def _leave(build: Builder, x: Value, site: _Site) -> Value:
    """Transform back: [n, points * o, tiles down, tiles across] becomes [n, o, rows, columns].

    Tiles do not overlap here, and so all outputs of a picture stand one below the other in one.
    """
    down, across = site.axes
    filters = np.einsum("ai,bj->ijab", down.transforms.result, across.transforms.result).astype(np.float32)
    kernel = build.constant(filters.reshape(site.points, 1, down.tile, across.tile))
    made = build.op("Reshape", x, build.shape(-1, site.points, site.outputs * down.tiles, across.tiles))
    made = build.op("ConvTranspose", made, kernel, strides=[axis.tile for axis in site.axes])
    axes = (across, down) if site.column else site.axes[-2 if site.rank == 4 else -1 :]
    made = build.op("Reshape", made, build.shape(-1, site.outputs, *(axis.tiles * axis.tile for axis in axes)))
    over = [place for place, axis in enumerate(axes, 2) if axis.tiles * axis.tile > axis.results]
    if over:
        ends = build.shape(*(axes[place - 2].results for place in over))
        made = build.op("Slice", made, build.shape(*(0 for _ in over)), ends, build.shape(*over))
    value: Value = made
    return value


WINOGRAD_CONV = Rule(
    name="winograd-conv",
    doc="Compute a dense convolution of stride 1 by Winograd's minimal filtering, with stock operators.",
    match="Conv(x, const(w), opt(const(b)))",
    replace=_winograd,
    where=(dtype_in("x", frozenset({DataType.FLOAT})), _worth),
    exactness=Exactness.APPROXIMATE,
    stage="steer",
    targets=(Target.ORT_CPU,),
    min_opset=10,
)


def _explored(down: int, across: int) -> Rule:
    """Make the rule that cuts into tiles of one size, wherever that is not hopeless."""
    tiles = ((down, across),)

    @condition(f"tiles of {down} x {across} are not hopeless")
    def able(match: Match) -> bool:
        site = _site(match, tiles)
        return site is not None and site.points > 1 and site.cost < _HOPELESS

    return replace(
        WINOGRAD_CONV,
        name=f"winograd-conv-{down}x{across}",
        doc=f"Compute a dense convolution by minimal filtering in tiles of {down} x {across} results.",
        replace=partial(_winograd, tiles=tiles),
        where=(WINOGRAD_CONV.where[0], able),
        stage="explore",
    )


PASSES = (WINOGRAD_CONV, *(_explored(down, across) for down, across in _EXPLORED))
