"""Validate a model as a whole: versions, imports, functions, graphs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import onnx

from graphopt.errors import UnsupportedError
from graphopt.graph.escape import quote
from graphopt.graph.shadow import rename_shadowing
from graphopt.graph.validate_graph import Scope, check_attribute, check_graph, check_nodes, check_value, nested_graphs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graphopt.graph.survey import Survey

__all__ = ["DEFAULT_DOMAINS", "check_structure", "domain_key", "expanded_size"]

DEFAULT_DOMAINS = frozenset({"", "ai.onnx"})
FunctionId = tuple[str, str, str]

_DEVICES_FROM = 11
_HUGE = 1 << 40


def domain_key(domain: str) -> str:
    """Return the one name of `domain`: ai.onnx has two."""
    return "" if domain in DEFAULT_DOMAINS else domain


def check_structure(proto: onnx.ModelProto, survey: Survey) -> None:
    """Check everything that needs no knowledge of operators; sort nodes and rename what hides outer values.

    Raises `ModelError` or `UnsupportedError`.
    """
    _check_versions(proto, survey)
    _check_text(proto, survey)
    _check_unsupported(proto, survey)
    _check_functions(proto, survey)
    reads = check_graph(proto.graph, survey, Scope())
    for name, reader in reads.items():
        raise survey.fail(f"{quote(name)} is read but nowhere defined", at=reader)
    rename_shadowing(proto, survey)


def _check_versions(proto: onnx.ModelProto, survey: Survey) -> None:
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise survey.fail("the file holds no graph", advice="is this an ONNX model?")
    newest = onnx.IR_VERSION
    if not 1 <= proto.ir_version <= newest:
        advice = f"versions 1 to {newest} are known; a newer onnx package may know more"
        raise survey.fail(f"IR version {proto.ir_version}", advice=advice)
    _check_imports(proto.opset_import, survey, "the model")
    if not proto.opset_import and proto.ir_version >= 3:
        raise survey.fail("the model imports no operator set")
    keys = Counter(entry.key for entry in proto.metadata_props)
    for key, count in keys.items():
        if count > 1:
            survey.remarks.append(f"metadata key {quote(key)} occurs {count} times; the last one counts")


def _check_text(proto: onnx.ModelProto, survey: Survey) -> None:
    survey.require_text((proto.producer_name, proto.producer_version, proto.domain, proto.doc_string), "the model")
    survey.require_entries(proto.metadata_props, "the model")
    survey.require_text((entry.domain for entry in proto.opset_import), "the model")
    for device in proto.configuration:
        survey.require_text((device.name, *device.device), "the model")
    for function in proto.functions:
        names = (function.name, function.domain, function.overload, function.doc_string)
        survey.require_text((*names, *function.input, *function.output, *function.attribute), "a function")
        survey.require_text((entry.domain for entry in function.opset_import), "a function")
        survey.require_entries(function.metadata_props, "a function")


def _check_imports(imports: Iterable[onnx.OperatorSetIdProto], survey: Survey, at: str) -> None:
    seen: set[str] = set()
    newest = onnx.defs.onnx_opset_version()
    for entry in imports:
        domain = domain_key(entry.domain)
        if domain in seen:
            raise survey.fail(f"operator set {quote(entry.domain or 'ai.onnx')} is imported twice", at=at)
        seen.add(domain)
        if entry.version < 1 or (not domain and entry.version > newest):
            advice = f"versions 1 to {newest} of ai.onnx are known"
            raise survey.fail(f"operator set {quote(domain or 'ai.onnx')} {entry.version}", at=at, advice=advice)


def _check_unsupported(proto: onnx.ModelProto, survey: Survey) -> None:
    where = f"in {survey.where}"
    if proto.training_info:
        advice = "export the model for inference"
        raise UnsupportedError("the model has training information", where=where, advice=advice)
    if proto.ir_version >= _DEVICES_FROM:
        return
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    if proto.configuration or any(node.device_configurations for node in nodes):
        raise UnsupportedError(f"device configurations need IR version {_DEVICES_FROM}", where=where)


def _id(proto: onnx.FunctionProto) -> FunctionId:
    return domain_key(proto.domain), proto.name, proto.overload


def _called(nodes: Iterable[onnx.NodeProto], known: set[FunctionId]) -> Counter[FunctionId]:
    """Count the calls of local functions in `nodes` and the graphs in them."""
    calls: Counter[FunctionId] = Counter()
    todo = [nodes]
    while todo:
        for node in todo.pop():
            callee = (domain_key(node.domain), node.op_type, node.overload)
            if callee in known:
                calls[callee] += 1
            todo.extend(graph.node for graph in nested_graphs(node))
    return calls


def _check_functions(proto: onnx.ModelProto, survey: Survey) -> None:
    known: set[FunctionId] = set()
    for function in proto.functions:
        title = f"function {quote(function.name)} of domain {quote(function.domain)}"
        if _id(function) in known or not function.name:
            raise survey.fail(f"{title} has no name or is defined twice")
        known.add(_id(function))
        if not domain_key(function.domain) and onnx.defs.has(function.name):
            raise UnsupportedError(f"{title} redefines an operator of ONNX", where=f"in {survey.where}")
        _check_function(function, survey, title)
    if known:
        _check_recursion(proto, known, survey)


def _check_function(function: onnx.FunctionProto, survey: Survey, at: str) -> None:
    _check_imports(function.opset_import, survey, at)
    names = set(function.input)
    if len(names) != len(function.input) or "" in names:
        raise survey.fail("an input has no name or is defined twice", at=at)
    parameters = [*function.attribute, *(attribute.name for attribute in function.attribute_proto)]
    if len(set(parameters)) != len(parameters):
        raise survey.fail("an attribute is declared twice", at=at)
    for attribute in function.attribute_proto:
        survey.require_text((attribute.name, attribute.doc_string), at)
        check_attribute(attribute, survey, at)
    for value in function.value_info:
        check_value(value, survey, at)
    check_nodes(function.node, names, survey, Scope(), at)
    for name in function.output:
        if name not in names:
            raise survey.fail(f"output {quote(name)} is not defined", at=at)


def _check_recursion(proto: onnx.ModelProto, known: set[FunctionId], survey: Survey) -> None:
    if expanded_size(proto, known) is None:
        raise survey.fail("a function calls itself, directly or through others")


def expanded_size(proto: onnx.ModelProto, known: set[FunctionId] | None = None) -> tuple[int, int] | None:
    """Return the number of nodes after inlining every call and the depth of calls; None if functions are recursive.

    The number is capped: a model of 2 kB can stand for 2**60 nodes.
    """
    if known is None:
        known = {_id(function) for function in proto.functions}
    calls = {_id(function): _called(function.node, known) for function in proto.functions}
    size = {_id(function): len(function.node) for function in proto.functions}
    callers: dict[FunctionId, list[FunctionId]] = {name: [] for name in known}
    for caller, callees in calls.items():
        for callee in callees:
            callers[callee].append(caller)
    left = {name: len(callees) for name, callees in calls.items()}
    depth = dict.fromkeys(known, 1)
    ready = [name for name, count in left.items() if not count]
    done = 0
    while ready:
        name = ready.pop()
        done += 1
        for caller in callers[name]:
            size[caller] = min(size[caller] + calls[caller][name] * size[name], _HUGE)
            depth[caller] = max(depth[caller], depth[name] + 1)
            left[caller] -= 1
            if not left[caller]:
                ready.append(caller)
    if done < len(known):
        return None
    roots = _called(proto.graph.node, known)
    total = len(proto.graph.node) + sum(count * size[name] for name, count in roots.items())
    return min(total, _HUGE), max((depth[name] for name in roots), default=0)
