"""Check against ONNX Runtime Web: kernels of its WebAssembly and WebGPU back ends from lists, and sizes it can hold."""

from __future__ import annotations

from collections.abc import Iterator

from graphopt.graph.constants import stored_tensors
from graphopt.graph.model import DataType
from graphopt.measure.check.copies import copies
from graphopt.measure.check.kernels import Kernels
from graphopt.measure.check.lists import read_list
from graphopt.measure.check.records import Finding, TargetReport, label, operator, verdict_of
from graphopt.measure.check.subject import Subject
from graphopt.measure.check.webgpu import listed

__all__ = ["examine"]

_PROTOBUF_BYTES = 2 << 30
_WASM_BYTES = 4 << 30
_WIDE = frozenset({DataType.INT64, DataType.UINT64})
_JAVASCRIPT = frozenset(
    [
        "FLOAT",
        "FLOAT16",
        "DOUBLE",
        "INT8",
        "UINT8",
        "INT16",
        "UINT16",
        "INT32",
        "UINT32",
        "INT64",
        "UINT64",
        "INT4",
        "UINT4",
        "BOOL",
        "STRING",
    ]
)
_SPLIT = "give it external data, which is loaded apart; or quantize the weights"


def examine(subject: Subject) -> TargetReport:
    """Judge by WebAssembly, which runs what the WebGPU back end leaves; say in notes what the latter leaves."""
    wasm, device = Kernels("wasm", widens=True), Kernels("webgpu")
    refused = tuple(
        Finding("fails", label(node), operator(node), f"{lack} of opset {subject.facts.opset(node)} in WebAssembly")
        for node in subject.nodes
        if not subject.is_call(node) and (lack := wasm.lacks(node, subject.facts))
    )
    left, on_host = listed(subject, device, wasm)
    total = len(subject.nodes)
    share = (total - len(refused)) / total if total else None
    older = len(listed(subject, Kernels("jsep"), wasm)[1])
    on_device = (
        f"{total - len(on_host)} of {total} nodes have WebGPU kernels ({total - older} behind its `/all` entry), "
        f"{copies(subject, on_host)} copies"
    )
    notes = tuple(
        Finding("note", each.node, each.operator, f"with WebGPU it {each.what}", each.advice)
        for each in left
        if each.kind == "fallback"
    )
    found = (*_ages(subject), *refused, *_sizes(subject), *_interface(subject), *notes)
    first = next((each.what for each in found if each.kind == "fails"), "")
    why = first or f"by the lists of kernels: all by WebAssembly, {on_device}"
    versions = {"wasm": _versions(wasm), "webgpu": _versions(device)}
    return TargetReport("", verdict_of(found), why, found, total, share, versions=versions)


def _versions(kernels: Kernels) -> str:
    return " with ".join(f"{name} {version}" for name, version in kernels.versions.items())


def _ages(subject: Subject) -> Iterator[Finding]:
    record, model = read_list("wasm"), subject.model
    if model.ir.ir_version > record["ir_version"]:
        said = f"IR version {model.ir.ir_version} is newer than {record['ir_version']}, the last that it opens"
        yield Finding("fails", "", "", said, "write the model with an older `ir_version`, or take a newer release")
    if model.opset() > record["opset"]:
        said = f"opset {model.opset()} is newer than {record['opset']}, the last that it opens"
        yield Finding("fails", "", "", said, "export it with an older opset, or take a newer release")


def _sizes(subject: Subject) -> Iterator[Finding]:
    tensors = sum(int(tensor.nbytes) for tensor in stored_tensors(subject.model))
    file = subject.path.stat().st_size
    if file >= _PROTOBUF_BYTES:
        yield Finding("fails", "", "", f"the file has {file} bytes, protobuf ends at 2 GB", _SPLIT)
    if tensors >= _WASM_BYTES:
        yield Finding("fails", "", "", f"the weights have {tensors} bytes, WebAssembly's memory ends at 4 GB", _SPLIT)
    elif 2 * tensors >= _WASM_BYTES:
        said = f"the weights have {tensors} bytes; while it loads two copies may lie in WebAssembly's 4 GB"
        yield Finding("note", "", "", said, _SPLIT)


def _interface(subject: Subject) -> Iterator[Finding]:
    graph = subject.model.graph
    for side, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            dtype = subject.facts.dtype(value)
            if dtype in _WIDE:
                said = f"{side} {value.name!r} is {dtype}: JavaScript holds it in a BigInt64Array"
                yield Finding("note", "", "", said, "int32 is easier to feed")
            elif dtype is not None and dtype.name not in _JAVASCRIPT:
                yield Finding("fails", "", "", f"{side} {value.name!r} is {dtype}, which JavaScript's tensors are not")
