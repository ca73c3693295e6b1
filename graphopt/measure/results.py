"""Keep measurements in files, read them again, and compare two of them."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from graphopt.errors import OutputError, TaskError, UsageError
from graphopt.measure.environment import differences
from graphopt.measure.records import SCHEMA, BenchReport, Entry, RatioRecord
from graphopt.runtime.ratios import Ratio, estimate_apart, flag

__all__ = ["ResultComparison", "compare_results", "json_schema", "load_result", "save_result"]


def json_schema() -> bytes:
    """Return the JSON schema of result files."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(BenchReport)), indent=2) + b"\n"


def save_result(report: BenchReport, path: Path) -> None:
    """Write a report as JSON: the old file or the new one is there at any moment, never a part.

    Raises `OutputError` if it cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {str(path)!r}", where=str(error)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise OutputError(f"cannot write {str(path)!r}", where=str(error)) from error


def load_result(path: Path) -> BenchReport:
    """Read a result file.

    Raises `TaskError` if it is none, or of a later version.
    """
    try:
        text = path.read_bytes()
        report = msgspec.json.decode(text, type=BenchReport)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise TaskError(
            f"{str(path)!r} is no result of `graphopt bench`", where=str(error), advice="write one with bench -o"
        ) from error
    if report.schema != SCHEMA:
        raise TaskError(f"{str(path)!r} has version {report.schema}, this graphopt reads {SCHEMA}")
    return report


@dataclass(frozen=True)
class ResultComparison:
    """Two results, with a ratio (new over old) for each label that was timed in both.

    The two were not timed in turns: what changed on the machine in between is in the ratios. `alone` are labels that
    only one of them has; `unlike` says how the environments or settings differ, where that was allowed.
    """

    old: BenchReport
    new: BenchReport
    ratios: dict[str, RatioRecord]
    alone: tuple[str, ...]
    unlike: tuple[str, ...]


def compare_results(old: BenchReport, new: BenchReport, *, force: bool = False) -> ResultComparison:
    """Compare two results entry by entry, by their labels.

    Raises `UsageError` if environment, inputs, precision or threads differ, unless `force`; and if no label is in both.
    """
    unlike = _unlike(old, new)
    if unlike and not force:
        raise UsageError(
            "the results cannot be compared: they were not measured alike",
            where="\n  ".join(unlike),
            advice="measure both in one environment, or compare all the same with --force",
        )
    before, after = ({entry.label: entry for entry in report.entries} for report in (old, new))
    both = [label for label in before if label in after]
    if not both:
        raise UsageError("the results have no label in common", where=f"{', '.join(before)}; {', '.join(after)}")
    found = {label: _ratio(before[label], after[label], old, new) for label in both}
    return ResultComparison(
        old,
        new,
        {label: ratio for label, ratio in found.items() if ratio is not None},
        tuple(sorted(set(before) ^ set(after))),
        tuple(unlike),
    )


def _unlike(old: BenchReport, new: BenchReport) -> list[str]:
    found = differences(old.environment, new.environment) if old.environment_hash != new.environment_hash else []
    for name in ("feed", "source", "precision"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            found.append(f"{name}: {before}, then {after}")
    threads = {entry.label: entry.threads for entry in old.entries}
    for entry in new.entries:
        if threads.get(entry.label, entry.threads) != entry.threads:
            found.append(f"threads of {entry.label}: {threads[entry.label]}, then {entry.threads}")
    return found


def _ratio(before: Entry, after: Entry, old: BenchReport, new: BenchReport) -> RatioRecord | None:
    if before.latency is None or after.latency is None:
        return None
    ratio = estimate_apart(rounds(after), rounds(before))
    for report in (old, new):
        if report.twin is not None and not ratio.no_difference:
            ratio = flag(ratio, Ratio(report.twin.median, report.twin.low, report.twin.high))
    count = min(len(one.rounds_ms) for one in (before.latency, after.latency))
    return RatioRecord(before.label, ratio.median, ratio.low, ratio.high, count, ratio.no_difference)


def rounds(entry: Entry) -> list[tuple[float, ...]]:
    """Return the latencies of an entry's rounds, opening by opening."""
    if entry.latency is None:
        return []
    left, found = list(entry.latency.rounds_ms), []
    for count in entry.latency.openings or (len(left),):
        found.append(tuple(left[:count]))
        left = left[count:]
    return found
