"""The commands that find what went wrong: bisect and reduce."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from graphopt.cli.choices import common, rewriting, sampling
from graphopt.cli.rewriting import Progress, check_output, make_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model")
@rewriting
@sampling
@common("table", "json")
def bisect(model: str, *, form: str, quiet: bool, **given: Any) -> None:
    """Find the first rewrite after which MODEL computes something else, and name its rule and node."""
    from graphopt.cli.output import show_json
    from graphopt.pipeline.bisect import bisect_model
    from graphopt.tables import plain

    progress = Progress(quiet=quiet or form != "table")
    with progress:
        found = bisect_model(Path(model), make_options(given), progress.step)
    if form == "json":
        show_json(found)
    elif quiet:
        return
    elif found is None:
        sys.stdout.write("no rewrite changes the results\n")
    else:
        sys.stdout.write(f"step {found.number}: rule {plain(found.rule)} at node {plain(found.node)}\n")


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="OUT", help="Where to save the reduced model.")
@rewriting
@sampling
@common("table", "json")
def reduce(model: str, *, output: str, form: str, quiet: bool, **given: Any) -> None:
    """Shrink MODEL to the part that the pipeline still gets wrong."""
    from graphopt.cli.output import show_json
    from graphopt.pipeline.reduce import reduce_model
    from graphopt.tables import plain

    check_output(Path(model), Path(output), in_place=False)
    progress = Progress(quiet=quiet or form != "table")
    with progress:
        found = reduce_model(Path(model), Path(output), make_options(given), progress.step)
    if form == "json":
        show_json(found)
    elif not quiet:
        sys.stdout.write(
            f"{plain(output)}: {found.nodes_before} -> {found.nodes_after} nodes, still wrong by "
            f"{plain(found.rule)} at {plain(found.node)}\n"
        )


COMMANDS = (bisect, reduce)
