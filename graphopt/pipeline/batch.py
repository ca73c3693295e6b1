"""Run one pipeline over many models."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphopt.errors import GraphOptError, PipelineError
from graphopt.graph.load import load
from graphopt.pipeline.manifest import read_manifest
from graphopt.pipeline.optimize import optimize
from graphopt.pipeline.report import Report, versions
from graphopt.pipeline.toml import read_run
from graphopt.tables import Table

__all__ = ["Outcome", "run_file"]


@dataclass(frozen=True)
class Outcome:
    """What became of each model: its report, or why there is none."""

    reports: tuple[Report, ...]
    rows: tuple[tuple[str, str, str], ...]
    failures: tuple[GraphOptError, ...]

    def table(self) -> Table:
        """Return one row for each model."""
        return Table(("model", "outcome", "output"), self.rows)


def run_file(path: Path, models: Sequence[str] = (), *, resume: bool = False) -> Outcome:
    """Run what `path` describes; a model that fails costs only itself, and the first failure is reported at the end.

    `resume` leaves out models whose result is there and carries the manifest of this version and pipeline.

    Raises `PipelineError` if the file is wrong or names no model.
    """
    run = read_run(path)
    sources = list(_sources(path, run.models, models))
    if not sources:
        raise PipelineError(f"{str(path)!r} names no model", advice='write models = ["*.onnx"], or give --models')
    reports: list[Report] = []
    rows: list[tuple[str, str, str]] = []
    failures: list[GraphOptError] = []
    for source in sources:
        output = path.parent / run.output.format(stem=source.stem, folder=source.parent)
        if resume and _is_done(output, run.options.pipeline):
            rows.append((str(source), "done before", str(output)))
            continue
        try:
            report = optimize(source, output, options=run.options).report
        except GraphOptError as error:
            failures.append(error)
            rows.append((str(source), f"failed: {error.what}", ""))
            continue
        reports.append(report)
        rows.append((str(source), report.verification.status, str(output)))
    return Outcome(tuple(reports), tuple(rows), tuple(failures))


def _sources(path: Path, own: Sequence[str], given: Sequence[str]) -> Iterator[Path]:
    patterns = list(given) or [str(path.parent / pattern) for pattern in own]
    for pattern in patterns:
        # Unlike `Path.glob`, this takes absolute patterns.
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 or ([] if glob.has_magic(pattern) else [pattern])
        yield from (Path(name) for name in found if not name.endswith(".opt.onnx"))


def _is_done(output: Path, pipeline: str) -> bool:
    try:
        manifest = read_manifest(load(output))
    except GraphOptError:
        return False
    return manifest is not None and (manifest.get("graphopt"), manifest.get("pipeline")) == (
        versions()["graphopt"],
        pipeline,
    )
