"""Lay tables out as text, Markdown or CSV, with every name escaped."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table", "plain", "render"]


def plain(text: object) -> str:
    """Escape what would act on a terminal: control characters (C0, C1), line breaks and bidirectional marks."""
    return "".join(
        char if unicodedata.category(char) not in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} else f"\\u{ord(char):04x}"
        for char in str(text)
    )


@dataclass(frozen=True)
class Table:
    """Rows under a header; `numeric` are the columns set flush right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    numeric: frozenset[int] = frozenset()


def render(tables: Sequence[Table], form: str) -> str:
    """Render tables in one of the forms `table`, `markdown`, `csv`."""
    views = {"table": _text, "markdown": _markdown, "csv": _csv}
    return "\n".join(views[form](table) for table in tables)


def _cells(table: Table) -> list[list[str]]:
    return [[plain(cell) for cell in row] for row in table.rows]


def _text(table: Table) -> str:
    rows = [list(table.header), *_cells(table)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    lines = [f"{plain(table.title)}"] if table.title else []
    for row in rows:
        cells = (
            cell.rjust(width) if column in table.numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines) + "\n"


def _markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"

    rule = ["--:" if column in table.numeric else "---" for column in range(len(table.header))]
    lines = [f"**{plain(table.title)}**", ""] if table.title else []
    lines += [line(table.header), line(rule), *(line(row) for row in _cells(table))]
    return "\n".join(lines) + "\n"


def _csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(_cells(table))
    return out.getvalue()
