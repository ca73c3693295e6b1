"""Say what a hostile case is, and build its model from text or code."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

__all__ = [
    "CANARY",
    "Array",
    "Case",
    "Expect",
    "Source",
    "chain",
    "graph",
    "named",
    "random_of",
    "strings",
    "tensor",
    "text",
    "write",
]

Array = np.ndarray[Any, Any]
Expect = Literal["reject", "handle", "either"]
Source = bytes | onnx.ModelProto

CANARY = b"CANARY-in-a-file-outside-of-the-folder"
"""Bytes of a file that no model has a right to read."""


@dataclass(frozen=True)
class Case:
    """One input that is broken, or legal and treacherous.

    `make` writes the files into an empty folder and returns the path to optimize, or returns the model to be written as
    `model.onnx`. `reject` is exit code 3 or 4; a `handle` is legal and must be optimized; `either` may be both, but
    neither crash nor hang. `same`: the result computes what the original does, on special values too. `keeps` are the
    least numbers of operators, `inputs` the names of the result's inputs, `max_bytes` bounds its size; `differs` says
    that two outputs must not become equal. `sizes` are numbers for symbolic dimensions. `special`: inputs may be NaN
    and the like.
    """

    name: str
    expect: Expect
    make: Callable[[Path], Path | Source]
    same: bool = True
    keeps: Mapping[str, int] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    max_bytes: int = 100_000
    differs: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)
    special: bool = True
    verify: str = "end"
    memory_bytes: int = 2 << 30

    @property
    def group(self) -> str:
        """The first word of the name."""
        return self.name.partition("-")[0]


def named(name: str, expect: Expect, source: Source, **more: Any) -> Case:
    """Return the case of a model that is one file."""
    return Case(name, expect, lambda _: source, **more)


def write(case: Case, folder: Path) -> Path:
    """Write the files of a case and return the path to optimize."""
    made = case.make(folder)
    if isinstance(made, Path):
        return made
    path = folder / "model.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def text(source: str, *, opset: int = 18, ir: int = 8, domains: str = "") -> onnx.ModelProto:
    """Parse a graph, and local functions after it, in onnx's text form; nothing is checked."""
    model = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}{domains}]> {source}')
    assert isinstance(model, onnx.ModelProto)
    return model


def graph(
    nodes: list[onnx.NodeProto],
    initializers: Mapping[str, Array] | None = None,
    inputs: str = "float[2,3] x",
    outputs: str = "float[2,3] y",
    **header: Any,
) -> onnx.ModelProto:
    """Build a model of nodes, initializers, and inputs and outputs in text form."""
    model = text(f"g ({inputs}) => ({outputs}) {{}}", **header)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in (initializers or {}).items())
    return model


def tensor(name: str, array: Array) -> onnx.TensorProto:
    """Return an array as a named tensor."""
    return numpy_helper.from_array(array, name)


def strings(name: str, words: list[bytes]) -> onnx.TensorProto:
    """Return a tensor of strings, be they text or not."""
    return onnx.TensorProto(name=name, data_type=onnx.TensorProto.STRING, dims=[len(words)], string_data=words)


def random_of(name: str) -> np.random.Generator:
    """Return a generator whose seed derives from a name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def chain(op: str, length: int) -> onnx.ModelProto:
    """Return a chain of equal unary nodes from x to y."""
    names = ["x", *(f"v{at}" for at in range(length - 1)), "y"]
    return graph([helper.make_node(op, [names[at]], [names[at + 1]]) for at in range(length)])
