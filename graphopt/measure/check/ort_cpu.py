"""Check against onnxruntime on the CPU: open the model; where it is refused, find every node that is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from graphopt.graph.model import Node
from graphopt.measure.check.opening import Opener
from graphopt.measure.check.records import Finding, TargetReport, label, operator
from graphopt.measure.check.singles import refusals
from graphopt.measure.check.subject import Subject

__all__ = ["examine", "named_nodes"]

_NODE = re.compile(r"(?:with name|[Nn]ode|[Nn]ode name|Node \()\s*[:(]?\s*'?([^')]*)'?")
_ADVICE = "`graphopt optimize` removes what folding can; else replace the node, or give its library with --custom-ops"


def examine(subject: Subject) -> TargetReport:
    """Open the model in a child process."""
    total = len(subject.nodes)
    with Opener("cpu", subject.custom_ops) as opener:
        reply, refusal = opener.open(subject.path)
        if not refusal:
            found = tuple(_not_run(subject))
            versions = {"runtime": reply["chosen"]["runtime"]}
            return TargetReport("", "runs", "it loads", found, total, 1.0, versions=versions)
        refused = refusals(subject, opener.refusal)
    found = tuple(_finding(node, said, subject) for node, said in refused.found)
    found = found or named_nodes(refusal, subject)
    bad = len({finding.node for finding in found if finding.node})
    return TargetReport("", "fails", refusal, found, total, (total - bad) / total if total else None)


def _not_run(subject: Subject) -> Iterator[Finding]:
    if subject.feed is None:
        yield Finding("note", "", "", "it loads, but no input was found that it runs", "give some with --task")


def _finding(node: Node, said: str, subject: Subject) -> Finding:
    dtypes = [subject.facts.dtype(value) for value in node.inputs if value is not None]
    types = ", ".join("unknown" if dtype is None else dtype.name.lower() for dtype in dtypes)
    at = f"{operator(node)}({types}) of opset {subject.facts.opset(node)}"
    return Finding("fails", label(node), operator(node), f"{at}: {said}", _ADVICE)


def named_nodes(refusal: str, subject: Subject) -> tuple[Finding, ...]:
    """Return a finding for the node that a message names, or one for the model if it names none."""
    names = {node.name: node for node in subject.nodes if node.name}
    said = next((match.strip() for match in _NODE.findall(refusal) if match.strip() in names), "")
    if said:
        return (Finding("fails", said, operator(names[said]), refusal, _ADVICE),)
    kinds = {operator(node): node for node in subject.nodes}
    words = set(re.findall(r"[\w.]+(?::\w+)?", refusal))
    for word in words:
        plain = word.replace(":", ".")
        if plain in kinds:
            return (Finding("fails", label(kinds[plain]), plain, refusal, _ADVICE),)
    return (Finding("fails", "", "", refusal),)
