"""Compute dense convolutions with fewer multiplications."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.padding import window_pads
from graphopt_passes.toom_cook import ONE, Transforms, transforms

__all__ = ["PASSES"]

_TILES = (2, 4)
"""Rows and columns of results that one tile gives: 4 saves more work, 2 more memory traffic and error."""

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
    """A dense 3 x 3 or 5 x 5 convolution of stride 1 with known sizes."""

    channels: int
    outputs: int
    height: int
    width: int
    taps: int
    pads: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.height + self.pads[0] + self.pads[2] - self.taps + 1

    @property
    def columns(self) -> int:
        return self.width + self.pads[1] + self.pads[3] - self.taps + 1

    def tiles(self, tile: int) -> tuple[int, int]:
        return -(-self.rows // tile), -(-self.columns // tile)

    @staticmethod
    def spill(size: int) -> float:
        """Return how much dearer copies become where `size` bytes of transformed values do not fit the caches."""
        return 1 + min(1.5, max(0.0, size / _CACHE_BYTES - 1))

    def cost(self, tile: int) -> float:
        """Predict the time over that of the direct convolution."""
        points, (down, across) = (tile + self.taps - 1) ** 2, self.tiles(tile)
        product, copy, weight, enter, leave = _COSTS
        copy *= self.spill(4 * points * down * across * max(self.channels, self.outputs))
        each = product + copy * (1 / self.channels + 1 / self.outputs) / 2
        each += (enter * points / self.outputs) + leave * tile**2 / self.channels
        total = points * (down * across * each + weight)
        return total / (self.taps**2 * self.rows * self.columns)


def _site(match: Match) -> _Site | None:
    """Read the convolution; None if a size is not known or it is of another kind."""
    conv, opset = match.root, match.opset
    shape, w = match.facts.shape(match["x"]), match.facts.static_shape(match["w"])
    pads = window_pads(conv, opset, 2)
    if shape is None or w is None or len(shape) != 4 or len(w) != 4 or pads is None or has_reference(conv):
        return None
    ones = (attribute(conv, "strides", opset) or [1, 1], attribute(conv, "dilations", opset) or [1, 1])
    plain = all(list(each) == [1, 1] for each in ones) and attribute(conv, "group", opset) == 1
    _, channels, height, width = shape
    if not plain or w[2] != w[3] or min(pads) < 0 or channels != w[1]:
        return None
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    found = _Site(w[1], w[0], height, width, w[2], tuple(pads))
    return found if min(found.rows, found.columns) > 0 and found.taps in {3, 5} else None


def _tile(site: _Site) -> int:
    return min(_TILES, key=site.cost)


@condition("fewer multiplications outweigh the transforms")
def _worth(match: Match) -> bool:
    site = _site(match)
    return site is not None and site.cost(_tile(site)) < _WORTH


def _winograd(build: Builder, match: Match) -> Value | None:
    site, w, b = _site(match), match.constant("w"), match.constant("b")
    if site is None or w is None or (match.get("b") is not None and b is None):
        return None
    tile = _tile(site)
    found = transforms(tile, site.taps)
    products = _multiply(build, _enter(build, match["x"], site, tile, found), site, found, w, b)
    return _leave(build, products, site, tile, found)


def _enter(build: Builder, x: Value, site: _Site, tile: int, found: Transforms) -> Value:
    """Transform overlapping tiles: [n, c, h, w] becomes [n, points * c, down, across]."""
    size, (down, across) = tile + site.taps - 1, site.tiles(tile)
    filters = np.einsum("ia,jb->ijab", found.data, found.data).reshape(-1, 1, size, size).astype(np.float32)
    top, left, bottom, right = site.pads
    over = (down * tile - site.rows, across * tile - site.columns)
    planes = build.op("Reshape", x, _shape(build, -1, 1, site.height, site.width))
    pads = [top, left, bottom + over[0], right + over[1]]
    made = build.op("Conv", planes, build.constant(filters), strides=[tile, tile], pads=pads)
    made = build.op("Reshape", made, _shape(build, -1, site.channels, size * size, down * across))
    made = build.op("Transpose", made, perm=[0, 2, 1, 3])
    value: Value = build.op("Reshape", made, _shape(build, -1, size * size * site.channels, down, across))
    return value


def _multiply(build: Builder, x: Value, site: _Site, found: Transforms, w: np.ndarray, b: np.ndarray | None) -> Value:
    """Multiply the channels at each point; the bias enters at the point (1, 1), which reaches every result alike."""
    size = len(found.data)
    weights = np.einsum("ia,jb,ocab->ijoc", found.kernel, found.kernel, w.astype(np.float64))
    bias = None
    if b is not None:
        spread = np.zeros((size, size, site.outputs), np.float32)
        spread[ONE, ONE] = b
        bias = build.constant(spread.reshape(-1))
    kernel = build.constant(weights.reshape(-1, site.channels, 1, 1).astype(np.float32))
    value: Value = build.op("Conv", x, kernel, bias, group=size * size)
    return value


def _leave(build: Builder, x: Value, site: _Site, tile: int, found: Transforms) -> Value:
    """Transform back: [n, points * o, down, across] becomes [n, o, rows, columns]."""
    points, (down, across) = len(found.data) ** 2, site.tiles(tile)
    filters = np.einsum("ai,bj->ijab", found.result, found.result).reshape(points, 1, tile, tile).astype(np.float32)
    made = build.op("Reshape", x, _shape(build, -1, points, site.outputs, down * across))
    made = build.op("Transpose", made, perm=[0, 2, 1, 3])
    made = build.op("Reshape", made, _shape(build, -1, points, down, across))
    made = build.op("ConvTranspose", made, build.constant(filters), strides=[tile, tile])
    made = build.op("Reshape", made, _shape(build, -1, site.outputs, down * tile, across * tile))
    if (site.rows, site.columns) != (down * tile, across * tile):
        ends = _shape(build, site.rows, site.columns)
        made = build.op("Slice", made, _shape(build, 0, 0), ends, _shape(build, 2, 3))
    value: Value = made
    return value


def _shape(build: Builder, *sizes: int) -> Value:
    return build.constant(np.array(sizes, np.int64))


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
