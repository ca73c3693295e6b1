"""The commands about this machine: env and demo."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click

from graphopt.cli.choices import common, reporting

__all__ = ["COMMANDS"]


@click.command()
@common()
def env(*, form: str, quiet: bool, **_: Any) -> None:
    """Say what graphopt finds here: versions, processor, execution providers."""
    from graphopt.cli.output import show_tables
    from graphopt.measure.machine import machine_table

    show_tables([machine_table()], form, quiet=quiet)


@click.command()
@click.option("--keep", metavar="FOLDER", help="Keep the model before and after in FOLDER.")
@reporting
@common("table", "json")
def demo(keep: str | None, *, page: Path | None, form: str, quiet: bool, **_: Any) -> None:
    """Optimize, verify and time a small network that reads handwritten digits; it comes with graphopt."""
    from graphopt.cli.output import show_json, show_report, show_tables
    from graphopt.cli.reporting import write_page
    from graphopt.demo import MODEL, run

    with tempfile.TemporaryDirectory(prefix="graphopt-") as folder:
        outcome = run(keep or (folder if page else None))
        if keep is None:
            outcome = replace(outcome, report=replace(outcome.report, output=""))
        models = str(MODEL), str(Path(keep or folder, "digits.opt.onnx"))
        write_page(page, [outcome.report], models=models, tables=[outcome.table()])
    if form == "json":
        show_json(outcome)
        return
    show_report(outcome.report, form, quiet=quiet)
    show_tables([outcome.table()], form, quiet=quiet)
    if not quiet:
        sys.stdout.write(outcome.comparison.verdict + "\n")


COMMANDS = (env, demo)
