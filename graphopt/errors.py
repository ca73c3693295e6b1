"""Define the errors that graphopt raises, and the exit code of each.

GraphOptError            70  a bug in graphopt
+-- UsageError            2  an unknown name, a wrong option
|   +-- PipelineError     2  pipeline text that does not parse, unknown passes
+-- ModelError            3  an invalid model
+-- TaskError             3  data that does not fit the model
|   +-- CalibrationError  3  samples that cannot be used for statistics
+-- UnsupportedError      4  valid, but graphopt cannot do it
+-- OutputError           5  the output cannot be written; the old file is intact
+-- VerificationError     6  a result that is not what was asked for
+-- MeasureError          7  the requested runtime is not what would run
+-- PassError            70  a pass raised or broke its contract
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "CalibrationError",
    "GraphOptError",
    "MeasureError",
    "ModelError",
    "OutputError",
    "PassError",
    "PipelineError",
    "TaskError",
    "UnsupportedError",
    "UsageError",
    "VerificationError",
    "nearest",
]


class GraphOptError(Exception):
    """Say what is wrong, where, what was expected and what to do.

    `what` is one line. `where` names model, node, value or shape. `advice` tells the user what to do.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        lines = [self.what, self.where, self.advice]
        return "\n  ".join(line for line in lines if line)


class UsageError(GraphOptError):
    """Report an unknown name or a wrong option."""

    exit_code = 2


class PipelineError(UsageError):
    """Report pipeline text that does not parse or names what does not exist."""


class ModelError(GraphOptError):
    """Report an invalid model."""

    exit_code = 3


class TaskError(GraphOptError):
    """Report data that does not fit the model."""

    exit_code = 3


class CalibrationError(TaskError):
    """Report samples that cannot be used for statistics."""


class UnsupportedError(GraphOptError):
    """Report a valid request that graphopt cannot fulfil."""

    exit_code = 4


class OutputError(GraphOptError):
    """Report an output that cannot be written."""

    exit_code = 5


class VerificationError(GraphOptError):
    """Report a result that differs from what was asked for."""

    exit_code = 6


class MeasureError(GraphOptError):
    """Report a runtime that is not what would run."""

    exit_code = 7


class PassError(GraphOptError):
    """Report a pass that raised or broke its contract.

    `running` is the name of the pass and `done` the number of rewrites before it began; both are set by the pipeline.
    """

    running: str = ""
    done: int = 0


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name closest to `name`; empty if none is close."""
    found = difflib.get_close_matches(name, sorted(map(str, known)), n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else ""
