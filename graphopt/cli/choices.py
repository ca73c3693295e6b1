"""Declare the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from graphopt.errors import UsageError

__all__ = [
    "chosen_freeze",
    "common",
    "default_output",
    "drawing",
    "feeding",
    "parse_dims",
    "reporting",
    "rewriting",
    "sampling",
    "split_names",
    "verifying",
]

_DIM = re.compile(r"\s*(?P<name>.+?)=(?P<number>[0-9]+)(?:,|$)")
"""One of several; a name may hold commas itself."""
F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def _stack(*decorators: Decorator[Any]) -> Decorator[Any]:
    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def common(*forms: str) -> Decorator[Any]:
    """--format, --quiet and --debug."""
    known = forms or ("table", "json", "csv", "markdown")
    return _stack(
        click.option(
            "--format",
            "form",
            type=click.Choice(known),
            default=known[0],
            show_default=True,
            help="How to print the result.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
        click.option("--debug", is_flag=True, help="Show tracebacks."),
    )


_seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of drawn inputs.")

rewriting = _stack(
    click.option(
        "--target",
        default="portable",
        show_default=True,
        metavar="NAME",
        help="The runtime meant: portable, ort-cpu, ort-cuda, openvino, tensorrt or webgpu.",
    ),
    click.option(
        "--pipeline",
        default="default",
        show_default=True,
        metavar="TEXT|FILE.toml",
        help="The passes, as text or as a TOML file with a `pipeline` entry.",
    ),
    click.option("--skip", multiple=True, metavar="NAME", help="Leave out the pass or rule of that name; repeatable."),
    click.option("--exact", is_flag=True, help="Only rewrites that keep every bit."),
    click.option("--fast-math", is_flag=True, help="Also rewrites that hide NaN and infinities."),
    click.option("--freeze", is_flag=True, help="Make initializers that are listed as inputs constants."),
    click.option("--keep-overridable", is_flag=True, help="Keep initializers that are listed as inputs overridable."),
    click.option(
        "--dim",
        "dims",
        multiple=True,
        metavar="NAME=N,...",
        help="Give symbolic dimensions a number, those without a name by INPUT.AXIS; repeatable.",
    ),
    click.option(
        "--precision",
        default="",
        metavar="fp16|bf16",
        help="Store weights in 16 bits, and compute in 16 bits where the target does that.",
    ),
    click.option(
        "--keep-fp32",
        multiple=True,
        metavar="NAME",
        help="With --precision: what stays float32, by node, value or operator, * for any letters; repeatable.",
    ),
    click.option(
        "--max-drop",
        type=click.FloatRange(0),
        metavar="X",
        help="With --precision: how much the task's score may drop [default: 0.01]; if it is given and cannot be held, "
        "fail (exit 6).",
    ),
    click.option("--keep-opset", is_flag=True, help="Never raise the opset."),
    click.option("--stop-after", type=click.IntRange(0), metavar="N", help="Do only the first N rewrites."),
    click.option(
        "--max-tensor",
        "max_tensor_bytes",
        type=click.IntRange(0),
        default=64 << 20,
        show_default=True,
        metavar="BYTES",
        help="The largest constant that folding may make.",
    ),
    _seed,
)

verifying = _stack(
    click.option(
        "--verify",
        type=click.Choice(["end", "each", "off"]),
        default="end",
        show_default=True,
        help="Compare with the original at the end, after each pass, or never.",
    ),
    click.option(
        "--on-mismatch",
        type=click.Choice(["rollback", "fail"]),
        default="rollback",
        show_default=True,
        help="What to do about a rewrite that changes the results.",
    ),
    click.option("--require-verify", is_flag=True, help="Fail (exit 6) if the result cannot be verified."),
)

_task = click.option(
    "--task",
    default="",
    metavar="TASK",
    help="Real inputs: a .py with calibration(n), .npz files, or a folder with test_data_set_*; without it, "
    "inputs are drawn.",
)
_custom_ops = click.option(
    "--custom-ops",
    multiple=True,
    metavar="LIB.so",
    type=click.Path(exists=True, dir_okay=False),
    help="A library of custom operators for onnxruntime; repeatable.",
)

sampling = _stack(
    _task,
    click.option(
        "--samples", type=click.IntRange(1), default=3, show_default=True, help="How many inputs to take of it."
    ),
    _custom_ops,
)


drawing = _stack(sampling, _seed)

feeding = _stack(_task, _custom_ops, _seed)
"""As `drawing`, for commands that run on one input."""


def _page(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    """Turn away a report that could not be written, before any work is done for it."""
    del context, parameter
    if value is None:
        return None
    from graphopt.report.page.render import prepare

    prepare(Path(value))
    return Path(value)


reporting = click.option(
    "--report",
    "page",
    metavar="FILE.html",
    callback=_page,
    help="Also write a report to look at: one HTML file that opens offline.",
)


def parse_dims(items: tuple[str, ...]) -> dict[str, int]:
    """Parse NAME=N items, several of which may stand in one, with commas between them.

    Raises `UsageError` if an item is not of that form.
    """
    found: dict[str, int] = {}
    for item in items:
        parts = list(_DIM.finditer(item))
        if not parts or parts[-1].end() != len(item):
            raise UsageError(f"--dim {item!r} is not NAME=N", advice="for example --dim batch=1,seq=128")
        found |= {part["name"]: int(part["number"]) for part in parts}
    return found


def chosen_freeze(*, freeze: bool, keep_overridable: bool) -> bool | None:
    """Return what becomes of initializers that are listed as inputs; None leaves it to the model.

    Raises `UsageError` if both are given.
    """
    if freeze and keep_overridable:
        raise UsageError("--freeze and --keep-overridable contradict each other", advice="give one of them")
    return True if freeze else False if keep_overridable else None


def split_names(items: tuple[str, ...]) -> tuple[str, ...]:
    """Split names that are given repeatedly or with commas between them."""
    return tuple(name.strip() for item in items for name in item.split(",") if name.strip())


def default_output(model: str) -> Path:
    """Return `model` with `.opt.onnx` in place of `.onnx`."""
    path = Path(model)
    # A folder such as `.` has no name to go by; loading says what is wrong with it.
    stem = path.stem if path.suffix == ".onnx" else path.name or "model"
    return path.parent / f"{stem}.opt.onnx"
