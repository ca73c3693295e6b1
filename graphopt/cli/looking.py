"""The commands that only look: inspect, diff, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from graphopt.cli.choices import common, drawing
from graphopt.errors import VerificationError

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model")
@click.option("--text", is_flag=True, help="Print the graph in ONNX's textual form.")
@common()
def inspect(model: str, *, text: bool, form: str, quiet: bool, **_: Any) -> None:
    """Say what MODEL is made of: interface, opsets, operators, parameters, size."""
    from graphopt.cli.output import show_tables
    from graphopt.graph.load import load
    from graphopt.report.inspection import inspection
    from graphopt.tables import plain

    loaded = load(Path(model))
    if text and not quiet:
        from graphopt.graph.text import to_text

        lines = to_text(loaded).split("\n")
        sys.stdout.write("\n".join(plain(line) for line in lines) + "\n")
        return
    show_tables(inspection(loaded), form, quiet=quiet)


@click.command()
@click.argument("a")
@click.argument("b")
@common()
def diff(a: str, b: str, *, form: str, quiet: bool, **_: Any) -> None:
    """Compare the graphs of A and B: interface, metadata, operators, and the nodes that only one of them has."""
    from graphopt.cli.output import show_tables
    from graphopt.graph.load import load
    from graphopt.report.difference import difference
    from graphopt.tables import Table

    tables = difference(load(Path(a)), load(Path(b)))
    if form != "json":
        tables = [table for table in tables if table.rows] or [Table(("", "A", "B"), (("no difference", "", ""),))]
    show_tables(tables, form, quiet=quiet)


@click.command()
@click.argument("a")
@click.argument("b", required=False)
@click.option("--manifest", is_flag=True, help="Check A against the content hash in its own manifest instead.")
@drawing
@common("table", "json")
def verify(a: str, b: str | None, *, manifest: bool, form: str, quiet: bool, **given: Any) -> None:
    """Run A and B on the same inputs and compare their outputs; exit 6 if they differ."""
    from graphopt.cli.output import show_json
    from graphopt.pipeline.proof import check_manifest, compare_files
    from graphopt.tables import plain

    if (b is None) != manifest:
        raise click.UsageError("give either a second model or --manifest")
    if b is None:
        record = check_manifest(Path(a))
    else:
        record = compare_files(Path(a), Path(b), given["task"], given["samples"], given["seed"], given["custom_ops"])
    if form == "json":
        show_json(record)
    elif not quiet:
        error = "" if record.max_error is None else f"largest error {record.max_error:.1e}"
        inputs = f"on {record.feeds} {record.source} inputs" if record.feeds else ""
        said = "; ".join(filter(None, (plain(record.detail), " ".join(filter(None, (error, inputs))))))
        sys.stdout.write(f"{record.status}: {said}\n")
    if record.status == "different":
        raise VerificationError("the models differ", where=record.detail)
    if record.status == "not-run":
        raise VerificationError("the models could not be compared", where=record.detail)


COMMANDS = (inspect, diff, verify)
