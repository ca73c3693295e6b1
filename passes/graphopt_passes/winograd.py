"""Compute dense convolutions with fewer multiplications."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

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

_TILES = (2, 4)
"""Rows or columns of results that one tile gives: 4 saves more work, 2 more memory traffic and error."""

_MOST_POINTS = 8
"""Points of a tile in one direction; more cost too much precision in float32."""

_WORTH = 0.9
"""Predicted share of the direct convolution's time below which the rewrite is worth its weights."""

_COSTS = (1.07, 79.4, 14.6, 1.61, 3.58)
"""Cost of a product, a copied value, a read weight, and of both transforms, in multiply-adds of a direct convolution.

Fitted to the measured ratios of kernels of 3 x 3, 64 to 512 channels, 10 to 80 rows; the root mean square of the
relative error is 0.11. Kernels of 5 x 5 gain more than it predicts.
"""


_CACHE_BYTES = 8 << 20
"""Transformed values of one image that stay near the processor; measured up to 100 MB on 2 MiB of L2, 32 MiB of L3."""


@dataclass(frozen=True)
class _Site:
    """A dense convolution of stride 1 with known sizes; one of rank 3 counts as pictures of one row.

    `size`, `taps` and `pads` (before, behind) are of rows and columns.
    """

    channels: int
    outputs: int
    size: tuple[int, int]
    taps: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]

    @property
    def result(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        rows, columns = (
            size + sum(pads) - taps + 1 for size, taps, pads in zip(self.size, self.taps, self.pads, strict=True)
        )
        return rows, columns

    @property
    def tile(self) -> tuple[int, int]:
        """The rows and columns of results that one tile gives, at the least cost."""
        rows, columns = ([m for m in _TILES if m + taps - 1 <= _MOST_POINTS] if taps > 1 else [1] for taps in self.taps)
        return min(itertools.product(rows, columns), key=self.cost, default=(1, 1))

    def tiles(self, tile: tuple[int, int]) -> tuple[int, int]:
        """Return the number of tiles down and across, the last of which may overhang."""
        (rows, columns), (down, across) = self.result, tile
        return -(-rows // down), -(-columns // across)

    def points(self, tile: tuple[int, int]) -> tuple[int, int]:
        """Return the number of points of a tile, down and across."""
        return tile[0] + self.taps[0] - 1, tile[1] + self.taps[1] - 1

    def cost(self, tile: tuple[int, int]) -> float:
        """Predict the time over that of the direct convolution."""
        points, tiles = math.prod(self.points(tile)), math.prod(self.tiles(tile))
        product, copy, weight, enter, leave = _COSTS
        copy *= _spill(4 * points * tiles * max(self.channels, self.outputs))
        each = product + copy * (1 / self.channels + 1 / self.outputs) / 2
        each += enter * points / self.outputs + leave * math.prod(tile) / self.channels
        return points * (tiles * each + weight) / math.prod((*self.taps, *self.result))


def _spill(size: int) -> float:
    """Return how much dearer copies become where `size` bytes of transformed values do not fit the caches."""
    return 1 + min(1.5, max(0.0, size / _CACHE_BYTES - 1))


def _site(match: Match) -> _Site | None:
    """Read the convolution; None if a size is not known or it is of another kind."""
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
    line = axes == 1
    found = _Site(
        w[1],
        w[0],
        (1, sizes[0]) if line else (sizes[0], sizes[1]),
        (1, w[2]) if line else (w[2], w[3]),
        ((0, 0), around[0]) if line else (around[0], around[1]),
    )
    return found if min(found.result) > 0 and max(found.taps) > 1 else None


@condition("fewer multiplications outweigh the transforms")
def _worth(match: Match) -> bool:
    site = _site(match)
    return site is not None and max(site.tile) > 1 and site.cost(site.tile) < _WORTH


def _winograd(build: Builder, match: Match) -> Value | None:
    site, w, b = _site(match), match.constant("w"), match.constant("b")
    if site is None or w is None or (match.get("b") is not None and b is None):
        return None
    down, across = (transforms(m, taps) for m, taps in zip(site.tile, site.taps, strict=True))
    weights = w.reshape(site.outputs, site.channels, *site.taps)
    products = _multiply(build, _enter(build, match["x"], site, down, across), weights, b, down, across)
    return _leave(build, products, site, down, across, match.facts.rank(match["x"]))


def _enter(build: Builder, x: Value, site: _Site, down: Transforms, across: Transforms) -> Value:
    """Transform overlapping tiles: [n, c, h, w] becomes [n, points * c, tiles down, tiles across]."""
    tiles, points = site.tiles(site.tile), site.points(site.tile)
    filters = np.einsum("ia,jb->ijab", down.data, across.data).reshape(-1, 1, *points).astype(np.float32)
    over = [count * tile - size for count, tile, size in zip(tiles, site.tile, site.result, strict=True)]
    (top, bottom), (left, right) = site.pads
    planes = build.op("Reshape", x, build.shape(-1, 1, *site.size))
    pads = [top, left, bottom + over[0], right + over[1]]
    made = build.op("Conv", planes, build.constant(filters), strides=list(site.tile), pads=pads)
    made = build.op("Reshape", made, build.shape(-1, site.channels, math.prod(points), math.prod(tiles)))
    made = build.op("Transpose", made, perm=[0, 2, 1, 3])
    value: Value = build.op("Reshape", made, build.shape(-1, math.prod(points) * site.channels, *tiles))
    return value


def _multiply(build: Builder, x: Value, w: Array, b: Array | None, down: Transforms, across: Transforms) -> Value:
    """Multiply the channels at each point; the bias enters where it reaches every result alike."""
    outputs, channels = w.shape[:2]
    weights = np.einsum("ia,jb,ocab->ijoc", down.kernel, across.kernel, w.astype(np.float64))
    bias = None
    if b is not None:
        spread = np.zeros((*weights.shape[:2], outputs), np.float32)
        spread[down.one, across.one] = b
        bias = build.constant(spread.reshape(-1))
    kernel = build.constant(weights.reshape(-1, channels, 1, 1).astype(np.float32))
    value: Value = build.op("Conv", x, kernel, bias, group=weights.shape[0] * weights.shape[1])
    return value


def _leave(build: Builder, x: Value, site: _Site, down: Transforms, across: Transforms, rank: int | None) -> Value:
    """Transform back: [n, points * o, tiles down, tiles across] becomes [n, o, rows, columns]."""
    tiles, points = site.tiles(site.tile), math.prod(site.points(site.tile))
    filters = np.einsum("ai,bj->ijab", down.result, across.result).reshape(points, 1, *site.tile).astype(np.float32)
    made = build.op("Reshape", x, build.shape(-1, points, site.outputs, math.prod(tiles)))
    made = build.op("Transpose", made, perm=[0, 2, 1, 3])
    made = build.op("Reshape", made, build.shape(-1, points, *tiles))
    made = build.op("ConvTranspose", made, build.constant(filters), strides=list(site.tile))
    whole = [count * tile for count, tile in zip(tiles, site.tile, strict=True)]
    axes = [1] if rank == 3 else [0, 1]
    made = build.op("Reshape", made, build.shape(-1, site.outputs, *(whole[axis] for axis in axes)))
    if site.result != tuple(whole):
        ends = build.shape(*(site.result[axis] for axis in axes))
        places = range(2, 2 + len(axes))
        made = build.op("Slice", made, build.shape(*(0 for _ in axes)), ends, build.shape(*places))
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

PASSES = (WINOGRAD_CONV,)
