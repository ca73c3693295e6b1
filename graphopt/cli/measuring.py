"""The commands that measure: bench and compare."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click import get_current_context
from click.core import ParameterSource

from graphopt.cli.choices import common, drawing, reporting
from graphopt.cli.gating import checked_gates, hold
from graphopt.cli.rewriting import Progress
from graphopt.cli.timing import bench_options, checked_output, measuring
from graphopt.errors import UsageError

if TYPE_CHECKING:
    from graphopt.measure.contenders import BenchOptions
    from graphopt.measure.records import BenchReport

__all__ = ["COMMANDS"]

_LOUD = ("NOT ",)
_OF_RESULTS = frozenset({"force", "gates", "form", "quiet", "debug"})
"""The options that mean something where two results are compared."""


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@measuring(20.0)
@drawing
@reporting
@common()
def bench(models: tuple[str, ...], *, form: str, quiet: bool, **given: Any) -> None:
    """Measure MODELs on execution providers: in turns, each in a process of its own, the first being the base.

    Beside each latency stand the error against the first model on the first provider, and the task's own score.
    """
    from graphopt.cli.reporting import write_page
    from graphopt.measure.bench import bench as run
    from graphopt.measure.figures import bench_figures
    from graphopt.report.measured import bench_tables

    options = bench_options(given)
    alone = len(models) * len(options.eps) * len(options.threads) == 1
    gates = checked_gates(given["gates"], unmeasured(options), alone=alone)
    output = checked_output(given["output"])
    with Progress(quiet=quiet or form != "table") as progress:
        report = run(models, options, progress.step)
    keep(report, output)
    write_page(given["page"], [report])
    show(report, bench_tables(report), form, quiet=quiet)
    hold(gates, bench_figures(report))


@click.command()
@click.argument("a")
@click.argument("b")
@measuring(10.0)
@click.option("--force", is_flag=True, help="Compare results although their environments or settings differ.")
@drawing
@reporting
@common()
def compare(a: str, b: str, *, form: str, quiet: bool, force: bool, **given: Any) -> None:
    """Compare the models A and B in numbers, time and score, in turns, with A against itself as the noise floor.

    If A and B are results (.json) that bench wrote, compare those, entry by entry; results of different environments
    are refused (exit 2) without --force.
    """
    results = [name.endswith(".json") for name in (a, b)]
    if all(results):
        compare_files(a, b, given, form=form, quiet=quiet, force=force)
        return
    if any(results):
        raise UsageError("a model and a result cannot be compared", advice="name two models, or two results (.json)")
    if force:
        raise UsageError("--force is for results; models are timed in one environment anyway", advice="leave it out")
    from graphopt.cli.reporting import write_page
    from graphopt.measure.compare import compare_models
    from graphopt.measure.figures import bench_figures
    from graphopt.report.measured import bench_tables

    options = bench_options(given)
    if len(options.eps) * len(options.threads) > 1:
        raise UsageError("compare takes one provider and one number of threads", advice="bench takes more")
    gates, output = checked_gates(given["gates"], unmeasured(options)), checked_output(given["output"])
    with Progress(quiet=quiet or form != "table") as progress:
        outcome = compare_models(Path(a), Path(b), options, progress.step)
    keep(outcome.report, output)
    write_page(given["page"], [outcome.report])
    tables = [outcome.table(), *bench_tables(outcome.report)[1:]]
    show(outcome.report, tables, form, quiet=quiet)
    hold(gates, bench_figures(outcome.report))


def compare_files(a: str, b: str, given: Mapping[str, Any], *, form: str, quiet: bool, force: bool) -> None:
    """Compare two results."""
    from graphopt.cli.output import show_json, show_tables
    from graphopt.measure.figures import result_figures
    from graphopt.measure.results import compare_results, load_result
    from graphopt.report.measured import result_lines, result_tables

    if given["output"] or given["page"]:
        raise UsageError("comparing two results writes nothing", advice="`graphopt report A B` shows both")
    if needless := _needless():
        raise UsageError(
            f"{', '.join(needless)}: nothing is measured anew where two results are compared", advice="leave it out"
        )
    found = compare_results(load_result(Path(a)), load_result(Path(b)), force=force)
    if form == "json" and not quiet:
        names = ("rows", "ratios", "alone", "unlike", "changed")
        show_json({name: getattr(found, name) for name in names})
    else:
        show_tables(result_tables(found), form, quiet=quiet)
    say(result_lines(found), form, quiet=quiet)
    hold(given["gates"], result_figures(found))


def _needless() -> list[str]:
    """Name the options that were given, and mean nothing to results that are there already."""
    context = get_current_context()
    return [
        parameter.opts[-1]
        for parameter in context.command.params
        if isinstance(parameter, click.Option)
        and parameter.name not in _OF_RESULTS
        and context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]


def unmeasured(options: BenchOptions) -> dict[str, str]:
    """Say which metrics will not be measured, and what to do about it."""
    scored = options.task.endswith(".py") and options.evaluate
    return {} if scored else {"score": "give a --task whose Python file defines evaluation(n) and score(outputs)"}


def keep(report: BenchReport, output: Path | None) -> None:
    """Write the result if asked."""
    if output is not None:
        from graphopt.measure.results import save_result

        save_result(report, output)


def show(report: BenchReport, tables: Any, form: str, *, quiet: bool) -> None:
    """Print a measurement."""
    from graphopt.cli.output import show_json, show_tables
    from graphopt.report.measured import bench_lines

    if form == "json" and not quiet:
        show_json(report)
    else:
        show_tables(tables, form, quiet=quiet)
    say(bench_lines(report), form, quiet=quiet)


def say(lines: list[str], form: str, *, quiet: bool) -> None:
    """Print what must not be missed; beside an output for machines, or if quiet, what is wrong, on standard error."""
    if form == "table" and not quiet:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    sys.stderr.writelines(f"{line}\n" for line in lines if any(word in line for word in _LOUD))


COMMANDS = (bench, compare)
