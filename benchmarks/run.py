"""Measure graphopt and its peers on the suite: `python benchmarks/run.py [--quick] [--models A,B] [--budget S]`.

Every model is optimized by every tool, every result is verified, and the original and all results are timed together,
in turns, by onnxruntime on the CPU with its own optimizations on. One file for machine and commit is kept in
`benchmarks/results`; it is written after each model, and a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from benchmarks import zoo
from benchmarks.peers import Peer, attempt, catalogue, kept_attempt, peer_environment, pins, verified
from benchmarks.records import (
    GRAPHOPT,
    ORIGINAL,
    RIGHT,
    UNVERIFIED,
    Attempt,
    ModelResult,
    Settings,
    SuiteResult,
    entry_of,
    load,
    save,
    summarize,
)
from benchmarks.venvs import InstallError
from benchmarks.zoo import ZooError, ZooModel
from graphopt.errors import GraphOptError
from graphopt.measure.bench import BenchOptions, bench
from graphopt.measure.environment import environment, environment_hash
from graphopt.measure.records import BenchReport, Entry
from graphopt.runtime.machine import machine

__all__ = ["PARTIAL", "RESULTS", "Suite", "commit", "machine_slug", "portable", "result_path"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUICK_BUDGET_S, FULL_BUDGET_S = 15.0, 30.0
PARTIAL = "-partial"
MEASURED = ("graphopt", "passes", "pyproject.toml")
"""What decides what is measured: with changes in it that are not committed, the commit is called dirty."""
_ALIKE = ("settings", "tools", "commit", "environment_hash")


def machine_slug() -> str:
    """Name this kind of machine in a file name: the processor and the number of cores."""
    found = machine()
    return re.sub(r"[^a-z0-9]+", "-", f"{found['processor']} {found['cores']} cores".lower()).strip("-")


def commit() -> str:
    """Return the short hash of the commit that is checked out, with `-dirty` where what is measured was changed."""
    return f"{_git('rev-parse', '--short', 'HEAD')}{'-dirty' if _git('status', '--porcelain', *MEASURED) else ''}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.strip()


def result_path(folder: Path, *, partial: bool) -> Path:
    """Return the result file of this machine and commit; that of a part of the suite is another and is not tracked."""
    return folder / f"{machine_slug()}-{commit()}{PARTIAL if partial else ''}.json"


class Suite:
    """One run: models, tools and settings; `result` grows model by model."""

    def __init__(self, path: Path, settings: Settings, peers: Sequence[Peer], cache: Path, *, fresh: bool) -> None:
        self.path, self.settings, self.peers, self.cache = path, settings, peers, cache
        self.python = peer_environment(cache) if peers else Path(sys.executable)
        self.result = self._continued() if path.is_file() and not fresh else self._empty()

    def _empty(self) -> SuiteResult:
        found = environment()
        versions = pins()
        tools = {peer.name: f"{peer.package} {versions[peer.package]}" for peer in self.peers}
        return SuiteResult(
            machine=f"{machine()['processor']}, {machine()['cores']} cores",
            commit=commit(),
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            environment=found,
            environment_hash=environment_hash(found),
            settings=self.settings,
            tools={GRAPHOPT: f"graphopt {version('graphopt')}", **tools},
        )

    def _continued(self) -> SuiteResult:
        """Return the result so far.

        Raises `ZooError` if it was not measured alike.
        """
        old, new = load(self.path), self._empty()
        unlike = [name for name in _ALIKE if getattr(old, name) != getattr(new, name)]
        if unlike:
            raise ZooError(f"{self.path.name} was measured with other {unlike[0]}; --fresh measures it anew")
        return old

    def has(self, model: ZooModel) -> bool:
        """Tell whether a model was measured already."""
        return any(one.name == model.name and one.sha256 == model.sha256 for one in self.result.models)

    def measure(self, model: ZooModel, source: Path) -> ModelResult:
        """Optimize, verify and time one model, and write the result file."""
        folder = self.cache / "work" / model.name / model.sha256[:12]
        task = zoo.task(model, self.cache)
        original = folder / f"{ORIGINAL}.onnx"
        original.parent.mkdir(parents=True, exist_ok=True)
        original.unlink(missing_ok=True)
        original.hardlink_to(source)
        attempts, made = self._optimized(original, task, folder)
        reports, trouble = self._timed([original, *made], task)
        found = ModelResult(
            name=model.name,
            origin=model.requirement,
            sha256=model.sha256,
            area=model.area,
            weights=model.weights,
            attempts=tuple(attempts),
            reports=tuple(reports),
            trouble=trouble,
        )
        models = (*(one for one in self.result.models if one.name != model.name), found)
        self.result = replace(self.result, models=models, summary=summarize(models))
        save(self.result, self.path)
        return found

    def _optimized(self, original: Path, task: Path | None, folder: Path) -> tuple[list[Attempt], list[Path]]:
        """Let each tool have its try; return the attempts and the files there are."""
        limit, attempts, made = self.settings.limit_s, [], []
        for peer in (None, *self.peers):
            # The file's name becomes the label of the entry.
            if peer is None:
                result = folder / f"{GRAPHOPT}.onnx"
                one = attempt(None, self.python, original, result, limit)
            else:
                result = folder / pins()[peer.package] / f"{peer.name}.onnx"
                one = kept_attempt(peer, self.python, original, result, limit)
            one = verified(one, original, result, task, self.settings.samples, limit)
            attempts.append(one)
            # What is wrong is not timed: how fast a wrong answer comes tells nothing.
            if one.status in {RIGHT, UNVERIFIED}:
                made.append(result)
        return attempts, made

    def _timed(self, files: Sequence[Path], task: Path | None) -> tuple[list[BenchReport], str]:
        """Time all files in turns for each number of threads; say why there is no report if there is none."""
        reports = []
        for threads in self.settings.threads:
            options = BenchOptions(
                threads=(threads,),
                task=str(task) if task else "",
                samples=self.settings.samples,
                evaluate=self.settings.evaluate,
                budget_s=self.settings.budget_s,
                seed=self.settings.seed,
            )
            try:
                reports.append(portable(bench(files, options)))
            except GraphOptError as error:
                return [], " ".join(str(error).replace(str(self.cache), "").split())[:300]
        return reports, ""


def portable(report: BenchReport) -> BenchReport:
    """Leave this machine's folders out of a report, and digits that mean nothing."""
    source = "task" if report.source.endswith(".py") else report.source
    return replace(report, source=source, entries=tuple(_portable(entry) for entry in report.entries))


