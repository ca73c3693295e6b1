"""Measure what the rules make of known patterns: `python benchmarks/patterns/run.py [--patterns A,B] [--budget S]`.

Each pattern is a module that PyTorch exports, in both ways; graphopt optimizes the export for onnxruntime's CPU, and
original and result are timed in turns, with a twin of the original that shows the noise. One file for machine and
commit is kept in `benchmarks/patterns/results`, and written after each export: a run that was stopped goes on where it
was.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from benchmarks import zoo
from benchmarks.patterns.catalogue import PATTERNS
from benchmarks.patterns.records import Run, Site, load, pattern_of, ratio_of, reaches, save, table
from benchmarks.records import GRAPHOPT, ORIGINAL
from benchmarks.run import PARTIAL, commit, machine_slug, portable
from benchmarks.venvs import InstallError, environment
from graphopt.graph.facts import Facts
from graphopt.graph.stats import stats
from graphopt.kinds import Target
from graphopt.measure.bench import BenchOptions, bench
from graphopt.measure.records import BenchReport
from graphopt.pipeline.optimize import optimize
from graphopt.pipeline.options import Options
from graphopt.pipeline.report import versions
from graphopt.runtime.machine import machine
from graphopt.runtime.process import Worker

__all__ = ["measure"]

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results", HERE / "TABLE.md"
PINS = HERE.parent / "exporters" / "requirements.txt"
BUDGET_S = 3.0
RIGHT = {"same", "unchanged"}
EXPLANATION = (
    "A ratio is the result's latency over the original's, with its 95 % interval; ≈ is no difference. *By hand* is the "
    "ratio of the rewrite alone, as it was first measured; *reached* says that at least four fifths of the time are "
    "saved that it saves, or, where there is none, that nothing is lost."
)


def _pins() -> list[str]:
    lines = PINS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _export(folder: Path, names: Sequence[str], given: argparse.Namespace) -> None:
    """Export what is missing.

    Raises `InstallError` if the exporters cannot be had, `CalledProcessError` if an export fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not (folder / f"{name}.onnx").is_file()]
    if missing:
        python = given.torch or environment(_pins(), given.cache)
        command = [str(python), "-W", "ignore", str(HERE / "torch_exports.py"), str(folder), *missing]
        subprocess.run(command, check=True)


def measure(export: Path, name: str, way: str, run: Run, threads: Sequence[int], worker: Worker) -> Site:
    """Optimize one export and time it."""
    folder = export.parent / run.target / export.stem
    folder.mkdir(parents=True, exist_ok=True)
    original, result = folder / f"{ORIGINAL}.onnx", folder / f"{GRAPHOPT}.onnx"
    original.unlink(missing_ok=True)
    original.hardlink_to(export)
    made = optimize(original, result, options=Options(target=run.target), worker=worker)
    facts = Facts(made.model)
    shapes = {value.name or "": facts.static_shape(value) or () for value in made.model.graph.inputs}
    reports: list[BenchReport] = [
        portable(bench([original, result], BenchOptions(threads=(count,), budget_s=run.budget_s))) for count in threads
    ]
    status = made.report.verification.status
    return Site(name, way, status, made.report.rules, stats(made.model, facts).operators, shapes, tuple(reports))


def _begun(path: Path, given: argparse.Namespace) -> Run:
    """Return the run so far, or an empty one."""
    pins = dict(pin.split("==") for pin in _pins())
    fresh = Run(
        machine=f"{machine()['processor']}, {machine()['cores']} cores",
        commit=commit(),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        target=given.target,
        versions=versions() | {name: pins[name] for name in ("torch", "onnxscript")},
        budget_s=given.budget,
    )
    if given.fresh or not path.is_file():
        return fresh
    old = load(path)
    return old if replace(old, created="", sites=()) == replace(fresh, created="", sites=()) else fresh


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what the rules make of known patterns.")
    parser.add_argument("--patterns", help="names or beginnings of them, with commas (default: all)")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds to time each (default: %(default)s)")
    parser.add_argument(
        "--target", default=Target.ORT_CPU.value, help="as of `graphopt optimize` (default: %(default)s)"
    )
    parser.add_argument("--torch", type=Path, help="an interpreter with PyTorch (default: an environment made for it)")
    parser.add_argument(
        "--cache", type=Path, default=zoo.cache_folder(), help="folder of the exports (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result file")
    parser.add_argument("--fresh", action="store_true", help="measure again what the result file holds")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} beside this script")
    return parser.parse_args()


def _chosen(begins: str | None) -> list[tuple[str, str]]:
    wanted = tuple(begins.split(",")) if begins else ("",)
    return [(one.name, way) for one in PATTERNS for way in one.ways if one.name.startswith(wanted)]


def _write(run: Run, path: Path) -> None:
    said = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    words = (
        f"{run.machine}; commit {run.commit}, {run.created[:10]}; {said}. Written by `nox -s patterns` from "
        f"[{path.name}](results/{path.name}). {EXPLANATION}"
    )
    PAGE.write_text(f"# Patterns\n\n{words}\n\n{table(run)}\n", encoding="utf-8")


def main() -> int:
    """Measure export by export; exit 1 if the exporters cannot be had or a result does not verify."""
    given = _options()
    chosen = _chosen(given.patterns)
    folder = given.cache / "patterns"
    path = given.output / f"{machine_slug()}-{commit()}{PARTIAL if given.patterns else ''}.json"
    try:
        _export(folder, [f"{name}-{way}" for name, way in chosen], given)
    except (InstallError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    run = _begun(path, given)
    threads = [int(text) for text in given.threads.split(",")]
    with closing(Worker()) as worker:
        worker.start()
        for name, way in chosen:
            if any((site.pattern, site.way) == (name, way) for site in run.sites):
                continue
            site = measure(folder / f"{name}-{way}.onnx", name, way, run, threads, worker)
            run = replace(run, sites=(*run.sites, site))
            save(run, path)
            print(_line(site), flush=True)
    if given.write:
        _write(run, path)
    print(path)
    return int(any(site.status not in RIGHT for site in run.sites))


def _line(site: Site) -> str:
    pattern = pattern_of(site)
    ratios = [ratio_of(site, report.threads) for report in site.reports]
    found = " ".join("-" if ratio is None else f"{ratio.median:.3f}" for ratio in ratios)
    verdict = "reached" if pattern is not None and reaches(site, pattern) else "NOT reached"
    bound = 1.0 if pattern is None else pattern.bound
    return f"{site.pattern} {site.way}: {found} (bound {bound:.3f}, {verdict}) {site.status} {dict(site.rules)}"


if __name__ == "__main__":
    sys.exit(main())
