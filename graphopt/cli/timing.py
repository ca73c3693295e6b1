"""Declare the options of the commands that time models, and read what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from graphopt.cli.choices import split_names
from graphopt.cli.gating import gating
from graphopt.errors import UsageError

if TYPE_CHECKING:
    from graphopt.measure.contenders import BenchOptions

__all__ = ["bench_options", "checked_output", "measuring", "parse_config"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--ep",
        "eps",
        multiple=True,
        metavar="NAME",
        help="Execution providers, with commas or repeated [default: cpu].",
    ),
    click.option(
        "--threads",
        default="1",
        show_default=True,
        metavar="N,...",
        help="Threads of the runtime, each of them.",
    ),
    click.option(
        "--width",
        type=click.FloatRange(0.0001),
        default=0.01,
        show_default=True,
        help="Stop before when the intervals' half width is below this share.",
    ),
    click.option(
        "--warm-up",
        type=click.IntRange(0),
        metavar="N",
        help="Inferences between the first and those that are timed [default: 2, or one that takes long].",
    ),
    click.option(
        "--evaluate",
        type=click.IntRange(0),
        default=200,
        show_default=True,
        metavar="N",
        help="Score each model on N items of the task's evaluation, if it has a score; 0 for none.",
    ),
    click.option(
        "--concurrency",
        default="",
        metavar="N,...",
        help="Also measure throughput with that many callers at once, each waiting for its result.",
    ),
    click.option(
        "--rate",
        default="",
        metavar="R/s",
        help="Also send R requests a second at random moments, and time each from when it was due.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["f32", "auto"]),
        default="f32",
        show_default=True,
        help="Compute as the model says, or as the runtime likes (OpenVINO takes bf16 on some processors).",
    ),
    click.option(
        "--software-adapter",
        "software",
        is_flag=True,
        help="Admit adapters that only imitate a GPU; they are not timed.",
    ),
    click.option("--strict", is_flag=True, help="Fail if the provider leaves any node to the CPU."),
    click.option(
        "--config",
        "config",
        multiple=True,
        metavar="KEY=VALUE",
        help="An option for the runtime, verbatim; repeatable. Session entries of onnxruntime have a dot in KEY, "
        "options of a provider have none. EP:KEY=VALUE is for the provider EP alone.",
    ),
    click.option("-o", "--output", metavar="FILE.json", help="Write the result there, to be compared or reported."),
    gating,
)


def measuring(budget_s: float) -> Decorator:
    """Return the options of a command that times models, for `budget_s` seconds unless told."""
    budget = click.option(
        "--budget",
        "budget_s",
        type=click.FloatRange(0.1),
        default=budget_s,
        show_default=True,
        metavar="SECONDS",
        help="Time to spend on timing.",
    )

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        options: list[Decorator] = [budget, *_OPTIONS]
        for option in reversed(options):
            function = option(function)
        return function

    return apply


def bench_options(given: Mapping[str, Any]) -> BenchOptions:
    """Make the options of a measurement of what the command line gives.

    Raises `UsageError` for what cannot be parsed.
    """
    from graphopt.measure.contenders import BenchOptions

    chosen = {field.name: given[field.name] for field in fields(BenchOptions) if field.name in given}
    chosen |= {
        "eps": split_names(given["eps"]) or ("cpu",),
        "threads": parse_counts("--threads", given["threads"]) or (1,),
        "concurrency": parse_counts("--concurrency", given["concurrency"]),
        "rate": parse_rate(given["rate"]),
        "config": parse_config(given["config"]),
    }
    return BenchOptions(**chosen)


def parse_counts(name: str, text: str) -> tuple[int, ...]:
    """Parse numbers from 1 on with commas between them.

    Raises `UsageError` if one is none.
    """
    items = split_names((text,))
    for item in items:
        if not item.isdecimal() or int(item) < 1:
            raise UsageError(f"{name} {item!r} is no number from 1 on", advice=f"for example {name} 1,2,4")
    return tuple(map(int, items))


def parse_rate(text: str) -> float:
    """Parse requests per second, such as 100/s; 0 if `text` is empty.

    Raises `UsageError` if it is no positive number.
    """
    if not text:
        return 0.0
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise UsageError(f"--rate {text!r} is no number of requests per second", advice="for example --rate 100/s")
    return rate


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


def checked_output(output: str | None) -> Path | None:
    """Return where the result goes.

    Raises `UsageError` if that is no .json file, `OutputError` if it could not be written there.
    """
    if output is None:
        return None
    if Path(output).suffix != ".json":
        raise UsageError(f"the output {output!r} is no .json file", advice="name one")
    from graphopt.measure.results import check_writable

    check_writable(Path(output))
    return Path(output)
