"""Carry JSON headers and raw little-endian arrays over a pipe.

A frame is a fixed head (magic, bytes of the header, bytes of all arrays), the header as UTF-8 JSON, and the arrays one
after the other. The header's key `arrays` lists dtype, shape and byte count of each. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np

__all__ = ["MAX_FRAME_BYTES", "NARROW", "NATIVE", "Array", "FrameError", "dtype_named", "read_frame", "write_frame"]

Array: TypeAlias = np.ndarray[Any, Any]

MAX_FRAME_BYTES = 1 << 40
_MAX_HEADER_BYTES = 1 << 26
_HEAD = struct.Struct("<8sQQ")
_MAGIC = b"graphopt"

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NATIVE = frozenset({"bool", *_INTEGERS, "float16", "float32", "float64", "complex64", "complex128"})
NARROW = frozenset(["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"])
"""Dtypes that numpy has only with ml_dtypes."""


class FrameError(Exception):
    """Report bytes that are no frame, or one larger than allowed."""


def dtype_named(name: str) -> np.dtype[Any]:
    """Return the dtype called `name`.

    Raises `FrameError` for a name that is in neither `NATIVE` nor `NARROW`.
    """
    if name in NATIVE:
        native: np.dtype[Any] = np.dtype(name).newbyteorder("<")
        return native
    if name in NARROW:
        import ml_dtypes

        narrow: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return narrow
    raise FrameError(f"unknown dtype {name!r}")


def _pack_strings(array: Array) -> bytes:
    texts = [str(text).encode("utf-8", "surrogateescape") for text in array.ravel()]
    return np.array([len(text) for text in texts], "<u8").tobytes() + b"".join(texts)


def _unpack_strings(raw: bytes, count: int) -> Array:
    if len(raw) < 8 * count:
        raise FrameError("string array cut short")
    array = np.empty(count, object)
    at = 8 * count
    for index, size in enumerate(np.frombuffer(raw, "<u8", count).tolist()):
        array[index] = raw[at : at + size].decode("utf-8", "surrogateescape")
        at += size
    if at != len(raw):
        raise FrameError("string array of a wrong length")
    return array


def _pack(array: Array) -> tuple[str, Array | bytes]:
    name = array.dtype.name
    if array.dtype.kind in "OUT":
        return "string", _pack_strings(array)
    if name not in NATIVE and name not in NARROW:
        raise FrameError(f"cannot send dtype {name!r}")
    flat = np.ascontiguousarray(array, dtype_named(name)).reshape(-1)
    return name, flat.view(np.uint8)


def write_frame(stream: BinaryIO, header: dict[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Write one frame and flush it."""
    packed = [_pack(array) for array in arrays]
    listing = [[name, list(array.shape), len(raw)] for (name, raw), array in zip(packed, arrays, strict=True)]
    text = json.dumps({**header, "arrays": listing}).encode()
    stream.write(_HEAD.pack(_MAGIC, len(text), sum(len(raw) for _, raw in packed)))
    stream.write(text)
    stream.writelines(cast("bytes", raw) for _, raw in packed)
    stream.flush()


def _read_into(stream: BinaryIO, size: int) -> bytearray:
    raw = bytearray(size)
    view = memoryview(raw)
    while view:
        count = stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        view = view[count:]
    return raw


def _read_array(stream: BinaryIO, name: str, shape: list[int], size: int) -> Array:
    count = math.prod(shape)
    if name == "string":
        return _unpack_strings(bytes(_read_into(stream, size)), count).reshape(shape)
    dtype = dtype_named(name)
    if count * dtype.itemsize != size:
        raise FrameError(f"array of {size} bytes, shape {shape} and dtype {name}")
    return np.frombuffer(_read_into(stream, size), dtype).reshape(shape)


def read_frame(stream: BinaryIO, max_bytes: int = MAX_FRAME_BYTES) -> tuple[dict[str, Any], list[Array]]:
    """Read one frame.

    Raises `EOFError` if the stream ends, `FrameError` for bytes that are no frame or arrays above `max_bytes`.
    """
    magic, header_bytes, body_bytes = _HEAD.unpack(_read_into(stream, _HEAD.size))
    if magic != _MAGIC or header_bytes > _MAX_HEADER_BYTES or body_bytes > max_bytes:
        raise FrameError("not a frame, or one larger than allowed")
    header = json.loads(_read_into(stream, header_bytes))
    listing = header.pop("arrays")
    if sum(size for _, _, size in listing) != body_bytes or any(min(shape, default=0) < 0 for _, shape, _ in listing):
        raise FrameError("sizes that do not add up")
    return header, [_read_array(stream, *entry) for entry in listing]
