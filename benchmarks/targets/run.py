"""Try real models on OpenVINO and TensorRT, before and after: `python benchmarks/targets/run.py [--write]`.

Each model is optimized for the target; original and result are checked with the target itself (TensorRT-RTX parses, and
builds an engine, without a GPU), and timed in turns where the target has a device here, in floats of 32 bits on one
thread. The models are those of the zoo, or folders `NAME/model.onnx`, with `task.py`, that `--models` holds. One file
for machine and commit is kept in `benchmarks/targets/results` and written after each model: a run that was stopped goes
on where it was.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import zoo
from benchmarks.records import GRAPHOPT, ORIGINAL
from benchmarks.run import PARTIAL, commit, machine_slug, portable
from benchmarks.targets.records import Outcome, Run, Verdict, load, save, table
from graphopt.kinds import Target
from graphopt.measure.bench import BenchOptions, bench
from graphopt.measure.check.checker import check
from graphopt.pipeline.optimize import optimize
from graphopt.pipeline.options import Options
from graphopt.pipeline.report import versions
from graphopt.rewrite.rule import Rule
from graphopt.runtime.machine import machine
from graphopt.runtime.process import Worker
from graphopt_passes import PASSES

__all__ = ["HERE", "PAGE", "TARGETS", "main", "measure", "page"]

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results", HERE / "TABLE.md"
TARGETS = (Target.OPENVINO.value, Target.TENSORRT.value)
TIMED = {Target.OPENVINO.value: "openvino"}
"""Targets that run on any processor, with the execution provider that times them."""

PACKAGES = {Target.OPENVINO.value: "openvino", Target.TENSORRT.value: "tensorrt-rtx-cu12"}
BUDGET_S = 10.0
SPECIFIC = {rule.name: rule.targets for rule in PASSES if isinstance(rule, Rule) and rule.targets}
EXPLANATION = (
    "✓: the target compiles it (TensorRT: it parses, and an engine builds); otherwise the operators that it refuses. A "
    "ratio is the result's latency over the original's on that runtime, with its 95 % interval; ≈ is no difference."
)


def _verdict(path: Path, target: str, task: str) -> Verdict:
    found = check(path, target, task=task).targets[0]
    refused = dict.fromkeys(finding.operator for finding in found.findings if finding.kind == "fails")
    return Verdict(found.verdict, found.why, tuple(name for name in refused if name))


def measure(source: Path, target: str, task: str, folder: Path, budget_s: float, worker: Worker) -> Outcome:
    """Optimize one model for one target, check both, and time both where that can be done."""
    folder.mkdir(parents=True, exist_ok=True)
    original, result = folder / f"{ORIGINAL}.onnx", folder / f"{GRAPHOPT}.onnx"
    original.unlink(missing_ok=True)
    original.symlink_to(source.resolve())
    made = optimize(original, result, options=Options(target=target, task=task), worker=worker)
    rules = {name: count for name, count in made.report.rules.items() if target in SPECIFIC.get(name, ())}
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    outcome = Outcome(
        model=source.parent.name,
        sha256=digest,
        target=target,
        status=made.report.verification.status,
        rules=rules,
        before=_verdict(original, target, task),
        after=_verdict(result, target, task),
    )
    if target not in TIMED or "fails" in {outcome.before.verdict, outcome.after.verdict}:
        return outcome
    options = BenchOptions(eps=(TIMED[target],), threads=(1,), budget_s=budget_s, task=task, evaluate=0)
    return replace(outcome, report=portable(bench([original, result], options)))


def _versions() -> dict[str, str]:
    found = dict(versions())
    for package in PACKAGES.values():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _begun(path: Path, given: argparse.Namespace) -> Run:
    """Return the run so far, or an empty one."""
    fresh = Run(
        machine=f"{machine()['processor']}, {machine()['cores']} cores",
        commit=commit(),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        budget_s=given.budget,
    )
    if given.fresh or not path.is_file():
        return fresh
    old = load(path)
    return old if replace(old, created="", outcomes=()) == replace(fresh, created="", outcomes=()) else fresh


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Try real models on OpenVINO and TensorRT, before and after.")
    parser.add_argument("--models", type=Path, help="folder of folders with model.onnx and task.py (default: the zoo)")
    parser.add_argument("--names", help="names of models, with commas (default: all)")
    parser.add_argument("--targets", default=",".join(TARGETS), help="with commas (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds to time each (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=zoo.cache_folder(), help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result file")
    parser.add_argument("--fresh", action="store_true", help="measure again what the result file holds")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} beside this script")
    return parser.parse_args()


def _models(given: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """Yield each model with its task.

    Raises `ZooError` if the zoo cannot be had.
    """
    names = set(given.names.split(",")) if given.names else set()
    if given.models is None:
        chosen = zoo.choose(sorted(names))
        found = zoo.fetch(chosen, given.cache)
        yield from ((found[model.name], str(zoo.task(model, given.cache) or "")) for model in chosen)
        return
    for path in sorted(given.models.glob("*/model.onnx")):
        task = path.with_name("task.py")
        if not names or path.parent.name in names:
            yield path, str(task) if task.is_file() else ""


def page(run: Run, path: Path) -> str:
    """Return what is written beside this script of the run in file `path`."""
    said = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    words = (
        f"{run.machine}; commit {run.commit}, {run.created[:10]}; {said}. Written by `nox -s targets` from "
        f"[{path.name}](results/{path.name}). {EXPLANATION}"
    )
    parts = [f"# OpenVINO and TensorRT\n\n{words}"]
    parts += [f"## {target}\n\n{table(run, target)}" for target in TARGETS]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Measure model by model; exit 1 if the models cannot be had."""
    given = _options()
    path = given.output / f"{machine_slug()}-{commit()}{PARTIAL if given.names else ''}.json"
    try:
        models = list(_models(given))
    except zoo.ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    run = _begun(path, given)
    with closing(Worker()) as worker:
        worker.start()
        for source, task in models:
            for target in given.targets.split(","):
                name = source.parent.name
                if any((one.model, one.target) == (name, target) for one in run.outcomes):
                    continue
                folder = given.cache / "work" / "targets" / name / target
                outcome = measure(source, target, task, folder, given.budget, worker)
                run = replace(run, outcomes=(*run.outcomes, outcome))
                save(run, path)
                print(_line(outcome), flush=True)
    if given.write:
        PAGE.write_text(page(run, path), encoding="utf-8")
    print(path)
    return 0


def _line(outcome: Outcome) -> str:
    ratio = None if outcome.report is None else outcome.report.entries[-1].ratio
    found = "" if ratio is None else f"{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
    return f"{outcome.model} {outcome.target}: {outcome.before.verdict} -> {outcome.after.verdict} {found}"


if __name__ == "__main__":
    sys.exit(main())
