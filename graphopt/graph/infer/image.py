"""Infer operators on images and boxes: resizing, sampling, regions of interest."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from graphopt.graph.dims import Dim, floordiv, product
from graphopt.graph.infer.dtypes import always, first
from graphopt.graph.infer.site import Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]


def _resize(site: Site) -> Shapes:
    shape = site.known_shape(0)
    if site.version < 11:
        return _scaled(site, shape, range(len(shape)), 1)
    axes = site.integers("axes") if site.version >= 18 else None
    places = range(len(shape)) if axes is None else [site.axis(axis, len(shape)) for axis in axes]
    if site.has(3) and site.shape(3) != (0,):
        return _sized(site, shape, places)
    # With this coordinate transformation the size depends on the region of interest as well.
    if site.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return site.unknown(len(shape))
    return _scaled(site, shape, places, 2)


def _sized(site: Site, shape: Shape, places: range | list[int]) -> Shape:
    sizes = site.contents(3)
    keeps_ratio = site.text("keep_aspect_ratio_policy", "stretch") != "stretch"
    known = sizes if sizes is not None and len(sizes) == len(places) and not keeps_ratio else None
    dims = list(shape)
    for index, axis in enumerate(places):
        dims[axis] = site.fresh() if known is None else known[index]
    return tuple(dims)


def _scaled(site: Site, shape: Shape, places: range | list[int], index: int) -> Shape:
    scales = site.array(index)
    dims = list(shape)
    for number, axis in enumerate(places):
        known = scales is not None and scales.size == len(places)
        dims[axis] = (
            _scale(site, dims[axis], scales.reshape(-1)[number]) if known and scales is not None else site.fresh()
        )
    return tuple(dims)


def _scale(site: Site, dim: Dim, scale: np.floating) -> Dim:
    """Return floor(dim * scale), or a fresh size where that depends on how the product is rounded."""
    if not np.isfinite(scale) or scale <= 0:
        return site.fresh()
    exact = Fraction(float(scale))
    if isinstance(dim, int):
        # Runtimes multiply in float32 or in float64.
        single = int(np.floor(np.float32(dim) * np.float32(scale)))
        return single if single == (dim * exact.numerator) // exact.denominator else site.fresh()
    return floordiv(dim * exact.numerator, exact.denominator) if exact.denominator <= 256 else site.fresh()


def _upsample(site: Site) -> Shapes:
    shape = site.known_shape(0)
    if site.version >= 9:
        return _scaled(site, shape, range(len(shape)), 1)
    scales = site.attribute("scales")
    if scales is None or len(scales) != len(shape):
        return site.unknown(len(shape))
    return tuple(_scale(site, dim, np.float32(scale)) for dim, scale in zip(shape, scales, strict=True))


def _grid_sample(site: Site) -> Shapes:
    x, grid = site.known_shape(0), site.known_shape(1)
    return (x[0], x[1], *grid[1:-1]) if len(x) == len(grid) else None


def _affine_grid(site: Site) -> Shapes:
    size = site.contents(1)
    n, spatial, _ = site.known_shape(0)
    if size is None:
        return (n, *site.unknown(spatial), spatial) if isinstance(spatial, int) and spatial in {2, 3} else None
    return (n, *size[2:], len(size) - 2)


def _roi_align(site: Site) -> Shapes:
    x, rois = site.known_shape(0), site.known_shape(1)
    return (rois[0], x[1], site.integer("output_height", 1), site.integer("output_width", 1))


def _max_roi_pool(site: Site) -> Shapes:
    x, rois = site.known_shape(0), site.known_shape(1)
    pooled = site.integers("pooled_shape")
    return None if pooled is None else (rois[0], x[1], *pooled)


def _boxes(site: Site) -> Shapes:
    return (site.fresh(), 3)


def _max_unpool(site: Site) -> Shapes:
    x = site.known_shape(0)
    if site.has(2):
        return site.contents(2) or site.unknown(len(x))
    kernel = site.integers("kernel_shape")
    count = len(x) - 2
    if kernel is None or len(kernel) != count:
        return site.unknown(len(x))
    strides = site.integers("strides") or (1,) * count
    pads = site.integers("pads") or (0,) * 2 * count
    dims = ((x[i + 2] - 1) * strides[i] + kernel[i] - pads[i] - pads[i + count] for i in range(count))
    return (*x[:2], *dims)


def _col2im(site: Site) -> Shapes:
    x = site.known_shape(0)
    image, block = site.contents(1), site.contents(2)
    if image is None or block is None:
        return None
    return (x[0], floordiv(x[1], product(block)), *image)


def _decoded(site: Site) -> Shapes:
    return site.unknown(3)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Resize"): Operator(first, _resize),
    ("", "Upsample"): Operator(first, _upsample),
    ("", "GridSample"): Operator(first, _grid_sample),
    ("", "AffineGrid"): Operator(first, _affine_grid),
    ("", "RoiAlign"): Operator(first, _roi_align),
    ("", "MaxRoiPool"): Operator(first, _max_roi_pool),
    ("", "NonMaxSuppression"): Operator(always(DataType.INT64), _boxes),
    ("", "MaxUnpool"): Operator(first, _max_unpool),
    ("", "Col2Im"): Operator(first, _col2im),
    ("", "ImageDecoder"): Operator(always(DataType.UINT8), _decoded),
}