def _portable(entry: Entry) -> Entry:
    latency = entry.latency
    if latency is not None:
        latency = replace(latency, rounds_ms=tuple(float(f"{value:.5g}") for value in latency.rounds_ms))
    return replace(entry, model=Path(entry.model).name, latency=latency)


def line(found: ModelResult) -> str:
    """Say in one line what was found of a model."""
    if not found.reports:
        return f"{found.name}: {found.trouble}"
    report = found.reports[0]
    base = entry_of(report, ORIGINAL)
    parts = [] if base is None or base.latency is None else [f"{base.latency.median_ms:.3f} ms"]
    for attempt_ in found.attempts:
        entry = entry_of(report, attempt_.tool)
        ratio = f"{entry.ratio.median:.3f}" if entry is not None and entry.ratio else "-"
        parts.append(f"{attempt_.tool} {ratio} {attempt_.status}")
    return f"{found.name}: {', '.join(parts)}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure graphopt and its peers on the suite.")
    parser.add_argument("--quick", action="store_true", help="five models, about five minutes")
    parser.add_argument("--models", help="names in the zoo, with commas (default: the suite)")
    parser.add_argument("--peers", help='names in peers.toml, with commas, or "" for none (default: all)')
    parser.add_argument("--threads", default="1", help="numbers of threads, with commas (default: %(default)s)")
    parser.add_argument("--budget", type=float, help=f"seconds to time each model (default: {FULL_BUDGET_S:g})")
    parser.add_argument("--samples", type=int, default=3, help="inputs to verify on (default: %(default)s)")
    parser.add_argument("--evaluate", type=int, default=24, help="inputs to score (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=300, help="seconds for each tool (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of orders and inputs (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result file")
    parser.add_argument(
        "--cache", type=Path, default=zoo.cache_folder(), help="folder of the zoo (default: %(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what the result file holds")
    return parser.parse_args()


def _chosen_peers(names: str | None) -> list[Peer]:
    known = {peer.name: peer for peer in catalogue()}
    wanted = list(known) if names is None else [name for name in names.split(",") if name]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ZooError(f"no peer is named {unknown[0]!r}; known: {', '.join(known)}")
    return [known[name] for name in wanted]


def _chosen_models(names: str | None, *, quick: bool) -> list[ZooModel]:
    if names:
        return zoo.choose(name for name in names.split(",") if name)
    return [model for model in zoo.catalogue() if (model.quick if quick else model.bench)]


def main() -> int:
    """Measure model by model; exit 1 if a model could not be timed or a download failed."""
    given = _options()
    settings = Settings(
        threads=tuple(int(text) for text in given.threads.split(",")),
        budget_s=given.budget or (QUICK_BUDGET_S if given.quick else FULL_BUDGET_S),
        samples=given.samples,
        evaluate=given.evaluate,
        seed=given.seed,
        limit_s=given.limit,
    )
    begin = time.monotonic()
    try:
        models, peers = _chosen_models(given.models, quick=given.quick), _chosen_peers(given.peers)
        files = zoo.fetch(models, given.cache)
        partial = given.quick or given.models is not None or given.peers is not None
        suite = Suite(result_path(given.output, partial=partial), settings, peers, given.cache, fresh=given.fresh)
    except (ZooError, InstallError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for model in models:
        if not suite.has(model):
            found = suite.measure(model, files[model.name])
            print(f"[{time.monotonic() - begin:5.0f} s] {line(found)}", flush=True)
    for one in suite.result.summary:
        counts = f"{one.right} right, {one.wrong} wrong, {one.failed} failed"
        faster = f"faster {one.faster}, slower {one.slower}"
        print(f"{one.tool}, {one.threads} thread(s): {one.geomean:.3f} over {one.models} models, {counts}; {faster}")
    print(f"{suite.path}, {time.monotonic() - begin:.0f} s")
    return int(any(model.trouble for model in suite.result.models))


if __name__ == "__main__":
    sys.exit(main())
