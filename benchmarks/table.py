"""Write README's table and the plots from a result file: `python benchmarks/table.py [FILE] [--check | --print]`.

Nothing in the table is written by hand: between its two marks README holds what `section` returns for the result file
that it links to, and nothing while there is none.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import (
    FAILED,
    GRAPHOPT,
    ORIGINAL,
    RIGHT,
    UNVERIFIED,
    WRONG,
    Attempt,
    ModelResult,
    SuiteResult,
    Summary,
    entry_of,
    json_schema,
    load,
)
from benchmarks.run import PARTIAL, RESULTS, ROOT
from graphopt.measure.records import BenchReport, RatioRecord
from graphopt.tables import Table, render

__all__ = ["BEGIN", "COMMAND", "END", "between", "linked", "newest", "plot_name", "section", "with_section"]

README = ROOT / "README.md"
BEGIN, END = "<!-- benchmarks: written by benchmarks/table.py -->", "<!-- end of benchmarks -->"
COMMAND = "nox -s bench"


def newest(folder: Path = RESULTS) -> Path | None:
    """Return the result file of the whole suite that was begun last, or None if there is none."""
    files = [path for path in folder.glob("*.json") if not path.stem.endswith(PARTIAL) and path.name != "schema.json"]
    return max(files, key=lambda path: (load(path).created, path.name), default=None)


def between(text: str) -> str:
    """Return what stands between the marks.

    Raises `ValueError` if the two marks are not there once each, in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError("the marks of the benchmarks are not there")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def linked(text: str) -> Path | None:
    """Return the result file that README's section links to, or None if it links to none."""
    found = re.search(r"\]\(benchmarks/results/([^/)]+\.json)\)", between(text))
    return RESULTS / found[1] if found else None


def with_section(text: str, written: str) -> str:
    """Return `text` with `written` between the marks."""
    old = between(text)
    return text.replace(f"{BEGIN}{old}{END}", f"{BEGIN}{written}{END}")


def section(path: Path | None) -> str:
    """Return what README says of a result file."""
    if path is None:
        return "\n"
    result = load(path)
    parts = [_introduction(result, path)]
    for threads in result.settings.threads:
        parts += [
            _table(result, threads),
            f"![Ratios, {_threads(threads)}](benchmarks/results/{plot_name(path, threads)})",
        ]
    return "\n" + "\n\n".join(parts) + "\n"


def plot_name(path: Path, threads: int) -> str:
    """Return the file name of a plot."""
    return f"{path.stem}-{threads}.svg"


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _introduction(result: SuiteResult, path: Path) -> str:
    peers = dict.fromkeys(text for name, text in result.tools.items() if name != GRAPHOPT)
    return (
        f"{result.machine}; commit {result.commit}, {result.created[:10]}; "
        f"onnxruntime {result.environment.get('onnxruntime', '')}. Peers: {', '.join(peers)}.\n"
        f"Measured by `{COMMAND}`, which wrote [{path.name}](benchmarks/results/{path.name})."
    )


def _table(result: SuiteResult, threads: int) -> str:
    timed = [(model, report) for model in result.models for report in model.reports if report.threads == threads]
    tools = list(result.tools)
    header = (_threads(threads), "original", *tools)
    rows = [_row(model, report, tools) for model, report in timed]
    rows += [(model.name, "not timed", *[""] * len(tools)) for model in result.models if not model.reports]
    rows.append(_means(result.summary, threads, tools))
    return render([Table(header, tuple(rows), "", frozenset(range(1, len(header))))], "markdown").strip()


def _row(model: ModelResult, report: BenchReport, tools: Sequence[str]) -> tuple[str, ...]:
    base = entry_of(report, ORIGINAL)
    latency = "" if base is None or base.latency is None else f"{base.latency.median_ms:.3g} ms"
    return (model.name, latency, *(_cell(model, report, tool) for tool in tools))


def _cell(model: ModelResult, report: BenchReport, tool: str) -> str:
    attempt = next((one for one in model.attempts if one.tool == tool), Attempt(tool, FAILED, 0.0))
    entry = entry_of(report, tool)
    words = {WRONG: "differs", FAILED: "fails", UNVERIFIED: "unverified"}
    if attempt.status == WRONG and attempt.max_error:
        return f"differs by {attempt.max_error:.0e}"
    if attempt.status != RIGHT:
        return words[attempt.status]
    if entry is None or entry.ratio is None:
        return "fails"
    return _ratio(entry.ratio, interval=tool == GRAPHOPT)


def _ratio(ratio: RatioRecord, *, interval: bool) -> str:
    sign = "≈" if ratio.no_difference else ""
    return f"{sign}{ratio.median:.3f}" + (f" [{ratio.low:.3f}, {ratio.high:.3f}]" if interval else "")


def _means(summary: Sequence[Summary], threads: int, tools: Sequence[str]) -> tuple[str, ...]:
    found = {one.tool: f"{one.geomean:.3f}" for one in summary if one.threads == threads}
    return ("geometric mean", "", *(found.get(tool, "") for tool in tools))


def main() -> int:
    """Write README's table and the plots, or with --check exit with 1 if README's table is another."""
    parser = argparse.ArgumentParser(description="Write README's table and the plots from a result file.")
    parser.add_argument("file", nargs="?", type=Path, help="a file in benchmarks/results (default: the newest)")
    parser.add_argument("--check", action="store_true", help="only say whether README's table is that of its file")
    parser.add_argument("--print", action="store_true", dest="shown", help="only print what README would say")
    given = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    if given.check:
        right = with_section(text, section(linked(text))) == text
        print(
            "README's table is that of its result file" if right else "README's table is another than its result file's"
        )
        return int(not right)
    path = given.file or newest()
    if not given.shown:
        (RESULTS / "schema.json").write_bytes(json_schema())
    if given.shown or path is None:
        print("no result file" if path is None else section(path))
        return int(path is None)
    README.write_text(with_section(text, section(path)), encoding="utf-8")
    _draw(path)
    print(f"README.md and plots written from {path.name}")
    return 0


def _draw(path: Path) -> None:
    # Here, as comparing the table needs no drawing.
    from benchmarks.plots import draw

    result = load(path)
    for threads in result.settings.threads:
        draw(result, threads, path.with_name(plot_name(path, threads)))


if __name__ == "__main__":
    sys.exit(main())
