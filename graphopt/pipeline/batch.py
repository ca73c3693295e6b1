"""Run one pipeline over many models."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphopt.errors import GraphOptError, PipelineError
from graphopt.graph.load import load
from graphopt.pipeline.manifest import content_hash, read_manifest
from graphopt.pipeline.optimize import optimize
from graphopt.pipeline.report import Report, versions
from graphopt.pipeline.toml import RunFile, read_run
from graphopt.runtime.process import Worker
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


def run_file(
    path: Path, models: Sequence[str] = (), *, resume: bool = False, progress: Callable[[str], None] | None = None
) -> Outcome:
    """Run what `path` describes; a model that fails costs only itself, and the first failure is reported at the end.

    `resume` leaves out models whose result is there, is not older, and carries the manifest of this version and
    pipeline. `progress` is told model and step.

    Raises `PipelineError` if the file is wrong, names no model, or would have one file written twice.
    """
    run = read_run(path)
    places = _places(path, run, models)
    tell = progress or (lambda _: None)
    reports: list[Report] = []
    rows: list[tuple[str, str, str]] = []
    failures: list[GraphOptError] = []
    with Worker() as worker:
        for source, output in places.items():
            if resume and _is_done(source, output, run.options.whole_pipeline):
                rows.append((str(source), "done before", str(output)))
                continue
            step = _named(source, tell)
            try:
                report = optimize(source, output, options=run.options, progress=step, worker=worker).report
            except GraphOptError as error:
                failures.append(error)
                rows.append((str(source), f"failed: {error.what}", ""))
                continue
            reports.append(report)
            rows.append((str(source), report.verification.status, str(output)))
    return Outcome(tuple(reports), tuple(rows), tuple(failures))


def _named(source: Path, tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda step: tell(f"{source.name}: {step}")


def _places(path: Path, run: RunFile, models: Sequence[str]) -> dict[Path, Path]:
    """Map each model to the place of its result.

    Raises `PipelineError` if there is no model, or two results, or a result and its model, have the same place.
    """
    places = {source: _output(path, run, source) for source in _sources(path, run.models, models)}
    if not places:
        raise PipelineError(f"{str(path)!r} names no model", advice='write models = ["*.onnx"], or give --models')
    users: dict[Path, Path] = {}
    for source, output in places.items():
        if source.resolve() == output.resolve():
            raise PipelineError(f"the output {str(output)!r} is the input", advice="change `output` in the file")
        other = users.setdefault(output.resolve(), source)
        if other != source:
            what = f"{str(other)!r} and {str(source)!r} would both be written to {str(output)!r}"
            raise PipelineError(what, advice='tell them apart: output = "{folder}/{stem}.opt.onnx"')
    # Results of an earlier run fit the same pattern as the models that they came from.
    return {source: output for source, output in places.items() if source.resolve() not in users}


def _output(path: Path, run: RunFile, source: Path) -> Path:
    name = run.output.format(stem=source.stem, folder=source.parent)
    return Path(name) if run.output.startswith("{folder}") else path.parent / name


def _sources(path: Path, own: Sequence[str], given: Sequence[str]) -> Iterator[Path]:
    for pattern in list(given) or [str(path.parent / pattern) for pattern in own]:
        # Unlike `Path.glob`, this takes absolute patterns.
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if found and glob.has_magic(pattern):
            yield from (Path(name) for name in found if not name.endswith(".opt.onnx"))
        elif found or not glob.has_magic(pattern):
            yield Path(pattern)


def _is_done(source: Path, output: Path, pipeline: str) -> bool:
    try:
        if output.stat().st_mtime_ns < source.stat().st_mtime_ns:
            return False
        result = load(output)
        manifest = read_manifest(result)
        if manifest is None:
            # A model that needed no change carries none.
            return content_hash(result) == content_hash(load(source))
    except (OSError, GraphOptError):
        return False
    return (manifest.get("graphopt"), manifest.get("pipeline")) == (versions()["graphopt"], pipeline)
