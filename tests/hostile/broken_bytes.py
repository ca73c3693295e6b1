"""Files that are no model, or a model cut, bent or doubled."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.hostile.case import Case, graph, named, random_of, text

__all__ = ["CASES"]

HUGE = 3 << 30


def valid() -> bytes:
    """Return a small valid model whose graph is the last field but one."""
    model = text("g (float[2,3] x) => (float[2,3] y) { t = Add(x, w)  y = Relu(t) }")
    model.MergeFrom(graph([], {"w": random_of("valid").standard_normal((2, 3)).astype(np.float32)}))
    del model.graph.input[1:], model.graph.output[1:], model.opset_import[1:]
    model.graph.name = "g"
    return model.SerializeToString()


def cuts() -> Iterator[Case]:
    """Cut the model within its graph."""
    data = valid()
    for at in (3, 5, *random_of("cuts").integers(8, len(data) - 8, 12).tolist(), len(data) - 1):
        yield named(f"bytes-cut-{at}", "reject", data[:at])


def flips() -> Iterator[Case]:
    """Change one byte of the model: some results are models still."""
    data = valid()
    rng = random_of("flips")
    for at in sorted(set(rng.integers(0, len(data), 24).tolist())):
        bent = bytearray(data)
        bent[at] ^= int(rng.integers(1, 256))
        yield named(f"bytes-flip-{at}", "either", bytes(bent), same=False)


def nested(depth: int) -> bytes:
    """Nest sub-messages: a graph in an attribute of a node of a graph."""
    inner = b""
    for _ in range(depth):
        for tag in (0x32, 0x2A, 0x0A):
            inner = bytes([tag]) + varint(len(inner)) + inner
    return b"\x08\x08\x3a" + varint(len(inner)) + inner


def varint(number: int) -> bytes:
    """Encode as protobuf does."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, ("unpickled", 0o700)


def zipped() -> bytes:
    """Return an archive as frameworks save their weights."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    return held.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 102400\n"
CONTENTS = {
    "empty": b"",
    "one-byte": b"\x08",
    "blank": b" \n\t\n",
    "zeros": bytes(1 << 16),
    "random": random_of("random").bytes(4096),
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "lfs-pointer": LFS,
    "json": b'{"graph": {"node": []}}',
    "text": "Kein Modell, nur ein Text mit Umlauten: äöü.\n".encode("utf-16"),
    "pickle": pickle.dumps(_Bomb()),
    "zip": zipped(),
    "gzip": gzip.compress(valid(), mtime=0),
    "varint-endless": b"\xff" * 11,
    "varint-length": b"\x3a" + b"\xff" * 9 + b"\x01",
    "length-2g": b"\x08\x08\x3a" + varint((1 << 31) - 1) + bytes(40),
    "length-2e63": b"\x08\x08\x3a" + varint((1 << 63) - 1) + bytes(40),
    "groups": b"\x3b" * 5000,
    "groups-closed": b"\x3b" * 5000 + b"\x3c" * 5000,
    "nested-90": nested(90),
    "nested-5000": nested(5000),
    "wire-type": b"\x0f\x08\x3e\x01",
    "field-zero": b"\x00\x01",
    "header-only": b"\x08\x08",
    "doubled": valid() + valid(),
    "tail": valid() + b"\x3a\xff\x01",
}


def fifo(folder: Path) -> Path:
    """Make a FIFO that nobody writes to."""
    os.mkfifo(folder / "model.onnx")
    return folder / "model.onnx"


def listening(folder: Path) -> Path:
    """Make a socket in the file system."""
    held = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)
    try:
        held.bind("model.onnx")  # a full path may be longer than sockets take
    finally:
        os.chdir(here)
        held.close()
    return folder / "model.onnx"


def sparse(folder: Path) -> Path:
    """Make a file of 3 GiB that holds nothing."""
    path = folder / "model.onnx"
    with path.open("wb") as file:
        file.truncate(HUGE)
    return path


def linked(folder: Path, *, hard: bool = False, to: str = "real.onnx") -> Path:
    """Make a link to a model, or to what is none."""
    (folder / "real.onnx").write_bytes(valid())
    path = folder / "model.onnx"
    if hard:
        path.hardlink_to(folder / to)
    else:
        path.symlink_to(to)
    return path


def subfolder(folder: Path) -> Path:
    """Make a folder named like a model."""
    (folder / "model.onnx").mkdir()
    return folder / "model.onnx"


CASES = (
    *(named(f"bytes-{name}", "reject", data) for name, data in CONTENTS.items()),
    *cuts(),
    *flips(),
    named("bytes-valid", "handle", valid()),
    named("bytes-unknown-field", "either", valid() + b"\xfa\x7f\x03abc"),
    Case("file-fifo", "reject", fifo),
    Case("file-socket", "reject", listening),
    Case("file-zero-device", "reject", lambda _: Path("/dev/zero")),
    Case("file-null-device", "reject", lambda _: Path("/dev/null")),
    Case("file-terminal", "reject", lambda _: Path("/dev/tty")),
    Case("file-folder", "reject", subfolder),
    Case("file-missing", "reject", lambda folder: folder / "none.onnx"),
    Case("file-missing-escapes", "reject", lambda folder: folder / "\x1b]0;title\x07\u202e\n.onnx"),
    Case("file-name-too-long", "reject", lambda folder: folder / ("n" * 5000)),
    Case("file-below-a-file", "reject", lambda folder: linked(folder) / "model.onnx"),
    Case("file-sparse-3g", "reject", sparse),
    Case("file-symlink", "handle", linked),
    Case("file-hard-link", "handle", lambda folder: linked(folder, hard=True)),
    Case("file-dangling-symlink", "reject", lambda folder: linked(folder, to="none.onnx")),
    Case("file-symlink-to-itself", "reject", lambda folder: linked(folder, to="model.onnx")),
    Case("file-symlink-to-device", "reject", lambda folder: linked(folder, to="/dev/zero")),
)
