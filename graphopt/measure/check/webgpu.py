"""Check against WebGPU: onnxruntime's plug-in places the nodes; where it cannot, a list of its kernels does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from graphopt.graph.model import Node
from graphopt.measure.check.copies import copies
from graphopt.measure.check.kernels import Kernels
from graphopt.measure.check.opening import Opener
from graphopt.measure.check.ort_cpu import named_nodes
from graphopt.measure.check.records import Finding, TargetReport, label, operator, verdict_of
from graphopt.measure.check.subject import Subject
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import RequestError, Worker, WorkerDied

__all__ = ["examine", "listed"]

_LIMITS = Limits(wall_seconds=300)

_EP = "WebGpuExecutionProvider"
_INT8 = "int8 in QuantizeLinear and DequantizeLinear costs copies here: quantize weights alone (int4, MatMulNBits)"


def examine(subject: Subject) -> TargetReport:
    """Open the model on a device, a software adapter included: it places nodes like a GPU."""
    with Opener("webgpu", subject.custom_ops, software=True) as opener:
        reason = opener.why_not()
        if reason:
            return _by_list(subject, reason)
        reply, refusal = opener.open(subject.path)
    if not refusal:
        return _placed(reply, subject)
    if _is_imitated(subject):
        # It lacks what GPUs have, such as f16 in shaders: its refusal says nothing of them.
        return _by_list(subject, f"the software adapter refuses it, a GPU may not ({refusal})")
    return TargetReport("", "fails", refusal, named_nodes(refusal, subject), len(subject.nodes))


def _is_imitated(subject: Subject) -> bool:
    with Opener("webgpu", subject.custom_ops) as opener:
        return bool(opener.why_not())


def _placed(reply: dict[str, Any], subject: Subject) -> TargetReport:
    by_name = {node.name: node for node in subject.nodes if node.name}
    placement = reply["placement"]
    ours = len(placement.get(_EP, ()))
    others = [name for provider, names in placement.items() if provider != _EP for name in names]
    total = ours + len(others)
    on_host = [by_name[name] for name in others if name in by_name]
    listed_kernels = Kernels("webgpu")
    found = [_fallback(node, listed_kernels.lacks(node, subject.facts)) for node in on_host]
    found += [Finding("fallback", name, "", "runs on the CPU") for name in others if name not in by_name]
    crossing = _copies(subject) if on_host else 0
    crossing = copies(subject, set(on_host)) if crossing is None else crossing
    versions = {key: value for key, value in reply["chosen"].items() if key in {"runtime", "adapter"}}
    why = f"{ours} of {total} nodes run on the device, {crossing} values are copied"
    verdict = verdict_of(tuple(found))
    return TargetReport(
        "", verdict, why, tuple(found), total, ours / total if total else None, crossing, versions=versions
    )


def _copies(subject: Subject) -> int | None:
    """Count the copies in the graph that the runtime made of the model; None if it could not be had."""
    with tempfile.TemporaryDirectory(prefix="graphopt-check-") as folder:
        options = {"software": True, "custom_ops": [str(Path(path).resolve()) for path in subject.custom_ops]}
        request = {"ep": "webgpu", "path": str(subject.path.resolve()), "options": options, "folder": folder}
        try:
            with Worker("graphopt.measure.check.station:Compilers") as worker:
                return int(worker.request("copies", request, (), _LIMITS)[0]["copies"])
        except (RequestError, WorkerDied):
            return None


def _fallback(node: Node, lack: str) -> Finding:
    advice = _INT8 if node.op_type in {"QuantizeLinear", "DequantizeLinear"} else ""
    why = lack or "the runtime keeps it there, as it computes shapes or reads what the CPU makes"
    return Finding("fallback", label(node), operator(node), f"runs on the CPU: {why}", advice)


def _by_list(subject: Subject, reason: str) -> TargetReport:
    kernels, host = Kernels("webgpu"), Kernels("wasm", widens=True)
    found, on_host = listed(subject, kernels, host)
    total, crossing = len(subject.nodes), copies(subject, on_host)
    why = f"by the list of kernels, not asked: {reason}"
    share = (total - len(on_host)) / total if total else None
    return TargetReport("", verdict_of(found), why, found, total, share, crossing, versions=dict(kernels.versions))


def listed(subject: Subject, kernels: Kernels, host: Kernels) -> tuple[tuple[Finding, ...], set[Node]]:
    """Judge each node by the lists of the device's kernels and of the host's; also return those left to the host."""
    found: list[Finding] = []
    on_host: set[Node] = set()
    for node in subject.nodes:
        lack = "" if subject.is_call(node) else kernels.lacks(node, subject.facts)
        if not lack:
            continue
        on_host.add(node)
        refused = host.lacks(node, subject.facts)
        at = f"of opset {subject.facts.opset(node)}"
        finding = Finding("fails", label(node), operator(node), f"{refused} {at}") if refused else _fallback(node, lack)
        found.append(finding)
    return tuple(found), on_host
