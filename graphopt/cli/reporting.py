"""The command that shows results: report; and the page that others write beside their output."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from graphopt.cli.choices import common
from graphopt.errors import UsageError

if TYPE_CHECKING:
    from graphopt.report.results import Found
    from graphopt.tables import Table

__all__ = ["COMMANDS", "write_page"]


@click.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULT.json...")
@click.option(
    "-o", "--output", metavar="OUT", help="A file whose name ends in .html or .md [default: Markdown to the terminal]."
)
@common("markdown")
def report(results: tuple[str, ...], output: str | None, *, quiet: bool, **_: Any) -> None:
    """Show RESULTs, which other commands printed with --format json, as one HTML page or as Markdown."""
    from graphopt.report.markdown import markdown, write_markdown
    from graphopt.report.page.document import write_report
    from graphopt.report.page.render import prepare
    from graphopt.report.results import read_results
    from graphopt.tables import plain

    path = None if output is None else Path(output)
    if path is not None and path.suffix not in {".html", ".md"}:
        raise UsageError(f"no report is of the kind {path.suffix!r}", advice="name a file that ends in .html or .md")
    if path is not None and path.suffix == ".html":
        prepare(path)
    found = [result for name in results for result in read_results(Path(name))]
    if path is None:
        sys.stdout.write("" if quiet else markdown(found))
    elif path.suffix == ".md":
        write_markdown(path, found)
    else:
        write_report(path, found)
    if path is not None and not quiet:
        sys.stdout.write(f"{plain(path)}: {len(found)} result{'s' if len(found) > 1 else ''}\n")


def write_page(
    path: Path | None,
    results: Sequence[Found],
    *,
    models: tuple[str, str] | None = None,
    tables: Sequence[Table] = (),
) -> None:
    """Write the page that --report asked for, if it did; `models` and `tables` are as `write_report` takes them."""
    if path is None:
        return
    from graphopt.report.page.document import write_report

    write_report(path, results, shlex.join(["graphopt", *sys.argv[1:]]), models=models, tables=tables)


COMMANDS = (report,)
