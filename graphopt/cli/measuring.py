"""The commands that measure: bench."""

from __future__ import annotations

import sys
from typing import Any

import rich_click as click

from graphopt.cli.choices import common, drawing, reporting, split_names
from graphopt.cli.rewriting import Progress
from graphopt.errors import UsageError

__all__ = ["COMMANDS"]


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--ep", "eps", multiple=True, metavar="NAME", help="Execution providers, with commas or repeated [default: cpu]."
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of the runtime.")
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(0.1),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="Time to spend on timing.",
)
@click.option(
    "--width",
    type=click.FloatRange(0.0001),
    default=0.01,
    show_default=True,
    help="Stop before when the intervals' half width is below this share.",
)
@click.option(
    "--precision",
    type=click.Choice(["f32", "auto"]),
    default="f32",
    show_default=True,
    help="Compute as the model says, or as the runtime likes (OpenVINO takes bf16 on some processors).",
)
@click.option(
    "--software-adapter", "software", is_flag=True, help="Admit adapters that only imitate a GPU; they are not timed."
)
@click.option("--strict", is_flag=True, help="Fail if the provider leaves any node to the CPU.")
@click.option(
    "--config", "config", multiple=True, metavar="KEY=VALUE", help="An option for the runtime, verbatim; repeatable."
)
@drawing
@reporting
@common()
def bench(models: tuple[str, ...], *, form: str, quiet: bool, **given: Any) -> None:
    """Measure MODELs on execution providers: in turns, each in a process of its own, the first being the base."""
    from graphopt.cli.output import show_json, show_tables
    from graphopt.cli.reporting import write_page
    from graphopt.measure.bench import BenchOptions
    from graphopt.measure.bench import bench as run
    from graphopt.report.measured import bench_lines, bench_tables

    given.pop("debug")
    page = given.pop("page")
    options = BenchOptions(
        **{**given, "eps": split_names(given["eps"]) or ("cpu",), "config": parse_config(given["config"])}
    )
    with Progress(quiet=quiet or form != "table") as progress:
        report = run(models, options, progress.step)
    write_page(page, [report])
    if form == "json" and not quiet:
        show_json(report)
        return
    show_tables(bench_tables(report), form, quiet=quiet)
    if form == "table" and not quiet:
        sys.stdout.writelines(f"{line}\n" for line in bench_lines(report))


def parse_config(items: tuple[str, ...]) -> dict[str, str]:
    """Parse KEY=VALUE items.

    Raises `UsageError` if an item is not of that form.
    """
    pairs = [item.partition("=") for item in items]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise UsageError(
                f"--config {key!r} is not KEY=VALUE", advice="for example --config session.intra_op.allow_spinning=0"
            )
    return {key: value for key, _, value in pairs}


COMMANDS = (bench,)
