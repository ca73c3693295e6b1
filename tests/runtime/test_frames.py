from __future__ import annotations

import io
import json
import struct

import ml_dtypes
import numpy as np
import pytest

from graphopt.runtime.frames import NARROW, NATIVE, FrameError, dtype_named, read_frame, write_frame


@pytest.mark.parametrize("name", sorted(NATIVE | NARROW))
def test_arrays_come_back_with_dtype_shape_and_bits(name: str) -> None:
    bits = np.random.default_rng(0).integers(0, 2, 6 * dtype_named(name).itemsize).astype(np.uint8)
    array = bits.view(dtype_named(name)).reshape(1, 6, 1)
    scalar = array.reshape(-1)[3].reshape(())
    stream = io.BytesIO()
    write_frame(stream, {"op": "x"}, [array, scalar, array[:, :0]])
    stream.seek(0)
    header, found = read_frame(stream)
    assert header == {"op": "x"}
    assert [(one.dtype, one.shape) for one in found] == [
        (array.dtype, (1, 6, 1)),
        (array.dtype, ()),
        (array.dtype, (1, 0, 1)),
    ]
    assert found[0].tobytes() == array.tobytes()
    assert found[1].tobytes() == scalar.tobytes()


def test_strings_come_back() -> None:
    array = np.array([["", "a"], ["\u00e9\n", "x" * 1000]], object)
    stream = io.BytesIO()
    write_frame(stream, {}, [array])
    stream.seek(0)
    assert np.array_equal(read_frame(stream)[1][0], array)


def test_strides_and_byte_order_do_not_matter() -> None:
    array = np.arange(12, dtype=">i4").reshape(3, 4).T[::-1]
    stream = io.BytesIO()
    write_frame(stream, {}, [array])
    stream.seek(0)
    assert np.array_equal(read_frame(stream)[1][0], array)


def _frame(header: object, body: bytes, claim: int | None = None, magic: bytes = b"graphopt") -> io.BytesIO:
    text = json.dumps(header).encode()
    return io.BytesIO(struct.pack("<8sQQ", magic, len(text), len(body) if claim is None else claim) + text + body)


@pytest.mark.parametrize(
    "stream",
    [
        _frame({"arrays": []}, b"", magic=b"graphopx"),
        _frame({"arrays": [["int64", [2], 8]]}, b"x" * 8),
        _frame({"arrays": [["int64", [-1], -8]]}, b"", claim=0),
        _frame({"arrays": [["object", [1], 8]]}, b"x" * 8),
        _frame({"arrays": [["int64", [1], 8]]}, b"x" * 16),
        _frame({"arrays": [["string", [1], 9]]}, struct.pack("<Q", 5) + b"x"),
        _frame({"arrays": [["string", [2], 8]]}, struct.pack("<Q", 0)),
        _frame({"arrays": [["int8", [2000], 2000]]}, b"x" * 2000),
    ],
)
def test_what_is_no_frame_is_refused(stream: io.BytesIO) -> None:
    with pytest.raises(FrameError):
        read_frame(stream, max_bytes=1000)


def test_a_frame_cut_short_ends_the_stream() -> None:
    with pytest.raises(EOFError):
        read_frame(_frame({"arrays": [["int8", [9], 9]]}, b"x", claim=9))


def test_other_objects_are_not_sent() -> None:
    with pytest.raises(FrameError, match="cannot send"):
        write_frame(io.BytesIO(), {}, [np.zeros(2, ml_dtypes.int4)])
