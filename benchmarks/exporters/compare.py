"""Compare what graphopt makes of one module's exports: `python benchmarks/exporters/compare.py [--time] [--write]`.

Ten modules go through both exporters of PyTorch and three through tf2onnx and Keras, each exporter in an environment of
its own. The results of one module should hold the same operators and run in the same time, whoever exported it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

import msgspec

from benchmarks import zoo
from benchmarks.exporters.records import Comparison, Result, Run, differences, functions, table
from benchmarks.exporters.structure import differing, structures
from benchmarks.run import commit, portable
from benchmarks.venvs import InstallError, environment
from graphopt.graph.facts import Facts
from graphopt.graph.stats import stats
from graphopt.kinds import Target
from graphopt.measure.bench import BenchOptions, bench
from graphopt.pipeline.optimize import optimize
from graphopt.pipeline.options import Options
from graphopt.runtime.machine import machine
from graphopt.runtime.process import Worker
from graphopt.tables import render

__all__ = ["EXPORTED", "pins"]

HERE = Path(__file__).parent
RESULT, PAGE = HERE / "results.json", HERE / "results.md"
EXPORTED = {"torch_exports.py": "requirements.txt", "keras_exports.py": "requirements-keras.txt"}
BUDGET_S = 20.0


def pins(script: str) -> list[str]:
    """Return the packages of the environment that a script runs in."""
    lines = (HERE / EXPORTED[script]).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _export(folder: Path, given: argparse.Namespace) -> None:
    """Let each exporter write what is missing.

    Raises `InstallError` if its packages cannot be had, `CalledProcessError` if an export fails.
    """
    interpreters = {"torch_exports.py": given.torch, "keras_exports.py": given.keras}
    for script, interpreter in interpreters.items():
        python = interpreter or environment(pins(script), given.cache)
        subprocess.run([str(python), "-W", "ignore", str(HERE / script), str(folder)], check=True)


def _sets(folder: Path, given: argparse.Namespace) -> Iterator[list[Path]]:
    """Yield for each module and kind of shapes its exports, those of the older exporter first."""
    modules = given.modules.split(",") if given.modules else None
    for place in sorted(folder.glob("*/*")):
        found = [path for path in place.glob("*.onnx") if given.ways is None or path.stem in given.ways.split(",")]
        if found and place.name in given.shapes.split(",") and (modules is None or place.parent.name in modules):
            yield sorted(found, key=lambda path: (not path.stem.startswith("script"), path.stem))


def _alike(exports: Sequence[Path], target: str) -> Iterator[list[Path]]:
    """Yield the exports that should give the same: those of one opset, and for a target that raises it all."""
    if target != Target.PORTABLE:
        yield list(exports)
        return
    for _, group in groupby(sorted(exports, key=_opset), _opset):
        yield list(group)


def _opset(export: Path) -> str:
    return export.stem.split("-")[1]


def _compare(exports: Sequence[Path], target: str, worker: Worker, *, timed: bool) -> Comparison:
    """Optimize the exports of one module, count operators, and time the results together, in turns."""
    found: list[Result] = []
    made, first = [], list[str]()
    for path in exports:
        result = path.parent / target / path.name
        result.parent.mkdir(exist_ok=True)
        one = optimize(path, result, options=Options(target=target), worker=worker)
        facts = Facts(one.model)
        nodes = structures(one.model, facts)
        first = first or nodes
        operators = stats(one.model, facts).operators
        found.append(Result(path.stem, one.report.verification.status, operators, differing(first, nodes)))
        made.append(result)
    latency = portable(bench(made, BenchOptions(budget_s=BUDGET_S))) if timed else None
    place = exports[0].parent
    opsets = "/".join(sorted({_opset(path) for path in exports}))
    return Comparison(place.parent.name, place.name, opsets, target, tuple(found), latency)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare what graphopt makes of one module's exports.")
    parser.add_argument("--modules", help="names, with commas (default: all)")
    parser.add_argument("--ways", help="exporters with opset, as script-18,dynamo-18 (default: all)")
    parser.add_argument("--shapes", default="fixed,dynamic", help="with a comma (default: %(default)s)")
    parser.add_argument("--targets", default="portable,ort-cpu", help="with commas (default: %(default)s)")
    parser.add_argument("--time", action="store_true", help=f"time the results too, {BUDGET_S:g} s for each module")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} and {PAGE.name} beside this script")
    parser.add_argument("--torch", type=Path, help="an interpreter with PyTorch (default: an environment made for it)")
    parser.add_argument("--keras", type=Path, help="an interpreter with Keras (default: an environment made for it)")
    parser.add_argument(
        "--cache", type=Path, default=zoo.cache_folder(), help="folder of the exports (default: %(default)s)"
    )
    return parser.parse_args()


def _write(comparisons: Sequence[Comparison]) -> None:
    versions = dict(pin.split("==") for script in EXPORTED for pin in pins(script))
    names = ("torch", "torchvision", "transformers", "onnxscript", "keras", "tensorflow_cpu", "tf2onnx")
    run = Run(
        machine=f"{machine()['processor']}, {machine()['cores']} cores",
        commit=commit(),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        versions={name: versions[name] for name in names},
        comparisons=tuple(comparisons),
    )
    RESULT.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    said = f"{run.machine}; commit {run.commit}, {run.created[:10]}; {', '.join(map(' '.join, run.versions.items()))}."
    PAGE.write_text(f"# Exporters\n\n{said}\n\n{render([table(comparisons)], 'markdown')}", encoding="utf-8")


def main() -> int:
    """Export, optimize and compare; exit 1 if a module's results hold other functions or do not verify."""
    given = _options()
    folder = given.cache / "exporters"
    try:
        _export(folder, given)
    except (InstallError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    found = []
    with closing(Worker()) as worker:
        for exports in _sets(folder, given):
            for target in given.targets.split(","):
                for group in _alike(exports, target):
                    found.append(_compare(group, target, worker, timed=given.time))
                    print(render([table(found[-1:])], "csv").splitlines()[-1], flush=True)
    print(render([table(found)], "table"))
    if given.write:
        _write(found)
    wrong = [one for one in found if any(result.status == "different" for result in one.results)]
    return int(bool(wrong) or any(functions(list(differences(one.results))) for one in found))


if __name__ == "__main__":
    sys.exit(main())
