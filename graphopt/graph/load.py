"""Load a model: open its file safely, validate it, make the IR."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from graphopt.errors import ModelError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.carry import lift, settle
from graphopt.graph.check import check
from graphopt.graph.escape import clean, quote
from graphopt.graph.external import DataFolder, open_regular
from graphopt.graph.freeze import decide_frozen
from graphopt.graph.model import Model
from graphopt.graph.opset import join_imports
from graphopt.graph.pins import pin_annotations

__all__ = ["from_proto", "load", "loads"]

MAX_BYTES = (1 << 31) - 1
"""What protobuf can hold; larger models keep their tensors in external data."""

_SIGNS = (
    (b"version https://git-lfs", "a git-lfs pointer, not the model", "run git lfs pull"),
    (b"PK\x03\x04", "a zip archive", "unpack it, or export to ONNX"),
    (b"\x80", "a Python pickle", "export the model to ONNX"),
    (b"<", "a web page or XML", "download the file itself"),
    (b"\x89HDF", "an HDF5 file", "export the model to ONNX"),
    (b"\0", "no protobuf", "is the file complete?"),
)


def load(path: str | os.PathLike[str], *, freeze: bool | None = None) -> Model:
    """Load and validate a model file; weights in external data are mapped, never read whole.

    Where initializers are listed as graph inputs, `freeze` True makes them constants, False keeps them overridable,
    None decides by `graphopt.graph.freeze`. A name ending in `.onnxtxt` is read as onnx text.

    Raises `ModelError` if it is no valid model and `UnsupportedError` if it is one that cannot be kept whole.
    """
    file = Path(path)
    name, is_text = file.name, file.suffix == ".onnxtxt"
    data = _read(file, is_text=is_text)
    proto = _parse_text(data, name) if is_text else _parse(data, name)
    del data
    return _build(proto, DataFolder(file.parent), name, path=file, freeze=freeze)


def loads(data: bytes, *, freeze: bool | None = None) -> Model:
    """Load and validate a model from bytes; external data are refused, as there is no folder. Raises as `load` does."""
    return _build(_parse(data, "bytes"), None, "bytes", path=None, freeze=freeze)


def from_proto(proto: onnx.ModelProto, *, freeze: bool | None = None) -> Model:
    """Validate a protobuf model and make a `Model` of it; `proto` is left unchanged. Raises as `loads` does."""
    copy = onnx.ModelProto()
    try:
        copy.CopyFrom(proto)
    except DecodeError as error:
        raise ModelError("graphs nested too deep", where="in protobuf model") from error
    return _build(copy, None, "protobuf model", path=None, freeze=freeze)


def _build(
    proto: onnx.ModelProto, folder: DataFolder | None, name: str, *, path: Path | None, freeze: bool | None
) -> Model:
    survey = check(proto, folder, name)
    carried = lift(proto, survey)
    try:
        held = ir.from_proto(proto)
    except ir.serde.SerdeError as error:
        raise survey.fail(f"the model cannot be held in memory: {clean(str(error))}") from error
    model = Model(held, path=path, carried=carried, remarks=survey.remarks)
    join_imports(model)
    settle(model, folder, survey)
    decide_frozen(model, freeze=freeze)
    pin_annotations(model)
    return model


def _read(path: Path, *, is_text: bool) -> bytes:
    try:
        fd = open_regular(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with os.fdopen(fd, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise ModelError("the file is empty", where=quote(path.name), advice="is the download complete?")
        if not is_text:
            _refuse_sign(file.peek(64)[:64], path)
        if size > MAX_BYTES:
            advice = "save the tensors as external data"
            raise ModelError(f"a model file of {size} bytes; protobuf ends at 2 GiB", where=quote(path), advice=advice)
        try:
            return file.read()
        except OSError as error:
            raise _unreadable(path, error) from error


def _refuse_sign(head: bytes, path: Path) -> None:
    for sign, what, advice in _SIGNS:
        if head.lstrip()[: len(sign)] == sign or head.startswith(sign):
            raise ModelError(f"not an ONNX model: {what}", where=quote(path), advice=advice)


def _unreadable(path: Path, error: Exception) -> ModelError:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return ModelError("no such file", where=quote(path), advice="check the path")
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path, it stands names that no file can have
        return ModelError("the model is a folder", where=quote(path), advice="name the .onnx file in it")
    if number == errno.EINVAL:
        return ModelError("the model is not a regular file", where=quote(path), advice="copy it to a file first")
    reason = getattr(error, "strerror", None) or str(error)
    return ModelError(f"cannot read the model: {clean(reason)}", where=quote(path))


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    if not data:
        raise ModelError("the model is empty", where=quote(name))
    try:
        return onnx.ModelProto.FromString(data)
    except DecodeError as error:
        advice = "is the file complete, and is it ONNX?"
        raise ModelError("not an ONNX model: the bytes do not parse", where=quote(name), advice=advice) from error


def _parse_text(data: bytes, name: str) -> onnx.ModelProto:
    from graphopt.graph.text import parse_model

    try:
        return parse_model(data.decode())
    except UnicodeDecodeError as error:
        raise ModelError("the file is not UTF-8 text", where=quote(name)) from error
