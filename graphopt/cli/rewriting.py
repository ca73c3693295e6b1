"""The commands that rewrite models: optimize, run, and the list of passes."""

from __future__ import annotations

import functools
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import rich_click as click

from graphopt.cli.choices import (
    chosen_freeze,
    common,
    default_output,
    parse_dims,
    reporting,
    rewriting,
    sampling,
    split_names,
    verifying,
)
from graphopt.cli.gating import checked_gates, gating, hold
from graphopt.errors import MeasureError, UsageError, nearest

if TYPE_CHECKING:
    from graphopt.pipeline.options import Options
    from graphopt.pipeline.report import Report

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model")
@click.option("-o", "--output", metavar="OUT", help="Where to save the result [default: MODEL with .opt.onnx].")
@rewriting
@verifying
@sampling
@click.option(
    "--offline",
    metavar="FILE.onnx|FILE.ort",
    default="",
    help="Also save the result as onnxruntime optimizes it for this processor: sessions of this version start faster.",
)
@click.option("--in-place", is_flag=True, help="Write to MODEL itself, or allow OUT to be it.")
@click.option("--dry-run", is_flag=True, help="Do everything but write the result.")
@click.option("--remarks", is_flag=True, help="Say which rules nearly matched, and which condition failed.")
@click.option("--snapshots", metavar="FOLDER", default="", help="Save the model after each pass that changed it.")
@click.option("--latency", is_flag=True, help="Time both models in turns, for about 5 seconds.")
@click.option(
    "--autotune", is_flag=True, help="Keep what is measured to be faster here, with --task on its shapes; never slower."
)
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time that --autotune spends on timing.",
)
@gating
@reporting
@common()
def optimize(model: str, **given: Any) -> None:
    """Rewrite MODEL into an equal one that is smaller and faster, verify it, and save it."""
    from graphopt.cli.output import show_report
    from graphopt.cli.reporting import write_page
    from graphopt.pipeline.optimize import optimize as run

    output = Path(given["output"]) if given["output"] else Path(model) if given["in_place"] else default_output(model)
    check_output(Path(model), output, in_place=given["in_place"])
    if given["latency"] and given["dry_run"]:
        raise UsageError("--latency times what was written", advice="leave out --dry-run")
    if given["latency"] and is_same(Path(model), output):
        raise UsageError("--latency needs the model before as well", advice="leave out --in-place")
    if given["offline"] and given["dry_run"]:
        raise UsageError("--offline writes a file", advice="leave out --dry-run")
    gates = checked_gates(given["gates"], _unmeasured(latency=given["latency"] or given["autotune"]))
    if given["autotune"]:
        from graphopt.search.autotune import autotune

        run = functools.partial(autotune, budget_s=given["budget_s"])
    show = Progress(quiet=given["quiet"] or given["form"] != "table")
    options = make_options(given)
    with show:
        report = run(model, None if given["dry_run"] else output, options=options, progress=show.step).report
        if given["latency"]:
            show.step("latency")
            report = with_latency(report, options)
        write_page(given["page"], [report])
    show_report(report, given["form"], quiet=given["quiet"])
    if gates:
        from graphopt.measure.figures import optimize_figures

        hold(gates, optimize_figures(report))


def _unmeasured(*, latency: bool) -> dict[str, str]:
    """Say which metrics will not be measured, and what to do about it."""
    other = "measure the result with `graphopt compare`"
    return {"memory": other, "score": other, **({} if latency else {"latency": "add --latency"})}


def with_latency(report: Report, options: Options) -> Report:
    """Add the latencies of the model before and after to a report, or why they cannot be measured."""
    from graphopt.measure.compare import time_models

    before, after = Path(report.model), Path(report.output)
    try:
        latency = time_models(before, after, options.task, seed=options.seed, custom_ops=options.custom_ops)
    except MeasureError as error:
        return replace(report, notes=(*report.notes, f"latency not measured: {error.where or error.what}"))
    return replace(report, latency=latency)


def make_options(given: dict[str, Any]) -> Options:
    """Make `Options` of what the command line gives."""
    from graphopt.pipeline.options import Options
    from graphopt.pipeline.toml import pipeline_text

    chosen = {field.name: given[field.name] for field in fields(Options) if field.name in given}
    chosen |= {
        "pipeline": pipeline_text(given["pipeline"]),
        "skip": split_names(given["skip"]),
        "keep_fp32": split_names(given["keep_fp32"]),
        "dims": parse_dims(given["dims"]),
        "freeze": chosen_freeze(freeze=given["freeze"], keep_overridable=given["keep_overridable"]),
    }
    return Options(**chosen)


def check_output(model: Path, output: Path, *, in_place: bool) -> None:
    """Refuse to overwrite the input unasked.

    Raises `UsageError` if both are the same file, by name or by link.
    """
    if is_same(model, output) and not in_place:
        raise UsageError(
            f"the output {str(output)!r} is the input",
            advice="name another file with -o; optimize also takes --in-place",
        )


def is_same(model: Path, output: Path) -> bool:
    """Tell whether both are the same file."""
    try:
        return output.exists() and model.exists() and model.samefile(output)
    except (OSError, ValueError):
        return False  # no file can have such a name, which loading or saving says in its own words


class Progress:
    """Show on a terminal which step is running, in one line that is wiped at the end."""

    def __init__(self, *, quiet: bool) -> None:
        self._live = sys.stderr.isatty() and not quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def step(self, name: str) -> None:
        """Show the name of the step."""
        self._write(f"{name} ...")

    def _write(self, text: str) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


@click.command()
@click.argument("name", required=False)
@common()
def passes(name: str | None, *, form: str, quiet: bool, **_: Any) -> None:
    """List the presets, passes and rules that can stand in a pipeline, or describe the one of that NAME."""
    from graphopt.cli.output import show_tables
    from graphopt.pipeline.catalogue import describe, list_passes
    from graphopt.pipeline.presets import PRESETS
    from graphopt.pipeline.registry import installed

    registry = installed()
    if name is None:
        show_tables(list_passes(registry), form, quiet=quiet)
        return
    known = {*registry.names(), *PRESETS}
    if name not in known:
        raise UsageError(f"unknown pass {name!r}", advice=nearest(name, known) or "see `graphopt passes`")
    show_tables(describe(registry, name), form, quiet=quiet)


@click.command()
@click.argument("file", metavar="FILE.toml")
@click.option("--models", multiple=True, metavar="GLOB", help="Models to run it on, instead of those in the file.")
@click.option(
    "--resume", is_flag=True, help="Leave out models whose result is there, of the same version and pipeline."
)
@common("table", "json")
def run(file: str, models: tuple[str, ...], *, resume: bool, form: str, quiet: bool, **_: Any) -> None:
    """Run the pipeline that FILE.toml describes on the models that it names; a model that fails costs only itself.

    FILE.toml holds `models` (paths or globs), `output` (a pattern with {folder} and {stem}), `pipeline`, and a table
    `options` with the options of optimize. Paths in it are relative to it.
    """
    from graphopt.cli.output import show_json, show_report, show_tables
    from graphopt.pipeline.batch import run_file

    progress = Progress(quiet=quiet or form != "table")
    with progress:
        outcome = run_file(Path(file), models, resume=resume, progress=progress.step)
    if form == "json":
        table = outcome.table()
        rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
        show_json({"models": rows, "reports": outcome.reports})
    else:
        for report in outcome.reports:
            show_report(report, form, quiet=quiet)
        show_tables([outcome.table()], form, quiet=quiet)
    if outcome.failures:
        raise outcome.failures[0]


COMMANDS = (optimize, run, passes)
