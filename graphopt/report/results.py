"""Read result files back: what `--format json` printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from graphopt.errors import TaskError
from graphopt.measure.check.records import CheckReport
from graphopt.measure.profile_records import ProfileReport
from graphopt.measure.records import BenchReport
from graphopt.pipeline.report import Report

__all__ = ["Found", "read_results"]

Found = Report | BenchReport | ProfileReport | CheckReport


def read_results(path: Path) -> list[Found]:
    """Return the results in a file, in the order in which they stand there.

    Raises `TaskError` if it cannot be read or holds none.
    """
    try:
        data = msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TaskError("no result can be read", where=f"{path}: {reason}") from error
    if isinstance(data, dict) and {"ratios", "alone", "unlike"} <= data.keys():
        advice = "give those two: graphopt report OLD.json NEW.json"
        raise TaskError("a comparison of two result files holds neither of them", where=str(path), advice=advice)
    try:
        found = list(_results(data))
    except msgspec.ValidationError as error:
        advice = "was it made by another version of graphopt?"
        raise TaskError("a result that is not whole", where=f"{path}: {error}", advice=advice) from error
    if not found:
        verbs = "`graphopt optimize`, `bench`, `compare`, `profile`, `check --target` or `demo`"
        advice = f"give what {verbs} print with --format json"
        raise TaskError("no result of graphopt", where=str(path), advice=advice)
    return found


def _results(data: Any) -> Iterator[Found]:
    if not isinstance(data, dict):
        return
    if "entries" in data and "environment_hash" in data:
        yield msgspec.convert(data, BenchReport)
    elif "steps" in data and "verification" in data:
        yield msgspec.convert(data, Report)
    elif "models" in data and "peaks" in data:
        yield msgspec.convert(data, ProfileReport)
    elif "targets" in data and "opsets" in data:
        yield msgspec.convert(data, CheckReport)
    for inner in (*data.get("reports", ()), data.get("report"), data.get("comparison")):
        yield from _results(inner)
