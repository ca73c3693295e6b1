"""Find where the time of a model goes, from the runtime's own profiler, and how far it is from what the machine can."""

from __future__ import annotations

import datetime as dt
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphopt.calibration.task import Feed
from graphopt.errors import MeasureError
from graphopt.graph.costs import Costs, feed_sizes
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.save import save
from graphopt.measure.environment import environment, environment_hash
from graphopt.measure.feeds import candidates, first_that_runs
from graphopt.measure.origins import Origins, name_nodes
from graphopt.measure.profile_records import ModelProfile, ProfileReport
from graphopt.measure.roofline import Peaks, measure_peaks
from graphopt.measure.tally import Part, changes, groups, is_int8, remarks
from graphopt.pipeline.report import versions
from graphopt.runtime.frames import Array
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.providers import known_name
from graphopt.runtime.providers.interface import Kernel, RunOptions
from graphopt.runtime.turns import Contender, Stand

__all__ = ["ProfileOptions", "profile"]

_SECONDS = 4.0
_FEWEST_RUNS, _MOST_RUNS = 5, 200


@dataclass(frozen=True)
class ProfileOptions:
    """The choices of a profile, as on the command line.

    `runs` inferences are profiled; 0 takes as many as run in a few seconds. `depth` is the number of parts of a
    region's path. `config` is passed to the runtime verbatim. `strict` makes a node that is left to the CPU an error.
    """

    ep: str = "cpu"
    threads: int = 1
    task: str = ""
    seed: int = 0
    runs: int = 0
    depth: int = 3
    precision: str = "f32"
    config: Mapping[str, str] = field(default_factory=dict)
    custom_ops: tuple[str, ...] = ()
    strict: bool = False

    def __post_init__(self) -> None:
        RunOptions(config=self.config).of(known_name(self.ep))

    def contender(self) -> dict[str, Any]:
        """Return the fields of `RunOptions`."""
        libraries = [str(Path(path).resolve()) for path in self.custom_ops]
        return {
            "threads": self.threads,
            "precision": self.precision,
            "config": dict(self.config),
            "custom_ops": libraries,
            "strict": self.strict,
        }


def profile(
    before: str | Path,
    after: str | Path | None = None,
    options: ProfileOptions = ProfileOptions(),
    progress: Callable[[str], None] | None = None,
) -> ProfileReport:
    """Profile a model, or one before and one after a change, on the same feed.

    Raises `UsageError` for an unknown provider, `ModelError` for a model that cannot be read, `MeasureError` if the
    provider would not run it, does not tell the time of nodes, or is a software adapter.
    """
    tell = progress or (lambda _: None)
    paths = [Path(before), *([] if after is None else [Path(after)])]
    started = time.perf_counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="graphopt-profile-")))
        subjects = []
        for path in paths:
            tell(f"open {path.name}")
            subjects.append(_Subject(path, options, folder, stack))
        feed = _feed(subjects, options)
        tell("measure the peaks")
        # Twice, as others may use the machine: before and after.
        peaks = measure_peaks(options.ep, options.contender(), folder, int8=False)
        for subject in subjects:
            tell(f"profile {subject.path.name}")
            subject.measure(feed)
        subjects = [subject.close() for subject in subjects]
        tell("measure the peaks again")
        int8 = any(is_int8(kernel) for subject in subjects for kernel in subject.kernels)
        peaks = peaks.best(measure_peaks(options.ep, options.contender(), folder, int8=int8))
    models = tuple(subject.profile(peaks) for subject in subjects)
    return _report(models, peaks, feed, options, started)


def _report(
    models: tuple[ModelProfile, ...], peaks: Peaks, feed: Feed, options: ProfileOptions, started: float
) -> ProfileReport:
    found = environment()
    return ProfileReport(
        models=models,
        operators=changes(models, lambda one: one.operators),
        regions=changes(models, lambda one: one.regions),
        peaks=peaks,
        environment=found,
        environment_hash=environment_hash(found),
        feed={name: f"{array.dtype}{list(array.shape)}" for name, array in feed.items()},
        source=options.task or "drawn",
        threads=options.threads,
        depth=options.depth,
        seed=options.seed,
        seconds=time.perf_counter() - started,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )


