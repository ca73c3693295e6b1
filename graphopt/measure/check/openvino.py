"""Check against OpenVINO: compile the model; where it is refused, find every node that is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphopt.graph.model import DataType, Node
from graphopt.measure.check.opening import compiled, one_line
from graphopt.measure.check.ort_cpu import named_nodes
from graphopt.measure.check.records import Finding, TargetReport, label, operator
from graphopt.measure.check.singles import refusals
from graphopt.measure.check.subject import Subject
from graphopt.runtime.process import Worker

__all__ = ["examine"]

_MISSING = "OpenVINO is not installed; pip install 'graphopt[openvino]'"
_QLINEAR = "quantize with QuantizeLinear and DequantizeLinear around float operators instead"
_ADVICE = "replace the node with operators of ai.onnx"
_WIDE = frozenset({DataType.INT16, DataType.UINT16})


def examine(subject: Subject) -> TargetReport:
    """Compile the model for the CPU in a child process."""
    total = len(subject.nodes)
    with Worker("graphopt.measure.check.station:Compilers") as worker:
        reply = _compiled(worker, subject.path)
        if "missing" in reply:
            return TargetReport("", "unknown", _MISSING, nodes=total)
        refusal, versions = one_line(reply["refused"]), reply["versions"]
        if not refusal:
            return TargetReport("", "runs", "it compiles", tuple(_notes(subject)), total, 1.0, versions=versions)
        found = tuple(_unconverted(refusal, subject)) or tuple(_refused_alone(subject, worker))
    found = found or named_nodes(refusal, subject)
    bad = len({finding.node for finding in found if finding.node})
    share = (total - bad) / total if total else None
    return TargetReport("", "fails", refusal, found, total, share, versions=versions)


def _compiled(worker: Worker, path: Path) -> dict[str, Any]:
    """Ask for a model; a crash is a refusal.

    Raises `MeasureError` if it could not be asked.
    """
    reply = compiled(worker, "openvino", "openvino", {"path": str(path.resolve())})
    return {"refused": reply["crashed"], "versions": {}} if "crashed" in reply else reply


def _unconverted(refusal: str, subject: Subject) -> Iterator[Finding]:
    """Yield the nodes whose operators the message lists: `Det-17, my.domain.Name`."""
    _, listed, names = refusal.partition("No conversion rule found for operations: ")
    kinds = {re.sub(r"-\d+$", "", name.strip()) for name in names.split(",")} if listed else set()
    for node in subject.nodes:
        if operator(node) in kinds:
            yield Finding("fails", label(node), operator(node), "OpenVINO has no conversion for it", _advice(node))


def _refused_alone(subject: Subject, worker: Worker) -> Iterator[Finding]:
    refused = refusals(subject, lambda path: one_line(_compiled(worker, path)["refused"]), ranked=True)
    for node, said in refused.found:
        yield Finding("fails", label(node), operator(node), said, _advice(node))


def _advice(node: Node) -> str:
    return _QLINEAR if node.op_type.startswith(("QLinear", "QGemm")) or "Integer" in node.op_type else _ADVICE


def _notes(subject: Subject) -> Iterator[Finding]:
    """Warn of activations of 16 bits, which convolutions were seen to compute wrongly on."""
    for node in subject.nodes:
        if node.op_type == "QuantizeLinear" and subject.facts.dtype(node.outputs[0]) in _WIDE:
            said = "activations of 16 bits have given wrong results in convolutions here"
            advice = "compare the numbers with `graphopt bench --ep cpu,openvino`, or use 8 bits"
            yield Finding("note", label(node), operator(node), said, advice)
