"""Models whose tensors lie in other files, and where those files should not be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx

from tests.hostile.case import CANARY, Case, Expect, Source, random_of, text

__all__ = ["CASES"]

WEIGHT = random_of("weight").standard_normal((4, 3)).astype("<f4")
Place = Callable[[Path], None]


def model(**entries: object) -> onnx.ModelProto:
    """Return y = x w with w outside, described by `entries`; an entry of None is left out."""
    made = text("g (float[2,4] x) => (float[2,3] y) { y = MatMul(x, w) }")
    held = made.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4, 3])
    held.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", "offset": 0, "length": 48, **entries}.items():
        if value is not None:
            held.external_data.add(key=key, value=str(value))
    return made


def plain(folder: Path) -> None:
    """Put the data where they belong."""
    (folder / "w.bin").write_bytes(WEIGHT.tobytes())


def secret(folder: Path) -> Path:
    """Write a file outside of the model's folder."""
    path = folder.parent / "secret" / "secret.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CANARY * 4)
    return path


def case(name: str, expect: Expect, place: Place = plain, *, memory_bytes: int = 2 << 30, **entries: object) -> Case:
    """Return the case of a model of whose data `entries` say something special."""

    def make(folder: Path) -> Source:
        place(folder)
        return model(**entries)

    return Case(f"external-{name}", expect, make, memory_bytes=memory_bytes)


def outside(folder: Path) -> None:
    """Have a secret and a harmless folder to start from."""
    plain(folder)
    (folder / "sub").mkdir()
    secret(folder)


def link_file(folder: Path) -> None:
    (folder / "w.bin").symlink_to(secret(folder))


def link_folder(folder: Path) -> None:
    (folder / "sub").symlink_to(secret(folder).parent)


def link_inside(folder: Path) -> None:
    (folder / "real.bin").write_bytes(WEIGHT.tobytes())
    (folder / "w.bin").symlink_to("real.bin")


def link_around(folder: Path) -> None:
    (folder / "w.bin").symlink_to("w.bin")


def link_hard(folder: Path) -> None:
    (folder / "w.bin").hardlink_to(secret(folder))


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "w.bin")


def device(folder: Path) -> None:
    (folder / "w.bin").symlink_to("/dev/zero")


def subfolder(folder: Path) -> None:
    (folder / "w.bin").mkdir()


def below(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "w.bin").write_bytes(WEIGHT.tobytes())


def short(folder: Path) -> None:
    (folder / "w.bin").write_bytes(WEIGHT.tobytes()[:-1])


def empty(folder: Path) -> None:
    (folder / "w.bin").touch()


def sparse(folder: Path) -> None:
    with (folder / "w.bin").open("wb") as file:
        file.truncate(3 << 30)
        file.seek(2 << 30)
        file.write(WEIGHT.tobytes())


def both(folder: Path) -> Source:
    """Write a model whose tensor has its data inside as well."""
    plain(folder)
    made = model()
    made.graph.initializer[0].raw_data = WEIGHT.tobytes()
    return made


def in_constant(folder: Path) -> Source:
    """Write a model whose Constant node reads outside."""
    made = model(location="../secret/secret.bin")
    held = made.graph.initializer.pop()
    node = onnx.NodeProto(op_type="Constant", output=["w"])
    attribute = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(held)
    made.graph.node.insert(0, node)
    secret(folder)
    return made


CASES = (
    case("plain", "handle"),
    case("below", "handle", below, location="sub/w.bin"),
    case("dot", "handle", location="./w.bin"),
    case("without-length", "handle", length=None, offset=None),
    case("link-inside", "handle", link_inside),
    case("sparse-3g", "handle", sparse, offset=2 << 30, memory_bytes=6 << 30),
    case("up", "reject", outside, location="../secret/secret.bin"),
    case("up-in-the-middle", "reject", outside, location="sub/../../secret/secret.bin"),
    case("up-and-back", "reject", outside, location="../in/w.bin"),
    case("absolute", "reject", outside, location="/etc/hostname"),
    case("url", "reject", outside, location="file:///etc/hostname"),
    case("home", "reject", outside, location="~/w.bin"),
    case("link-file", "reject", link_file),
    case("link-folder", "reject", link_folder, location="sub/secret.bin"),
    case("link-to-itself", "reject", link_around),
    case("hard-link", "reject", link_hard),
    case("fifo", "reject", fifo),
    case("device", "reject", device),
    case("folder", "reject", subfolder),
    case("the-folder-itself", "reject", location="."),
    case("missing", "reject", location="none.bin"),
    case("nul", "reject", location="w.bin\0.txt"),
    case("empty-location", "reject", location=""),
    case("no-location", "reject", location=None),
    case("escapes", "reject", location="\x1b]0;title\x07\u202e"),
    case("short", "reject", short),
    case("empty-file", "reject", empty),
    case("offset-negative", "reject", offset=-1),
    case("offset-beyond", "reject", offset=49),
    case("offset-nan", "reject", offset="nan"),
    case("offset-huge", "reject", offset=10**30),
    case("offset-long", "reject", offset="9" * 10_000),
    case("length-negative", "reject", length=-48),
    case("length-beyond", "reject", length=49),
    case("length-wrong", "reject", length=44),
    case("length-hex", "reject", length="0x30"),
    case("unknown-key", "either", __class__="x"),
    Case("external-both", "reject", both),
    Case("external-in-constant", "reject", in_constant),
)
