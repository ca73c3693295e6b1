"""Write a model's tensors to one data file, and let the model refer to it while it is serialized."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from graphopt.graph._onnx_ir import ir
from graphopt.graph.external import CHUNK, ExternalData

if TYPE_CHECKING:
    from collections.abc import Hashable

    from graphopt.graph.external import DataFolder
    from graphopt.graph.model import Model, Node, Value

__all__ = ["EXTERNAL_BYTES", "DataFile", "needs_data_file", "source_folders"]

EXTERNAL_BYTES = 1_800_000_000
"""Models with more bytes of tensors get a data file; protobuf ends at 2 GiB, names and nodes included."""

_INLINE_BYTES = 1024
_PAGE = 1 << 16
"""Large tensors start at multiples of this: any system can map them, Windows included."""
_ALIGN = 64

Tensor = ir.TensorProtocol


def _initializers(model: Model) -> Iterator[tuple[Value, Tensor]]:
    for graph in model.scopes():
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value, value.const_value


def _attributes(model: Model) -> Iterator[tuple[Node, str, Tensor]]:
    for graph in model.scopes():
        for node in graph:
            for name, attribute in node.attributes.items():
                if not attribute.is_ref() and attribute.type == ir.AttributeType.TENSOR:
                    yield node, name, attribute.as_tensor()


def _tensors(model: Model) -> Iterator[Tensor]:
    yield from (tensor for _, tensor in _initializers(model))
    yield from (tensor for _, _, tensor in _attributes(model))


def _size(tensor: Tensor) -> int:
    return 0 if tensor.dtype == ir.DataType.STRING else int(tensor.nbytes)


def needs_data_file(model: Model) -> bool:
    """Tell whether the model came with external data or is too large for one file."""
    total = 0
    for tensor in _tensors(model):
        if isinstance(tensor, ir.ExternalTensor):
            return True
        total += _size(tensor)
    return total > EXTERNAL_BYTES


def source_folders(model: Model) -> list[DataFolder]:
    """List the folders from which tensors of the model are still to be read."""
    found = {id(tensor.folder): tensor.folder for tensor in _tensors(model) if isinstance(tensor, ExternalData)}
    return list(found.values())


class DataFile:
    """A data file being written: where each tensor went, and a digest of all bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._end = 0
        self._starts: dict[Hashable, int] = {}

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; the part of a file that `Tensor.tofile` needs."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK):
            self._file.write(view[start : start + CHUNK])
        self._digest.update(view)
        self._end += len(view)
        return len(view)

    def add_tensors(self, model: Model) -> None:
        """Append the initializers that are not small, each content in one place only."""
        for _, tensor in _initializers(model):
            size, key = _size(tensor), _key(tensor)
            if size < _INLINE_BYTES or key in self._starts:
                continue
            align = _PAGE if size >= 16 * _PAGE else _ALIGN
            self.write(bytes(-self._end % align))
            self._starts[key] = self._end
            tensor.tofile(self)  # type: ignore[attr-defined]  # every tensor class has it, the protocol not yet
            if self._end - self._starts[key] != size:
                msg = f"tensor {tensor.name!r} wrote {self._end - self._starts[key]} bytes, not {size}"
                raise RuntimeError(msg)

    def digest(self) -> str:
        """Return the digest of what was written, in hexadecimal digits."""
        return self._digest.hexdigest()

    @contextmanager
    def standing_in(self, model: Model, location: str) -> Iterator[None]:
        """Let the initializers of `model` refer to this file at `location`; on leaving they are as before."""
        values = [(value, tensor) for value, tensor in _initializers(model) if _key(tensor) in self._starts]
        outside = [held for held in _attributes(model) if isinstance(held[2], ir.ExternalTensor)]
        attributes = [(node, name, node.attributes[name]) for node, name, _ in outside]
        small = [held for held in _initializers(model) if isinstance(held[1], ir.ExternalTensor)]
        small = [(value, tensor) for value, tensor in small if _key(tensor) not in self._starts]
        try:
            for value, tensor in values:
                value.const_value = self._reference(value, tensor, location)
            for value, tensor in small:
                value.const_value = _inside(tensor)
            for node, name, tensor in outside:
                node.attributes[name] = ir.AttrTensor(name, _inside(tensor), node.attributes[name].doc_string)
            yield
        finally:
            for value, tensor in (*values, *small):
                value.const_value = tensor
            for node, name, attribute in attributes:
                node.attributes[name] = attribute

    def _reference(self, value: Value, tensor: Tensor, location: str) -> ir.ExternalTensor:
        return ir.ExternalTensor(
            location,
            self._starts[_key(tensor)],
            _size(tensor),
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=value.name or "",
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props) or None,
        )


def _key(tensor: Tensor) -> Hashable:
    if isinstance(tensor, ExternalData):
        return id(tensor.folder), tensor.place, tensor.offset, tensor.nbytes
    return id(tensor)


def _inside(tensor: Tensor) -> Tensor:
    """Return the tensor with its data in memory."""
    array: Any = tensor.numpy()
    return ir.Tensor(
        array,
        dtype=tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props) or None,
    )
