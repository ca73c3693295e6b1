"""Take ONNX's own backend tests, and vary each so that folding, merging and elimination have something to do."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.loader import load_model_tests

__all__ = ["VARIANTS", "Case", "cases"]

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


@dataclass(frozen=True)
class Case:
    """A model, one set of inputs, the outputs that ONNX ships for them, and how far a backend may be off."""

    name: str
    model: onnx.ModelProto
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    rtol: float
    atol: float


def cases(shard: int, shards: int, *, light: bool = False) -> Iterator[Case]:
    """Yield the cases whose name falls into a shard; `light` models are whole networks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = collect_testcases(None)
    for test in nodes:
        if test.model is not None and in_shard(test.name, shard, shards):
            for inputs, outputs in (test.data_sets or ())[:1]:
                yield Case(test.name, test.model, tuple(inputs), tuple(outputs), test.rtol, test.atol)
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for test in load_model_tests(str(DATA), kind):
            if test.model_dir and in_shard(test.name, shard, shards):
                yield read(Path(test.model_dir), test.rtol, test.atol)
    if light:
        yield from (read_light(path) for path in sorted((DATA / "light").glob("light_*.onnx")))


def in_shard(name: str, shard: int, shards: int) -> bool:
    return zlib.crc32(name.encode()) % shards == shard


def read(folder: Path, rtol: float, atol: float) -> Case:
    """Read a case that is shipped as files."""
    model = onnx.load(folder / "model.onnx")
    held = folder / "test_data_set_0"
    inputs = [read_value(path, value) for path, value in zip(numbered(held, "input"), free_inputs(model), strict=False)]
    outputs = [read_value(*pair) for pair in zip(numbered(held, "output"), model.graph.output, strict=True)]
    return Case(folder.name, model, tuple(inputs), tuple(outputs), rtol, atol)


def read_light(path: Path) -> Case:
    """Read a network without weights worth the name, whose input is a ramp."""
    model = onnx.load(path)
    inputs = []
    for value in free_inputs(model):
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        count = int(np.prod(shape))
        inputs.append((np.arange(count).reshape(shape) / count).astype(np.float32))
    output = read_value(path.with_name(f"{path.stem}_output_0.pb"), model.graph.output[0])
    return Case(path.stem, model, tuple(inputs), (output,), 1e-3, 1e-5)


def numbered(folder: Path, kind: str) -> list[Path]:
    return [folder / f"{kind}_{at}.pb" for at in range(len(list(folder.glob(f"{kind}_*.pb"))))]


def free_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """List the inputs without those that an initializer gives a value."""
    held = {tensor.name for tensor in model.graph.initializer}
    held |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in held]


def read_value(path: Path, value: onnx.ValueInfoProto) -> Any:
    data = path.read_bytes()
    if value.type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if value.type.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def copied(case: Case) -> tuple[onnx.ModelProto, onnx.GraphProto]:
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    return model, model.graph


def fits(case: Case) -> bool:
    """Tell whether each input of the model has its value, and none is an initializer."""
    return len(free_inputs(case.model)) == len(case.model.graph.input) == len(case.inputs)


def constant(case: Case, *, first: bool) -> Case | None:
    """Make tensors among the inputs initializers, with or without the first."""
    if not fits(case) or case.model.ir_version < 4:
        return None
    model, graph = copied(case)
    kept, values = [], []
    for at, (value, array) in enumerate(zip(case.model.graph.input, case.inputs, strict=True)):
        if not value.type.HasField("tensor_type") or array is None or (at == 0 and not first):
            kept.append(value)
            values.append(array)
            continue
        tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array))
        if tensor.data_type != value.type.tensor_type.elem_type:
            return None
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = value.name
    del graph.input[:]
    graph.input.extend(kept)
    return replace(case, model=model, inputs=tuple(values)) if len(kept) < len(case.inputs) else None


def doubled(case: Case) -> Case | None:
    """Compute everything twice and give out both results."""
    if not fits(case) or not case.model.graph.node or any(node.op_type in RANDOM for node in case.model.graph.node):
        return None
    model, graph = copied(case)
    table = {name: f"{name}_again" for node in graph.node for name in node.output if name}
    for node in list(graph.node):
        again = graph.node.add()
        again.CopyFrom(node)
        again.name = f"{node.name}_again" if node.name else ""
        rename([again], table)
    outputs = list(case.outputs)
    for value, wanted in zip(list(graph.output), case.outputs, strict=True):
        if value.name in table:
            graph.output.add().CopyFrom(value)
            graph.output[-1].name = table[value.name]
            outputs.append(wanted)
    return replace(case, model=model, outputs=tuple(outputs))


def wrapped(case: Case) -> Case | None:
    """Put an Identity behind every tensor input and before every tensor output."""
    model, graph = copied(case)
    known = any(entry.domain in {"", "ai.onnx"} for entry in model.opset_import)
    if not fits(case) or not known:
        return None
    made = {name for node in graph.node for name in node.output}
    before = {each.name: f"{each.name}_in" for each in graph.input if each.type.HasField("tensor_type")}
    after = {each.name: f"{each.name}_out" for each in graph.output if each.type.HasField("tensor_type")}
    after = {name: new for name, new in after.items() if name in made}
    nodes = list(graph.node)
    rename(nodes, before | after)
    first = [helper.make_node("Identity", [old], [new]) for old, new in before.items()]
    last = [helper.make_node("Identity", [new], [old]) for old, new in after.items()]
    del graph.node[:]
    graph.node.extend([*first, *nodes, *last])
    return replace(case, model=model)


def rename(nodes: list[onnx.NodeProto], table: Mapping[str, str]) -> None:
    """Rename what the nodes, and the graphs in them, read and make."""
    for node in nodes:
        node.input[:] = [table.get(name, name) for name in node.input]
        node.output[:] = [table.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                own = {name for inner in graph.node for name in inner.output}
                own |= {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
                outer = {old: new for old, new in table.items() if old not in own}
                rename(list(graph.node), outer)
                for value in graph.output:
                    value.name = outer.get(value.name, value.name)


VARIANTS: dict[str, Callable[[Case], Case | None]] = {
    "as-shipped": lambda case: case,
    "constant-but-the-first": lambda case: constant(case, first=False),
    "constant": lambda case: constant(case, first=True),
    "doubled": doubled,
    "wrapped": wrapped,
}