def _feed(subjects: Sequence[_Subject], options: ProfileOptions) -> Feed:
    """Find a feed that the first model runs."""
    groups = candidates(subjects[0].path, options.task, 1, options.seed, options.custom_ops)
    stand = subjects[0].stand
    _, feeds = first_that_runs(groups, lambda group: [stand.outputs(feed) for feed in group])
    return feeds[0]


class _Subject:
    """One model under the profiler."""

    def __init__(self, path: Path, options: ProfileOptions, folder: Path, stack: ExitStack) -> None:
        self.path, self.options = path, options
        self.model, self.notes = load(path), list[str]()
        self.stand = stack.enter_context(
            Stand(Contender(path.name, self._named(folder), options.ep, options.contender()))
        )
        try:
            facts = self.stand.open()
        except (RequestError, WorkerDied) as error:
            raise MeasureError(f"{options.ep} cannot load {path.name}", where=error.what) from error
        if facts["software"]:
            raise MeasureError(
                f"{options.ep} would run {path.name} on a software adapter",
                where="it only imitates the device, whose times it cannot tell",
            )
        self.chosen: dict[str, str] = facts["chosen"]
        self.feed: Mapping[str, Array] = {}
        self.kernels: list[Kernel] = []
        self.latency, self.runs = 0.0, 0

    def _named(self, folder: Path) -> Path:
        """Return the file to run: the model itself, or a copy in which every node has a name of its own."""
        count = name_nodes(self.model)
        if not count:
            return self.path
        self.notes.append(f"{count} nodes without a name of their own are called by their first result")
        path = folder / f"{len(list(folder.iterdir()))}.onnx"
        save(self.model, path)
        return path

    def measure(self, feed: Mapping[str, Array]) -> None:
        """Time whole inferences before and after the profiler runs, and read it."""
        self.feed = feed
        try:
            self.stand.feed(feed)
            warm = max(self.stand.first()[1], 1e-6)
            self.runs = self.options.runs or min(_MOST_RUNS, max(_FEWEST_RUNS, int(_SECONDS / warm)))
            seconds = self.stand.batch(self.runs).tolist()
            reply, _ = self.stand.ask("profile", key="", runs=self.runs)
            seconds += self.stand.batch(self.runs).tolist()
        except (RequestError, WorkerDied) as error:
            raise MeasureError(f"{self.path.name} does not run", where=error.what) from error
        if "not_usable" in reply:
            raise MeasureError(f"{self.options.ep} does not tell the time of nodes", where=reply["not_usable"])
        self.latency = statistics.median(seconds)
        self.kernels = [_kernel(each) for each in reply["kernels"]]

    def close(self) -> _Subject:
        """End the process, lest it be there while the peaks are measured."""
        self.stand.__exit__()
        return self

    def profile(self, peaks: Peaks) -> ModelProfile:
        """Put times and costs together."""
        facts = Facts(self.model)
        sizes = feed_sizes(self.model, facts, {name: array.shape for name, array in self.feed.items()})
        origins = Origins(self.model, Costs(facts, sizes), self.kernels)
        total = sum(kernel.seconds for kernel in self.kernels) or 1e-9
        parts = [Part(kernel, origins, at, self.options.depth) for at, kernel in enumerate(self.kernels)]
        kernels = [part.record(total, peaks) for part in parts]
        return ModelProfile(
            label=self.path.stem,
            model=str(self.path),
            sha256=hashlib.sha256(self.path.read_bytes()).hexdigest(),
            ep=self.options.ep,
            runs=self.runs,
            latency_ms=self.latency * 1e3,
            kernels_ms=total * 1e3,
            outside_ms=(self.latency - total) * 1e3,
            kernels=tuple(sorted(kernels, key=lambda kernel: -kernel.work.ms)),
            operators=groups(parts, lambda part: part.kernel.operator, total, peaks),
            regions=groups(parts, lambda part: part.region, total, peaks),
            chosen=self.chosen,
            notes=(*self.notes, *remarks(parts, total, self.latency)),
        )


def _kernel(told: Mapping[str, Any]) -> Kernel:
    """Make a kernel of what came as JSON."""
    tensors = {
        key: tuple(None if each is None else (each[0], tuple(each[1])) for each in told[key])
        for key in ("inputs", "outputs")
    }
    names = {key: tuple(told[key]) for key in ("nodes", "values")}
    return Kernel(**{**told, **tensors, **names})
