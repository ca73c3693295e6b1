"""Lay out what a check found."""

from __future__ import annotations

from graphopt.measure.check.records import CheckReport, Finding, TargetReport
from graphopt.tables import Table

__all__ = ["check_tables"]


def check_tables(report: CheckReport) -> list[Table]:
    """Return a table of verdicts, and one of findings; nodes with the same finding share a row."""
    rows = tuple(_verdict(each) for each in report.targets)
    header = ("target", "verdict", "nodes", "native", "copies", "why", "asked")
    tables = [Table(header, rows, title=f"Would {report.model} run?", numeric=frozenset({2, 3, 4}), key="targets")]
    found = tuple(row for each in report.targets for row in _findings(each))
    if found:
        tables.append(Table(("target", "", "node", "operator", "what", "what to do"), found, key="findings"))
    return tables


def _verdict(one: TargetReport) -> tuple[str, ...]:
    share = "" if one.native_share is None else f"{one.native_share:.1%}"
    copies = "" if one.copies is None else str(one.copies)
    asked = ", ".join(value if " " in value else f"{name} {value}" for name, value in one.versions.items())
    return (one.target, one.verdict, str(one.nodes), share, copies, one.why, asked)


def _findings(one: TargetReport) -> list[tuple[str, ...]]:
    alike: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in one.findings:
        alike.setdefault((finding.kind, finding.operator, finding.what, finding.advice), []).append(finding)
    rows: list[tuple[str, ...]] = []
    for (kind, operator, what, advice), group in alike.items():
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        rows.append((one.target, kind, f"{group[0].node}{more}", operator, what, advice))
    return rows
