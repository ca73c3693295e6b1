"""View results as Markdown, short enough for a comment on a change: verdict, loud lines, tables folded away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from graphopt.errors import OutputError
from graphopt.measure.check.records import CheckReport
from graphopt.measure.profile_records import ProfileReport
from graphopt.measure.records import BenchReport
from graphopt.pipeline.report import Report
from graphopt.report.checked import check_tables
from graphopt.report.exhibits import Exhibits
from graphopt.report.measured import bench_tables
from graphopt.report.page.bench import bench_chapter
from graphopt.report.page.blocks import Chapter, TableBlock
from graphopt.report.page.checked import check_chapter
from graphopt.report.page.optimized import optimized_chapter
from graphopt.report.page.profiled import profile_chapter
from graphopt.report.page.svg import shown
from graphopt.report.results import Found
from graphopt.report.views import report_tables
from graphopt.tables import Table

__all__ = ["markdown", "write_markdown"]

MOST_ROWS = 60
_SIGNS = {"good": "\N{WHITE HEAVY CHECK MARK}", "bad": "\N{CROSS MARK}", "warn": "\N{WARNING SIGN}"}
_ACTIVE = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|~"})
_SPLIT = {"@": "@<!-- -->", "#": "#<!-- -->", "://": ":<!-- -->//", "www.": "www<!-- -->."}
"""GitHub makes mentions, references and links of plain text; a comment inside keeps it from that."""


def markdown(results: Sequence[Found]) -> str:
    """Return all results as Markdown; names in it neither format nor mention anyone."""
    return "\n".join(line for result in results for line in _lines(result)) + "\n"


def write_markdown(path: Path, results: Sequence[Found]) -> None:
    """Write Markdown to a file.

    Raises `OutputError` if it cannot be written.
    """
    try:
        path.write_text(markdown(results), encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError("the report cannot be written", where=f"{path}: {error.strerror}") from error


def _lines(result: Found) -> Iterator[str]:
    chapter, tables = _viewed(result)
    yield f"### {_SIGNS.get(chapter.tone, '')} {_escaped(chapter.title)}".replace("  ", " ")
    yield ""
    yield f"**{_escaped(chapter.verdict)}**"
    yield ""
    for card in chapter.cards:
        yield f"- {_escaped(card.label)}: **{_escaped(card.value)}** {_escaped(card.note)}".rstrip()
    yield ""
    for each in chapter.loud:
        yield f"> {_SIGNS.get(each.tone, '')} {_escaped(each.text)}".replace("  ", " ")
        yield ""
    for table in tables:
        yield from _folded(table)


def _viewed(result: Found) -> tuple[Chapter, list[Table]]:
    if isinstance(result, BenchReport):
        return bench_chapter(result), bench_tables(result)
    if isinstance(result, ProfileReport):
        chapter = profile_chapter(result)
        blocks = [block for section in chapter.sections[:-1] for block in section.blocks]
        return chapter, [block.table for block in blocks if isinstance(block, TableBlock)]
    if isinstance(result, CheckReport):
        return check_chapter(result), check_tables(result)
    return optimized_chapter(result, Exhibits()), _changes(result)


def _changes(report: Report) -> list[Table]:
    """Return the tables of a report, without operators that did not change."""
    first, *others = report_tables(report)
    rows = tuple(row for row in first.rows if row[3] or not row[0].startswith("  "))
    return [Table(first.header, rows, "Before and after", first.numeric), *others[:-1]]


def _folded(table: Table) -> Iterator[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rows = table.rows[:MOST_ROWS]
    named = table.title or f"{table.header[0] or 'what'} ({len(table.rows)})"
    yield f"<details><summary>{escape(shown(named))}</summary>"
    yield ""
    yield line([_escaped(name) for name in table.header])
    yield line(["--:" if column in table.numeric else "---" for column in range(len(table.header))])
    yield from (line([_escaped(cell) for cell in row]) for row in rows)
    yield ""
    if len(rows) < len(table.rows):
        yield f"and {len(table.rows) - len(rows)} more"
        yield ""
    yield "</details>"
    yield ""


def _escaped(text: str) -> str:
    """Print a text so that nothing in it formats, links or mentions."""
    made = shown(text.strip()).translate(_ACTIVE)
    for active, split in _SPLIT.items():
        made = made.replace(active, split)
    return made
