"""Check against TensorRT: rules for what its parser takes, and where it is installed the parser and builder themselves.

The parser and the builder are those of TensorRT-RTX, which need no GPU; they build for one architecture.
"""

from __future__ import annotations

from typing import Any

from graphopt.measure.check.opening import compiled, one_line
from graphopt.measure.check.records import Finding, TargetReport, label, operator
from graphopt.measure.check.subject import Subject
from graphopt.measure.check.tensorrt_rules import rules
from graphopt.runtime.process import Worker

__all__ = ["examine"]

_SM = "SM89"
_MISSING = "TensorRT-RTX is not installed; pip install 'graphopt[tensorrt-check]'"


def examine(subject: Subject) -> TargetReport:
    """Judge by the parser and builder; by the rules alone where those are not installed and the rules refuse it."""
    total = len(subject.nodes)
    ruled = tuple(rules(subject))
    reply = _asked(subject)
    if "crashed" in reply:
        said = reply["crashed"]
        return TargetReport("", "fails", said, (Finding("fails", "", "", said), *ruled), total)
    bad = len({finding.node for finding in ruled if finding.node})
    share = (total - bad) / total if total else None
    if "missing" in reply:
        if ruled:
            said = f"{ruled[0].what}; by rules, as {_MISSING}"
            return TargetReport("", "fails", said, ruled, total, share, versions={"rules": "TensorRT-RTX 1.7"})
        why = f"no rule speaks against it, but the parser was not asked: {_MISSING}"
        return TargetReport("", "unknown", why, nodes=total)
    return _judged(reply, ruled, subject)


def _asked(subject: Subject) -> dict[str, Any]:
    feed = subject.feed or {}
    with Worker("graphopt.measure.check.station:Compilers") as worker:
        request = {"path": str(subject.path.resolve()), "inputs": list(feed), "sm": _SM}
        return compiled(worker, "tensorrt_rtx", "tensorrt", request, list(feed.values()))


def _judged(reply: dict[str, Any], ruled: tuple[Finding, ...], subject: Subject) -> TargetReport:
    total, versions = len(subject.nodes), reply["versions"]
    if reply["parsed"] and reply["built"]:
        why = f"it parses, and an engine for {_SM} builds"
        return TargetReport("", "runs", why, (), total, 1.0, versions=versions)
    if reply["parsed"] and reply["built"] is None:
        why = f"it parses, but no engine was built: {reply['messages'][0]}; give inputs with --task"
        return TargetReport("", "unknown", why, (), total, versions=versions)
    advice = {finding.node: finding.advice for finding in ruled}
    said = tuple(_finding(error, advice) for error in reply["errors"]) or _build_errors(reply, subject)
    # The parser stops at the first fault of some kinds; the rules name the others.
    named = {finding.node for finding in said if finding.node}
    found = (*said, *(finding for finding in ruled if finding.node not in named))
    bad = len({finding.node for finding in found if finding.node})
    stage = "the builder" if reply["parsed"] else "the parser"
    why = f"{stage} refuses it: {said[0].what}"
    return TargetReport("", "fails", why, found, total, (total - bad) / total if total else None, versions=versions)


def _finding(error: dict[str, str], advice: dict[str, str]) -> Finding:
    text = one_line(error["text"])
    what = "the parser has no importer for it" if text in {"", "false"} else text
    return Finding("fails", error["node"], error["operator"], f"{error['code']}: {what}", advice.get(error["node"], ""))


def _build_errors(reply: dict[str, Any], subject: Subject) -> tuple[Finding, ...]:
    """Find the node that the builder's messages name: its layers go by the names of nodes and values."""
    texts = [one_line(text) for text in reply["messages"]] or ["it gives no reason"]
    names: dict[str, Any] = {}
    for node in subject.nodes:
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.name:
                names.setdefault(value.name, node)
        if node.name:
            names[node.name] = node
    for text in texts:
        words = sorted((word for word in names if len(word) > 2 and word in text), key=len)
        if words:
            node = names[words[-1]]
            return (Finding("fails", label(node), operator(node), text),)
    return (Finding("fails", "", "", texts[0]),)
