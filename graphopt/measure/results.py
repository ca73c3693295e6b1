"""Keep measurements in files, read them again, and compare two of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from graphopt.errors import OutputError, TaskError, UsageError
from graphopt.measure.environment import differences
from graphopt.measure.records import SCHEMA, BenchReport, Entry, RatioRecord
from graphopt.runtime.ratios import Ratio, estimate_apart, flag

__all__ = [
    "ResultComparison",
    "ResultRow",
    "Side",
    "check_writable",
    "compare_results",
    "json_schema",
    "load_result",
    "save_result",
]


def json_schema() -> bytes:
    """Return the JSON schema of result files."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(BenchReport)), indent=2) + b"\n"


def check_writable(path: Path) -> None:
    """Make sure that a result could be written to `path`, before any work is done for it.

    Raises `OutputError` if its folder is missing or takes no file, or if it is a folder itself.
    """
    reason = ""
    if path.is_dir():
        reason = "it is a folder"
    elif not path.parent.is_dir():
        reason = f"there is no folder {str(path.parent)!r}"
    elif not os.access(path.parent, os.W_OK):
        reason = f"the folder {str(path.parent)!r} is read-only"
    if reason:
        raise OutputError(f"cannot write {str(path)!r}", where=reason, advice="name a file in a folder that takes one")


def save_result(report: BenchReport, path: Path) -> None:
    """Write a report as JSON: the old file or the new one is there at any moment, never a part.

    Raises `OutputError` if it cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}", where=error.strerror or "") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        # The whole error would name the temporary file.
        raise OutputError(f"cannot write {str(path)!r}", where=error.strerror or "") from error


def load_result(path: Path) -> BenchReport:
    """Read a result file.

    Raises `TaskError` if it is not there, none, or of a later version.
    """
    try:
        text = path.read_bytes()
        report = msgspec.json.decode(text, type=BenchReport)
    except FileNotFoundError as error:
        raise TaskError("no such file", where=str(path), advice="check the path") from error
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise TaskError(
            f"{str(path)!r} is no result of `graphopt bench`", where=str(error), advice="write one with bench -o"
        ) from error
    if report.schema != SCHEMA:
        raise TaskError(f"{str(path)!r} has version {report.schema}, this graphopt reads {SCHEMA}")
    return report


@dataclass(frozen=True)
class Side:
    """What one result says of a label; None where it was not measured. `trouble` says why all of it is missing."""

    median_ms: float | None
    memory_bytes: int | None
    error: float | None
    score: float | None
    trouble: str = ""


@dataclass(frozen=True)
class ResultRow:
    """One label in two results. `ratio` is that of the latencies, new over old."""

    label: str
    old: Side
    new: Side
    ratio: RatioRecord | None


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

    @property
    def pairs(self) -> tuple[tuple[Entry, Entry], ...]:
        """The entries, old and new, of the labels that are in both."""
        before = {entry.label: entry for entry in self.old.entries}
        return tuple((before[entry.label], entry) for entry in self.new.entries if entry.label in before)

    @property
    def changed(self) -> tuple[str, ...]:
        """The labels whose model is another one now."""
        return tuple(after.label for before, after in self.pairs if before.sha256 != after.sha256)

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """The figures of the labels that are in both."""
        return tuple(
            ResultRow(after.label, _side(before), _side(after), self.ratios.get(after.label))
            for before, after in self.pairs
        )


def compare_results(old: BenchReport, new: BenchReport, *, force: bool = False) -> ResultComparison:
    """Compare two results entry by entry, by their labels.

    Raises `UsageError` if environment, inputs or precision differ, or a label's provider, threads or what its runtime
    chose, unless `force`; and if no label is in both.
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
    known = {entry.label: entry for entry in old.entries}
    for entry in new.entries:
        if entry.label not in known:
            continue
        pair = (known[entry.label], entry)
        # What failed may not have come to choosing.
        whole = not any(one.trouble for one in pair)
        before, after = (
            _conditions(one, report.environment, whole=whole) for one, report in zip(pair, (old, new), strict=True)
        )
        found += [
            f"{name} of {entry.label}: {before.get(name, 'not told')}, then {after.get(name, 'not told')}"
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        ]
    return found


def _conditions(entry: Entry, environment: Mapping[str, str], *, whole: bool) -> dict[str, str]:
    """Return how an entry was run, by name: what was asked for, and if `whole` what the runtime made of it."""
    asked = {"provider": entry.ep, "threads": str(entry.threads)}
    if not whole:
        return asked
    # A version that the environment has as well is compared, and told, there.
    name, _, version = entry.chosen.get("runtime", "").partition(" ")
    left_out = "runtime" if environment.get(name) == version else ""
    chosen = {f"chosen {key}": value for key, value in entry.chosen.items() if key != left_out}
    return {**asked, "adapter": "imitated" if entry.software else "real", **chosen}


def _side(entry: Entry) -> Side:
    latency, memory, quality = entry.latency, entry.memory, entry.quality
    return Side(
        None if latency is None else latency.median_ms,
        None if memory is None else memory.model_bytes,
        None if quality is None else quality.error,
        None if quality is None else quality.score,
        entry.trouble,
    )


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
