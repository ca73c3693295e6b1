"""Describe this machine and what can run here."""

from __future__ import annotations

import os

from graphopt.pipeline.report import versions
from graphopt.runtime.machine import machine
from graphopt.tables import Table

__all__ = ["machine_table"]


def machine_table() -> Table:
    """Return versions, machine and execution providers as one table."""
    rows = [*versions().items(), *machine().items(), ("execution providers", ", ".join(_providers()))]
    return Table(("", "here"), tuple((name, text) for name, text in rows))


def _providers() -> list[str]:
    # onnxruntime would send usage data to its makers, and leave a file in the temporary folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return list(onnxruntime.get_available_providers())
