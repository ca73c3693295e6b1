"""List what is measured against what, and describe each without running it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphopt.errors import ModelError, UsageError
from graphopt.graph.constants import stored_tensors
from graphopt.graph.external import ExternalData
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model
from graphopt.graph.stats import stats
from graphopt.measure.records import Entry
from graphopt.runtime.providers import checked_config, known_name
from graphopt.runtime.turns import Contender

__all__ = ["BenchOptions", "contenders", "describe"]


@dataclass(frozen=True)
class BenchOptions:
    """The choices of a measurement, as on the command line.

    Every model is measured on every provider with every number of `threads`. `budget_s` seconds are spent on timing;
    `width` is the half width of the intervals at which it stops before. `samples` feeds are compared, and `evaluate`
    items of the task scored at most. `warm_up` inferences run after the first, by default two or a long one.
    `concurrency` lists numbers of callers, `rate` is the requests per second of an open load, 0 for none; each takes
    `load_s` seconds. `config` is passed to the runtime verbatim. `software` admits adapters that only imitate a GPU.
    """

    eps: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (1,)
    task: str = ""
    samples: int = 3
    evaluate: int = 200
    budget_s: float = 20.0
    width: float = 0.01
    seed: int = 0
    warm_up: int | None = None
    concurrency: tuple[int, ...] = ()
    rate: float = 0.0
    load_s: float = 1.0
    precision: str = "f32"
    config: Mapping[str, str] = field(default_factory=dict)
    custom_ops: tuple[str, ...] = ()
    software: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        for name in self.eps:
            checked_config(known_name(name), self.config)
        for what in ("eps", "threads", "concurrency"):
            given = getattr(self, what)
            if len(set(given)) < len(given):
                raise UsageError(f"{what} names the same twice: {', '.join(map(str, given))}")


def contenders(models: Sequence[Path], options: BenchOptions, cache: str = "") -> list[Contender]:
    """Make one contender for each model, provider and number of threads; a label names what tells them apart.

    In the folder `cache`, which may be missing, TensorRT keeps its engines.
    """
    found: list[Contender] = []
    names = _names(models)
    for ep in options.eps:
        for threads in options.threads:
            for name, model in zip(names, models, strict=True):
                label = f"{name} on {ep}" if len(options.eps) > 1 else name
                label += f", {threads} thread{'s' if threads > 1 else ''}" if len(options.threads) > 1 else ""
                # Engines take minutes to build. Each contender has its own, as their names do not tell weights apart.
                # For others a cache would only change what loading takes, which is measured.
                folder = str(Path(cache, str(len(found)))) if cache and ep == "tensorrt" else ""
                found.append(Contender(label, model, ep, _given(options, threads) | {"cache": folder}))
    return found


def _given(options: BenchOptions, threads: int) -> dict[str, Any]:
    return {
        "threads": threads,
        "precision": options.precision,
        "config": dict(options.config),
        "custom_ops": [str(Path(path).resolve()) for path in options.custom_ops],
        "software": options.software,
        "strict": options.strict,
    }


def _names(models: Sequence[Path]) -> list[str]:
    """Name the models as shortly as tells them apart: by file, by path, or by their number."""
    for names in ([model.stem for model in models], [str(model) for model in models]):
        if len(set(names)) == len(names):
            return names
    return [f"{model} ({number})" for number, model in enumerate(models, 1)]


def describe(one: Contender, model: Model) -> Entry:
    """Describe a contender by its file; reading it leaves it in memory for whoever opens it next.

    Raises `ModelError` if it cannot be read.
    """
    counted = stats(model, Facts(model))
    files = [one.path, *_data_files(model, one.path.parent)]
    try:
        digest = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                for chunk in iter(lambda stream=stream: stream.read(1 << 22), b""):  # type: ignore[misc]
                    digest.update(chunk)
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise ModelError(f"cannot read {one.path.name}", where=str(error)) from error
    return Entry(
        label=one.label,
        model=one.path.name,
        sha256=digest.hexdigest(),
        ep=one.ep,
        threads=one.options["threads"],
        file_bytes=size,
        parameters=counted.parameters,
        nodes=counted.nodes,
        macs=counted.macs,
    )


def _data_files(model: Model, folder: Path) -> list[Path]:
    """List the files of external data that a model uses."""
    names = {str(tensor.location) for tensor in stored_tensors(model) if isinstance(tensor, ExternalData)}
    return [folder / name for name in sorted(names)]
