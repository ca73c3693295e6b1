"""The command that says whether a model is valid, and whether it would run: check."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from graphopt.cli.choices import common, feeding, split_names
from graphopt.cli.rewriting import Progress

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Would it run there: ort-cpu (or portable), openvino, tensorrt, webgpu, ort-web; with commas or repeated.",
)
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(0.0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time to spend on finding the nodes that a runtime refuses.",
)
@feeding
@common()
def check(model: str, targets: tuple[str, ...], *, form: str, quiet: bool, **given: Any) -> None:
    """Check that MODEL is valid (exit 3 if not), or with --target that it would run there (exit 4 if not).

    Exit 7 if a target cannot be checked here; the message says what to install.
    """
    if not targets:
        _valid(model, form, quiet=quiet)
        return
    from graphopt.cli.output import show_json, show_tables
    from graphopt.measure.check.checker import check as run
    from graphopt.measure.check.checker import require
    from graphopt.report.checked import check_tables

    options = {name: given[name] for name in ("task", "seed", "budget_s", "custom_ops")}
    with Progress(quiet=quiet or form != "table") as progress:
        report = run(model, split_names(targets), **options, progress=progress.step)
    if form == "json" and not quiet:
        show_json(report)
    else:
        show_tables(check_tables(report), form, quiet=quiet)
    sys.stdout.flush()
    require(report)


def _valid(model: str, form: str, *, quiet: bool) -> None:
    from graphopt.cli.output import show_json, show_tables
    from graphopt.graph.load import load
    from graphopt.tables import Table, plain

    loaded = load(Path(model))
    if form == "json":
        show_json({"model": model, "valid": True, "remarks": loaded.remarks})
    elif form != "table":
        rows = (("model", model), ("valid", "True"), *(("note", remark) for remark in loaded.remarks))
        show_tables([Table(("", "value"), rows)], form, quiet=quiet)
    elif not quiet:
        sys.stdout.write(f"{plain(model)}: valid\n")
        for remark in loaded.remarks:
            sys.stdout.write(f"note: {plain(remark)}\n")


COMMANDS = (check,)
