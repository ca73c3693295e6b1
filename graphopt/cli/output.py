"""Print reports and tables in the form that the user asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from graphopt.pipeline.report import Report
from graphopt.report.views import loud_lines, report_tables
from graphopt.tables import Table, plain, render

__all__ = ["show_json", "show_report", "show_tables"]


def show_tables(tables: Sequence[Table], form: str, *, quiet: bool = False) -> None:
    """Print tables; as JSON, the data of the one or an object with that of each under its key."""
    if quiet:
        return
    if form == "json":
        show_json(tables[0].data() if len(tables) == 1 else {table.key: table.data() for table in tables})
        return
    sys.stdout.write(render(tables, form))


def show_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def show_report(report: Report, form: str, *, quiet: bool) -> None:
    """Print a report; loud lines go to standard error when the output is for machines."""
    if form == "json":
        show_json(report)
    elif not quiet:
        sys.stdout.write(render(report_tables(report), form) + "\n")
    stream = sys.stdout if form == "table" and not quiet else sys.stderr
    for line in loud_lines(report):
        if not quiet or line.isupper() or line.startswith(("ROLLED", "NOT", "DIFF", "FAST")):
            stream.write(f"{line}\n")
    for remark in report.remarks:
        if not quiet and form == "table":
            sys.stdout.write(f"{remark.kind}: {plain(remark.rule)} at {plain(remark.node)}: {plain(remark.text)}\n")
    if form == "table" and not quiet:
        sys.stdout.write(f"{plain(report.output) or 'nothing written'} in {report.seconds:.2f} s\n")
