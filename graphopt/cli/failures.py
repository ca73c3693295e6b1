"""Turn an error into a message and an exit code."""

from __future__ import annotations

import sys
import traceback

import rich_click as click

from graphopt.errors import GraphOptError

__all__ = ["explain"]

INTERRUPTED = 130
BUG = 70


def explain(error: BaseException, *, debug: bool) -> int:
    """Print what went wrong on standard error and return the exit code."""
    from graphopt.tables import plain

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _say("interrupted; nothing was written")
        return INTERRUPTED
    if debug:
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        _say(plain(error.format_message()))
        context = getattr(error, "ctx", None)
        if context is not None:
            _say(f"  try `{context.command_path} --help`")
        return 2
    if isinstance(error, GraphOptError):
        _say("\n".join(plain(line) for line in str(error).split("\n")))
        return error.exit_code
    if isinstance(error, MemoryError):
        _say("not enough memory")
        return BUG
    _say(f"a bug in graphopt: {type(error).__name__}: {plain(str(error).partition(chr(10))[0])[:300]}")
    _say("  please report it with the model and the command; --debug shows where it happened")
    return BUG


def _say(text: str) -> None:
    first, *rest = text.split("\n")
    prefix = "graphopt: " if not first.startswith(" ") else ""
    print("\n".join([prefix + first, *rest]), file=sys.stderr)  # noqa: T201
