"""Assemble the commands."""

from __future__ import annotations

import rich_click as click

from graphopt import __version__
from graphopt.cli import checking, debugging, environment, looking, measuring, profiling, reporting, rewriting

__all__ = ["app"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="graphopt")
def app() -> None:
    """Rewrite ONNX graphs after export: faster, smaller, deployable, and proven to compute the same.

    Exit codes: 0 done, 1 a threshold missed, 2 usage, 3 invalid model or data, 4 unsupported, or would not run on a
    target, 5 output cannot be written, 6 verification failed, 7 another runtime than that asked for would run, or a
    target cannot be checked here, 70 a bug, 130 interrupted.
    """


for _module in (rewriting, looking, checking, measuring, profiling, reporting, debugging, environment):
    for _command in _module.COMMANDS:
        app.add_command(_command)
