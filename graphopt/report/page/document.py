"""Make a page of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from graphopt.measure.check.records import CheckReport
from graphopt.measure.profile_records import ProfileReport
from graphopt.measure.records import BenchReport
from graphopt.report.exhibits import exhibits
from graphopt.report.page.bench import bench_chapter
from graphopt.report.page.blocks import Chapter, Section, TableBlock
from graphopt.report.page.checked import check_chapter
from graphopt.report.page.optimized import optimized_chapter
from graphopt.report.page.profiled import profile_chapter
from graphopt.report.page.render import write
from graphopt.report.results import Found
from graphopt.tables import Table

__all__ = ["chapter", "write_report"]


def write_report(
    path: str | Path,
    results: Sequence[Found],
    command: str = "",
    *,
    models: tuple[str, str] | None = None,
    tables: Sequence[Table] = (),
) -> None:
    """Write one HTML file that shows results, each as a chapter.

    `models` are the files before and after, where they are not where the results say. `tables` join the first chapter.

    Raises `UsageError` if jinja2 is missing and `OutputError` if the file cannot be written.
    """
    chapters = [chapter(result, command, models) for result in results]
    if tables:
        first, more = chapters[0], Section("Task", tuple(map(TableBlock, tables)))
        chapters[0] = replace(first, sections=(more, *first.sections))
    title = f"{chapters[0].title} - graphopt" if len(chapters) == 1 else "graphopt report"
    write(Path(path), chapters, title)


def chapter(result: Found, command: str = "", models: tuple[str, str] | None = None) -> Chapter:
    """Return the chapter of one result."""
    if isinstance(result, BenchReport):
        return bench_chapter(result, command)
    if isinstance(result, ProfileReport):
        return profile_chapter(result, command)
    if isinstance(result, CheckReport):
        return check_chapter(result, command)
    before, after = models or (result.model, result.output)
    seen = exhibits(before, result.before_sha256, after, result.after_sha256, result.steps)
    return optimized_chapter(result, seen, command)
