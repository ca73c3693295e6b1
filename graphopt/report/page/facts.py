"""Print what several kinds of results share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from graphopt.report.page.blocks import Section, TableBlock
from graphopt.report.page.svg import shown
from graphopt.tables import Table

__all__ = ["facts", "file_name", "milliseconds", "reproduction", "times"]


def milliseconds(value: float | None) -> str:
    """Print a latency; a dash if it is not known."""
    if value is None:
        return "-"
    return f"{value:.3f} ms" if value < 10 else f"{value:.2f} ms" if value < 100 else f"{value:.0f} ms"


def times(ratio: float) -> str:
    """Say how much faster or slower a latency ratio is."""
    return f"{1 / ratio:.2f} times as fast" if ratio < 1 else f"{ratio:.2f} times as slow"


def file_name(path: str) -> str:
    """Return what names a model: its file, with the folder where the file's name says nothing."""
    parts = PurePath(path).parts
    return "/".join(parts[-2:]) if parts and PurePath(path).stem == "model" else parts[-1] if parts else "in memory"


def facts(pairs: Iterable[tuple[str, object]], title: str = "") -> TableBlock:
    """Make a table of names and values, without those that are empty."""
    rows = tuple((shown(name), text) for name, value in pairs if value is not None and (text := _text(value)))
    return TableBlock(Table(("", "value"), rows, title))


def reproduction(
    pairs: Iterable[tuple[str, object]], environment: Mapping[str, Any], versions: Mapping[str, str]
) -> Section:
    """Say what to run, and where this ran."""
    more = {name: text for name, text in versions.items() if environment.get(name) != text}
    blocks = (facts(pairs, "Run"), facts(environment.items(), "Environment"), facts(more.items(), "Versions"))
    return Section("How it was made", tuple(block for block in blocks if block.table.rows))


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return shown(", ".join(f"{key} {each}" for key, each in value.items()), 2000)
    if isinstance(value, (list, tuple)):
        return shown(", ".join(map(str, value)), 2000)
    return shown(value, 2000)
