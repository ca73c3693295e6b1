"""Compute on constants what only moves, repeats or measures data, for every element type."""

from __future__ import annotations

import math

import numpy as np

from graphopt_passes.fold_kernels import Array, Call, Kernel, Refusal, integers, normalize_axes, require

__all__ = ["MOVEMENT"]

_FAR = frozenset({(1 << 31) - 1, (1 << 63) - 1})
"""What exporters write for "to the end"."""


def _identity(call: Call) -> list[Array]:
    return [call.array(0)]


def _transpose(call: Call) -> list[Array]:
    data = call.array(0)
    perm = call.attr("perm")
    return [np.transpose(data, normalize_axes([int(axis) for axis in perm], data.ndim) if perm else None)]


def _reshape(call: Call) -> list[Array]:
    require(call.opset >= 5)
    data, target = call.array(0), integers(call.array(1))
    if not call.attr("allowzero"):
        require(all(dim != 0 or axis < data.ndim for axis, dim in enumerate(target)))
        target = [data.shape[axis] if dim == 0 else dim for axis, dim in enumerate(target)]
    require(all(dim >= -1 for dim in target) and target.count(-1) <= 1)
    return [data.reshape(target)]


def _squeeze(call: Call) -> list[Array]:
    data = call.array(0)
    axes = call.ints(1, "axes", 13)
    if axes is None:
        return [data.reshape([dim for dim in data.shape if dim != 1])]
    chosen = normalize_axes(axes, data.ndim)
    # Whether no axes at all mean none or all is not settled.
    require(bool(chosen) and all(data.shape[axis] == 1 for axis in chosen))
    return [data.reshape([dim for axis, dim in enumerate(data.shape) if axis not in chosen])]


def _unsqueeze(call: Call) -> list[Array]:
    data = call.array(0)
    axes = call.ints(1, "axes", 13)
    require(axes is not None)
    rank = data.ndim + len(axes or [])
    chosen = set(normalize_axes(axes or [], rank))
    dims = iter(data.shape)
    return [data.reshape([1 if axis in chosen else next(dims) for axis in range(rank)])]


def _flatten(call: Call) -> list[Array]:
    data, axis = call.array(0), int(call.attr("axis"))
    axis = axis + data.ndim if axis < 0 else axis
    require(0 <= axis <= data.ndim)
    return [data.reshape(math.prod(data.shape[:axis]), math.prod(data.shape[axis:]))]


def _concat(call: Call) -> list[Array]:
    parts = [call.array(index) for index in range(len(call.arrays))]
    axis = call.attr("axis")
    require(axis is not None and all(part.dtype == parts[0].dtype for part in parts))
    call.need(sum(part.size for part in parts), parts[0].dtype.itemsize)
    return [np.concatenate(parts, axis=normalize_axes([int(axis)], parts[0].ndim)[0])]


def _slice(call: Call) -> list[Array]:
    data = call.array(0)
    starts, ends = call.ints(1, "starts", 10), call.ints(2, "ends", 10)
    if starts is None or ends is None:
        raise Refusal
    axes = call.ints(3, "axes", 10)
    axes = normalize_axes(list(range(len(starts))) if axes is None else axes, data.ndim)
    steps = call.ints(4, "steps", 10) if call.opset >= 10 else None
    steps = [1] * len(starts) if steps is None else steps
    require(len(starts) == len(ends) == len(axes) == len(steps) and 0 not in steps)
    window = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Backwards from before the first element, or to the largest number, runtimes differ.
        require(step > 0 or (start >= -data.shape[axis] and end not in _FAR))
        window[axis] = slice(start, end, step)
    return [data[tuple(window)]]


def _split(call: Call) -> list[Array]:
    data, count = call.array(0), len(call.node.outputs)
    # Opset 1 had the lengths as an input as well.
    require(len(call.arrays) == 1 or call.opset >= 13)
    axis = normalize_axes([int(call.attr("axis") or 0)], data.ndim)[0]
    size = data.shape[axis]
    parts = call.ints(1, "split", 13)
    if parts is None:
        chunk = -(-size // count) if call.opset >= 18 else size // count
        parts = [chunk] * (count - 1) + [size - chunk * (count - 1)]
        require(parts[-1] == chunk or (call.opset >= 18 and call.attr("num_outputs") is not None))
    require(len(parts) == count and sum(parts) == size and min(parts) >= 0)
    return list(np.split(data, np.cumsum(parts)[:-1], axis=axis))


def _gather(call: Call) -> list[Array]:
    data, indices = call.array(0), call.array(1)
    axis = normalize_axes([int(call.attr("axis") or 0)], data.ndim)[0]
    size = data.shape[axis]
    require(indices.dtype.kind == "i")
    lowest = -size if call.opset >= 11 else 0
    require(bool(np.all((indices >= lowest) & (indices < size))))
    call.need(data.size // max(size, 1) * indices.size, data.dtype.itemsize)
    return [np.asarray(np.take(data, indices, axis=axis))]


def _expand(call: Call) -> list[Array]:
    data, target = call.array(0), integers(call.array(1))
    require(all(dim >= 0 for dim in target))
    shape = np.broadcast_shapes(data.shape, tuple(target))
    call.need(math.prod(shape), data.dtype.itemsize)
    return [np.broadcast_to(data, shape)]


def _tile(call: Call) -> list[Array]:
    require(call.opset >= 6)
    data, repeats = call.array(0), integers(call.array(1))
    require(len(repeats) == data.ndim and all(count >= 0 for count in repeats))
    call.need(data.size * math.prod(repeats), data.dtype.itemsize)
    return [np.tile(data, repeats)]


def _range(call: Call) -> list[Array]:
    arrays = [call.array(index) for index in range(3)]
    require(all(array.dtype == arrays[0].dtype and array.size == 1 for array in arrays))
    # Floats are left out: runtimes add up or multiply, and round differently.
    require(arrays[0].dtype in (np.int16, np.int32, np.int64))
    start, limit, delta = (int(array.reshape(-1)[0]) for array in arrays)
    require(delta != 0)
    count = max(0, -((start - limit) // delta))
    call.need(count, arrays[0].dtype.itemsize)
    return [start + delta * np.arange(count, dtype=np.int64).astype(arrays[0].dtype)]


def _constant_of_shape(call: Call) -> list[Array]:
    dims = integers(call.array(0))
    value = call.attr("value")
    fill = np.zeros(1, np.float32) if value is None else value.numpy()
    require(fill.size == 1 and all(dim >= 0 for dim in dims))
    call.need(math.prod(dims), fill.dtype.itemsize)
    return [np.broadcast_to(fill.reshape(()), dims)]


def _shape(call: Call) -> list[Array]:
    start, end = (call.attr(name) if call.opset >= 15 else None for name in ("start", "end"))
    return [np.array(call.array(0).shape[start:end], dtype=np.int64)]


def _size(call: Call) -> list[Array]:
    return [np.array(call.array(0).size, dtype=np.int64)]


MOVEMENT: dict[str, Kernel] = {
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
