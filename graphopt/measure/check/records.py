"""Say what a check found: for each target a verdict, and the nodes that it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from graphopt.graph.model import Node

__all__ = ["CheckReport", "Finding", "TargetReport", "Verdict", "label", "operator", "verdict_of"]

Verdict = Literal["runs", "runs-with-fallback", "fails", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One thing about one node, or about the model if `node` is empty.

    `kind` is `fails` (the target refuses it), `fallback` (another device or a slower path takes it) or `note`.
    `operator` carries its domain unless that is ai.onnx. `what` is one line.
    """

    kind: Literal["fails", "fallback", "note"]
    node: str
    operator: str
    what: str
    advice: str = ""


@dataclass(frozen=True)
class TargetReport:
    """What became of one target.

    `why` says in one line what the verdict rests on or, if it is `unknown`, what is missing. `native_share` is the
    share of nodes that the target runs itself, 0 to 1; None if it is not known. `copies` are transfers between the
    target's device and the host inside one inference. `versions` tells what was asked.
    """

    target: str
    verdict: Verdict
    why: str = ""
    findings: tuple[Finding, ...] = ()
    nodes: int = 0
    native_share: float | None = None
    copies: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class CheckReport:
    """The verdicts on one model."""

    model: str
    sha256: str
    opsets: dict[str, int]
    targets: tuple[TargetReport, ...]
    remarks: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Return the verdicts as a notebook shows them."""
        from graphopt.report.notebook import check_html

        return check_html(self)


def label(node: Node) -> str:
    """Name a node; one without a name goes by its first output."""
    return node.name or next((f"(makes {value.name})" for value in node.outputs if value.name), "(no name)")


def operator(node: Node) -> str:
    """Name a node's operator, with its domain unless that is ai.onnx."""
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def verdict_of(findings: tuple[Finding, ...]) -> Verdict:
    """Judge by the gravest finding."""
    kinds = {finding.kind for finding in findings}
    return "fails" if "fails" in kinds else "runs-with-fallback" if "fallback" in kinds else "runs"
