"""The command that tells where the time goes: profile."""

from __future__ import annotations

import sys
from typing import Any

import rich_click as click

from graphopt.cli.choices import common, feeding, reporting
from graphopt.cli.rewriting import Progress
from graphopt.cli.timing import parse_config

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model")
@click.argument("after", required=False)
@click.option("--ep", default="cpu", show_default=True, metavar="NAME", help="The execution provider.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of the runtime.")
@click.option(
    "--runs",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Inferences under the profiler; 0 takes as many as run in a few seconds.",
)
@click.option(
    "--depth", type=click.IntRange(1), default=3, show_default=True, help="Parts of the path that name a region."
)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Nodes to list; JSON has all.")
@click.option(
    "--precision",
    type=click.Choice(["f32", "auto"]),
    default="f32",
    show_default=True,
    help="Compute as the model says, or as the runtime likes (OpenVINO takes bf16 on some processors).",
)
@click.option("--strict", is_flag=True, help="Fail if the provider leaves any node to the CPU.")
@click.option("--config", multiple=True, metavar="KEY=VALUE", help="An option for the runtime, verbatim; repeatable.")
@feeding
@reporting
@common()
def profile(model: str, after: str | None, *, top: int, form: str, quiet: bool, **given: Any) -> None:
    """Say where the time of MODEL goes, by node, operator and module, and how far it is from the machine's roof.

    With AFTER, say what changed from MODEL to it.
    """
    from graphopt.cli.output import show_json, show_tables
    from graphopt.cli.reporting import write_page
    from graphopt.measure.profile import ProfileOptions
    from graphopt.measure.profile import profile as run
    from graphopt.report.profiled import profile_lines, profile_tables

    given.pop("debug")
    page, given["config"] = given.pop("page"), parse_config(given["config"])
    with Progress(quiet=quiet or form != "table") as progress:
        report = run(model, after, ProfileOptions(**given), progress.step)
    write_page(page, [report])
    if form == "json" and not quiet:
        show_json(report)
        return
    show_tables(profile_tables(report, top), form, quiet=quiet)
    if form == "table" and not quiet:
        sys.stdout.writelines(f"{line}\n" for line in profile_lines(report))


COMMANDS = (profile,)
