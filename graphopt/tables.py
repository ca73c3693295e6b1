"""Lay tables out as text, Markdown or CSV, with every name escaped."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table", "plain", "render"]

WIDEST = 160
"""Columns of a terminal that one cell may take."""


def plain(text: object) -> str:
    """Escape what would act on a terminal: control characters (C0, C1), line breaks and bidirectional marks."""
    return "".join(
        char if unicodedata.category(char) not in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} else f"\\u{ord(char):04x}"
        for char in str(text)
    )


@dataclass(frozen=True)
class Table:
    """Rows under a header; `numeric` are the columns set flush right, `key` is its name beside other tables in JSON."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    numeric: frozenset[int] = frozenset()
    key: str = ""

    def data(self) -> object:
        """Return the rows as data: two columns without a name for the first as one object, others as a list of them."""
        if len(self.header) == 2 and not self.header[0]:
            return {row[0]: row[1] for row in self.rows}
        return [dict(zip((name or "what" for name in self.header), row, strict=True)) for row in self.rows]


def render(tables: Sequence[Table], form: str) -> str:
    """Render tables in one of the forms `table`, `markdown`, `csv`."""
    views = {"table": _text, "markdown": _markdown, "csv": _csv}
    return "\n".join(views[form](table) for table in tables)


def _cells(table: Table) -> list[list[str]]:
    return [[plain(cell) for cell in row] for row in table.rows]


def _short(cell: str) -> str:
    """Cut what would push the other columns off the screen; the other forms are complete."""
    return cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 3]}..."


def _text(table: Table) -> str:
    rows = [list(table.header), *([_short(cell) for cell in row] for row in _cells(table))]
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
