"""Infer convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence

from graphopt.graph.dims import Dim, ceildiv, floordiv, known_at_least
from graphopt.graph.infer.dtypes import always, first, of_input
from graphopt.graph.infer.site import Dtypes, Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS", "conv_shape"]


def _spread(values: Sequence[int] | None, count: int, default: int) -> tuple[int, ...]:
    if values is None:
        return (default,) * count
    if len(values) != count:
        msg = "an attribute has not one number for each spatial axis"
        raise ValueError(msg)
    return tuple(values)


def _windows(site: Site, sizes: Shape, kernel: Sequence[Dim], *, ceil: bool = False) -> Shape:
    """Return how many windows fit along each spatial axis."""
    count = len(sizes)
    strides = _spread(site.integers("strides"), count, 1)
    dilations = _spread(site.integers("dilations"), count, 1)
    pads = _spread(site.integers("pads"), 2 * count, 0)
    auto = site.text("auto_pad", "NOTSET")
    if auto not in {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"} or min(strides) < 1 or len(kernel) != count:
        return site.unknown(count)
    if auto.startswith("SAME"):
        return tuple(ceildiv(size, stride) for size, stride in zip(sizes, strides, strict=True))
    found: list[Dim] = []
    for axis, (size, width) in enumerate(zip(sizes, kernel, strict=True)):
        before, after = (0, 0) if auto == "VALID" else (pads[axis], pads[axis + count])
        room = size + before + after - (dilations[axis] * (width - 1) + 1)
        found.append(_fit(site, room, size + before, strides[axis], ceil=ceil))
    return tuple(found)


def _fit(site: Site, room: Dim, limit: Dim, stride: int, *, ceil: bool) -> Dim:
    if isinstance(room, int) and room < 0:
        # No window fits: runtimes differ.
        return site.fresh()
    if not ceil or stride == 1:
        return floordiv(room, stride) + 1
    fit = ceildiv(room, stride) + 1
    # A window that would start in the padding behind the input is left out; the checker of onnx counts it.
    starts_inside = isinstance(fit, int) and isinstance(limit, int) and (fit - 1) * stride < limit
    return fit if starts_inside else site.fresh()


def conv_shape(site: Site, x: Shape, w: Shape) -> Shape:
    """Return the shape of a convolution of `x` [n, c, ...] with the kernel `w` [m, c/group, ...]."""
    if len(x) < 3 or len(w) != len(x):
        msg = "operands of a convolution have equal rank of 3 or more"
        raise ValueError(msg)
    kernel: Sequence[Dim] = site.integers("kernel_shape") or w[2:]
    return (x[0], w[0], *_windows(site, x[2:], kernel))


def _conv(site: Site) -> Shapes:
    x, w = site.known_shape(0), site.shape(1)
    if w is None:
        return (x[0], *site.unknown(len(x) - 1))
    return conv_shape(site, x, w)


def _qlinear_conv(site: Site) -> Shapes:
    return conv_shape(site, site.known_shape(0), site.known_shape(3))


def _conv_transpose(site: Site) -> Shapes:
    x, w = site.known_shape(0), site.known_shape(1)
    count = len(x) - 2
    channels = w[1] * site.integer("group", 1)
    wanted = site.integers("output_shape")
    if wanted is not None:
        return (x[0], channels, *wanted[-count:]) if len(wanted) >= count else None
    kernel: Sequence[Dim] = site.integers("kernel_shape") or w[2:]
    return (x[0], channels, *_transposed(site, x[2:], kernel))


def _transposed(site: Site, sizes: Shape, kernel: Sequence[Dim]) -> Shape:
    count = len(sizes)
    strides = _spread(site.integers("strides"), count, 1)
    dilations = _spread(site.integers("dilations"), count, 1)
    pads = _spread(site.integers("pads"), 2 * count, 0)
    extra = _spread(site.integers("output_padding"), count, 0)
    auto = site.text("auto_pad", "NOTSET")
    if auto not in {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"} or len(kernel) != count:
        return site.unknown(count)
    if auto.startswith("SAME"):
        # Where the kernel leaves gaps, there is nothing to crop and runtimes differ.
        gaps = [
            i for i in range(count) if not known_at_least(extra[i] + (kernel[i] - 1) * dilations[i] + 1, strides[i])
        ]
        return tuple(site.fresh() if i in gaps else sizes[i] * strides[i] for i in range(count))
    if auto == "VALID":
        pads = (0,) * (2 * count)
    return tuple(
        (sizes[i] - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i] - pads[i + count]
        for i in range(count)
    )


def _pool(site: Site) -> Shapes:
    x = site.known_shape(0)
    kernel = site.integers("kernel_shape")
    if kernel is None or len(x) < 3:
        return None
    if site.text("auto_pad", "NOTSET").startswith("SAME") and max(site.integers("dilations") or (1,)) > 1:
        # onnxruntime pads a pool for a window without gaps.
        windows = site.unknown(len(x) - 2)
    else:
        windows = _windows(site, x[2:], kernel, ceil=site.integer("ceil_mode", 0) == 1)
    shape = (*x[:2], *windows)
    return [shape, shape]


def _pool_dtype(site: Site) -> Dtypes:
    return [site.dtype(0), DataType.INT64]


def _global(site: Site) -> Shapes:
    x = site.known_shape(0)
    return (*x[:2], *(1 for _ in x[2:]))


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Conv"): Operator(of_input(0, 1), _conv),
    ("", "ConvInteger"): Operator(always(DataType.INT32), _conv),
    ("", "DeformConv"): Operator(of_input(0, 1), _conv),
    ("", "QLinearConv"): Operator(of_input(7), _qlinear_conv),
    ("", "ConvTranspose"): Operator(of_input(0, 1), _conv_transpose),
    ("", "MaxPool"): Operator(_pool_dtype, _pool),
    ("", "AveragePool"): Operator(first, _pool),
    ("", "LpPool"): Operator(first, _pool),
    **{("", f"Global{name}Pool"): Operator(first, _global) for name in ("Average", "Max", "Lp")},
}
