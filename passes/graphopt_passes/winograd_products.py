"""Compute dense convolutions with fewer multiplications, all of them in matrix products."""

from __future__ import annotations

from dataclasses import dataclass
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
from graphopt_passes.toom_cook import transforms

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]

_TILE, _TAPS = 4, 3
_POINTS = _TILE + _TAPS - 1
_BLOCK = 16
"""Tiles that a product computes at once; fewer are padded."""

_MOST = 64
"""Rows or columns of a picture; beyond, the bands of the first transform hold too many zeros."""

_COSTS = (1.35, 12.2, 209.0, 0.338)
"""Cost of a product, a read weight, a copied value and of an entry of a band, in multiply-adds of a direct convolution.

Fitted to measured ratios of kernels of 3 x 3, 64 to 512 channels, 7 to 256 rows, in OpenVINO 2026.4 on AVX-512; the
median relative error is 0.08.
"""

_WORTH = 0.85
"""Predicted share of the direct convolution's time below which the rewrite is worth its weights."""


@dataclass(frozen=True)
class _Site:
    """A dense convolution of 3 x 3 and stride 1; `size` and `pads` (before, behind) are of rows and of columns."""

    channels: int
    outputs: int
    size: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]

    @property
    def result(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        rows, columns = (size + sum(pads) - _TAPS + 1 for size, pads in zip(self.size, self.pads, strict=True))
        return rows, columns

    @property
    def tiles(self) -> tuple[int, int]:
        """The number of tiles down and across, the last of which may overhang."""
        rows, columns = self.result
        return -(-rows // _TILE), -(-columns // _TILE)

    @property
    def cost(self) -> float:
        """Predict the time over that of the direct convolution."""
        product, weight, copy, band = _COSTS
        tiles = self.tiles[0] * self.tiles[1]
        each = product * -(-tiles // _BLOCK) * _BLOCK + weight
        each += copy * tiles * (1 / self.channels + 1 / self.outputs) / 2
        spread = (1.5 * self.size[1] + 2.25 * self.size[0]) / (_TAPS**2 * self.outputs)
        return _POINTS**2 * each / (_TAPS**2 * self.result[0] * self.result[1]) + band * spread


def _site(match: Match) -> _Site | None:
    """Read the convolution; None if a size is not known or it is of another kind."""
    conv, opset = match.root, match.opset
    shape, w, pads = match.facts.shape(match["x"]), match.facts.static_shape(match["w"]), window_pads(conv, opset, 2)
    if shape is None or len(shape) != 4 or w is None or w[1:] != (shape[1], _TAPS, _TAPS) or has_reference(conv):
        return None
    ones = [attribute(conv, name, opset) or [1] for name in ("strides", "dilations")]
    if pads is None or min(pads) < 0 or any(set(each) != {1} for each in ones):
        return None
    rows, columns = shape[2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        return None
    found = _Site(w[1], w[0], (rows, columns), ((pads[0], pads[2]), (pads[1], pads[3])))
    return found if min(found.result) > 0 else None


@condition("fewer multiplications outweigh the transforms")
def _worth(match: Match) -> bool:
    site = _site(match)
    return site is not None and max(site.size) <= _MOST and site.cost < _WORTH


def _band(size: int, tiles: int, before: int) -> Array:
    """Return what transforms overlapping tiles of a row in one product, [size, tiles * points]; padding has no rows."""
    data, found = transforms(_TILE, _TAPS).data, np.zeros((size, tiles * _POINTS))
    for tile in range(tiles):
        first = tile * _TILE - before
        inside = range(max(first, 0), min(first + _POINTS, size))
        for place in inside:
            found[place, tile * _POINTS : (tile + 1) * _POINTS] = data[:, place - first]
    return found.astype(np.float32)


def _winograd(build: Builder, match: Match) -> Value | None:
    site, w, b = _site(match), match.constant("w"), match.constant("b")
    if site is None or w is None or (match.get("b") is not None and b is None):
        return None
    products = build.op("MatMul", _transformed(build, w), _enter(build, match["x"], site))
    made = _leave(build, products, site)
    return made if b is None else build.op("Add", made, build.constant(b.reshape(-1, 1, 1)))


def _transformed(build: Builder, w: Array) -> Value:
    """Transform the kernel [o, c, 3, 3] to [points, o, c] when the model is loaded, as that is larger."""
    kernel = transforms(_TILE, _TAPS).kernel
    matrix = np.einsum("ia,jb->ijab", kernel, kernel).reshape(_POINTS**2, -1).astype(np.float32)
    made = build.op("MatMul", build.constant(matrix), build.constant(w.reshape(-1, _TAPS**2).T.copy()))
    value: Value = build.op("Reshape", made, build.shape(-1, *w.shape[:2]))
    for node in build.nodes[-2:]:
        defer(node)
    return value


def _enter(build: Builder, x: Value, site: _Site) -> Value:
    """Transform the tiles: [n, c, h, w] becomes [points, c, n * tiles]."""
    (rows, columns), (down, across) = site.size, site.tiles
    made = build.op("MatMul", x, build.constant(_band(columns, across, site.pads[1][0])))
    made = build.op("MatMul", build.constant(_band(rows, down, site.pads[0][0]).T), made)
    made = build.op("Reshape", made, build.shape(-1, site.channels, down, _POINTS, across, _POINTS))
    made = build.op("Transpose", made, perm=[3, 5, 1, 0, 2, 4])
    value: Value = build.op("Reshape", made, build.shape(_POINTS**2, site.channels, -1))
    return value


def _leave(build: Builder, x: Value, site: _Site) -> Value:
    """Transform back: [points, o, n * tiles] becomes [n, o, rows, columns]."""
    (rows, columns), (down, across), result = site.result, site.tiles, transforms(_TILE, _TAPS).result
    back = np.einsum("ai,bj->abij", result, result).reshape(_TILE**2, -1).astype(np.float32)
    made = build.op("MatMul", build.constant(back), build.op("Reshape", x, build.shape(_POINTS**2, -1)))
    made = build.op("Reshape", made, build.shape(_TILE, _TILE, site.outputs, -1, down, across))
    made = build.op("Transpose", made, perm=[3, 2, 4, 0, 5, 1])
    made = build.op("Reshape", made, build.shape(-1, site.outputs, down * _TILE, across * _TILE))
    if (down * _TILE, across * _TILE) != (rows, columns):
        made = build.op("Slice", made, build.shape(0, 0), build.shape(rows, columns), build.shape(2, 3))
    value: Value = made
    return value


# OpenVINO computes transforms in convolutions of few channels slowly, and those of many groups: that form takes 1.8 to
# 4.5 times as long as the convolution.
WINOGRAD_PRODUCTS = Rule(
    name="winograd-products",
    doc="Compute a dense convolution of 3 x 3 by Winograd's minimal filtering, with matrix products alone.",
    match="Conv(x, const(w), opt(const(b)), group=1)",
    replace=_winograd,
    where=(dtype_in("x", frozenset({DataType.FLOAT})), _worth),
    exactness=Exactness.APPROXIMATE,
    stage="steer",
    targets=(Target.OPENVINO,),
    min_opset=10,
)

PASSES = (WINOGRAD_PRODUCTS,)
