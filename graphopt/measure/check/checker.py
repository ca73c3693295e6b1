"""Check a model against targets, one after the other."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from graphopt.errors import MeasureError, UnsupportedError, UsageError, nearest
from graphopt.measure.check.records import CheckReport, TargetReport
from graphopt.measure.check.subject import Subject

__all__ = ["TARGETS", "check", "require"]

_MODULES = {
    "portable": "ort_cpu",
    "ort-cpu": "ort_cpu",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
    "webgpu": "webgpu",
    "ort-web": "ort_web",
}

_ELSEWHERE = {"ort-cuda": "--ep cuda --strict"}
"""Targets that cannot be checked, with the options of bench that try them."""

TARGETS = tuple(_MODULES)
"""The targets that a model can be checked against."""


def check(
    model: str | Path,
    targets: str | Sequence[str],
    *,
    task: str = "",
    seed: int = 0,
    budget_s: float = 30.0,
    custom_ops: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> CheckReport:
    """Find out whether `model` would run on each of `targets`, or on the one.

    `task` gives the inputs whose sizes are tried; without it some are drawn. `budget_s` bounds each search for the
    nodes that a runtime refuses.

    Raises `UsageError` for an unknown target, `MeasureError` for one that cannot be checked without its device,
    `ModelError` for a model that is not valid.
    """
    wanted = (targets,) if isinstance(targets, str) else targets
    for target in wanted:
        if target in _ELSEWHERE:
            raise MeasureError(
                f"{target} cannot be checked without its GPU",
                where="no list of what it takes is known here",
                advice=f"where there is one, `graphopt bench {Path(model).name} {_ELSEWHERE[target]}` tells",
            )
        if target not in _MODULES:
            known = f"known: {', '.join(TARGETS)}"
            raise UsageError(f"cannot check for target {target!r}", advice=nearest(target, TARGETS) or known)
    path = Path(model)
    subject = Subject(path, task, seed, budget_s, tuple(custom_ops))
    found = []
    for target in dict.fromkeys(wanted):
        progress(f"check {target}")
        found.append(_examined(target, subject))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    opsets = dict(subject.model.ir.opset_imports)
    return CheckReport(str(model), digest, opsets, targets=tuple(found), remarks=tuple(subject.model.remarks))


def _examined(target: str, subject: Subject) -> TargetReport:
    begin = time.perf_counter()
    module = import_module(f"graphopt.measure.check.{_MODULES[target]}")
    try:
        report: TargetReport = module.examine(subject)
    except MeasureError as error:
        report = TargetReport(target, "unknown", f"{error.what}: {error.where}", nodes=len(subject.nodes))
    return replace(report, target=target, seconds=time.perf_counter() - begin)


def require(report: CheckReport) -> None:
    """Do nothing if the model runs on all targets.

    Raises `UnsupportedError` if it fails on one, `MeasureError` if one could not be checked.
    """
    failing = [each for each in report.targets if each.verdict == "fails"]
    if failing:
        first = failing[0]
        finding = next((finding for finding in first.findings if finding.kind == "fails"), None)
        advice = finding.advice if finding else ""
        nodes = f"{finding.operator} node {finding.node!r}: {finding.what}" if finding and finding.node else first.why
        names = ", ".join(each.target for each in failing)
        raise UnsupportedError(f"{report.model} would not run on {names}", where=nodes, advice=advice)
    unknown = [each for each in report.targets if each.verdict == "unknown"]
    if unknown:
        raise MeasureError(f"{unknown[0].target} cannot be checked here", where=unknown[0].why)
