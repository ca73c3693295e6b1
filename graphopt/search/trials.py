"""Time the alternatives of each place against the model as it is, once for all places that look the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphopt.calibration.task import Feed
from graphopt.graph.changes import Digests
from graphopt.graph.cut import show_shapes, show_values, values_by_name
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.save import save
from graphopt.runtime.frames import NARROW, NATIVE, Array
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import RequestError, Worker, WorkerDied
from graphopt.runtime.ratios import Ratio, estimate, flag
from graphopt.search.cache import Cache
from graphopt.search.candidates import Alternative, Ground, Spot
from graphopt.search.regions import BEFORE, Region, cut_region, signature

__all__ = ["Trial", "Trials"]

_LIMITS = Limits(wall_seconds=300)
_LEAST_SECONDS = 0.5
_MOST_SECONDS = 8.0
_NOISY = 0.04
"""Half width of the interval of a region against itself above which times mean nothing: something else runs here."""
_FAR = 1e-3
"""Outputs of a region that differ by more are of another function; how exact the whole is, is proven later."""


@dataclass(frozen=True)
class Trial:
    """How one alternative at one place did: `ratio` to the place as it is, which takes `before_ms`."""

    spot: Spot
    alternative: Alternative
    ratio: Ratio
    before_ms: float
    cached: bool

    @property
    def saved_ms(self) -> float:
        """Milliseconds that it saves, negative if it costs some."""
        return self.before_ms * (1 - self.ratio.median)

    @property
    def wins(self) -> bool:
        """Whether it is faster beyond the noise."""
        return self.ratio.high < 1 and not self.ratio.no_difference


class Trials:
    """Time places in one child process, on the values that they have in the whole model for `feed`."""

    def __init__(
        self,
        ground: Ground,
        feed: Feed,
        folder: Path,
        cache: Cache,
        surroundings: str,
        custom_ops: Sequence[str] = (),
        freeze: bool | None = None,
    ) -> None:
        self._ground, self._feed, self._folder = ground, feed, folder
        self._cache, self._surroundings = cache, surroundings
        self._custom_ops, self._freeze = list(custom_ops), freeze
        self._worker = Worker("graphopt.search.arena:Arena")
        self._digests = Digests()

    def run(self, budget_s: float, tell: Callable[[str], None]) -> list[Trial]:
        """Time all places for about `budget_s` seconds; places that cannot be timed, or not now, are left out."""
        with self._worker:
            groups = self._groups()
            end = time.perf_counter() + budget_s
            found: list[Trial] = []
            for at, (key, regions) in enumerate(groups.items()):
                tell(f"time region {at + 1} of {len(groups)}")
                share = (end - time.perf_counter()) / (len(groups) - at)
                found.extend(self._group(key, regions, min(_MOST_SECONDS, max(_LEAST_SECONDS, share))))
        return found

    def _groups(self) -> dict[str, list[Region]]:
        """Cut all regions and gather those that look the same; those that are there most often come first."""
        regions = [region for spot in self._ground.spots if (region := cut_region(self._ground, spot)) is not None]
        kinds = self._kinds(list(dict.fromkeys(name for region in regions for name in region.inputs)))
        groups: dict[str, list[Region]] = {}
        for region in regions:
            if all(name in kinds for name in region.inputs):
                groups.setdefault(signature(region, kinds, self._digests), []).append(region)
        return dict(sorted(groups.items(), key=lambda item: -len(item[1])))

    def _kinds(self, names: Sequence[str]) -> dict[str, str]:
        """Return element type and sizes of the values of these names, from a run of the whole model."""
        facts, values = self._ground.facts, values_by_name(self._ground.model)
        dtypes = {name: facts.dtype(values[name]) for name in names if name in values}
        sent = {
            name: str(dtype) for name, dtype in dtypes.items() if dtype is not None and _name(dtype) in NATIVE | NARROW
        }
        given = {name: self._feed[name].shape for name in sent if name in self._feed}
        model = load(self._ground.path, freeze=self._freeze)
        shown = show_shapes(model, [name for name in sent if name not in given])
        path = self._folder / "shapes.onnx"
        save(model, path)
        shapes = self._values(path, list(shown.values())) if shown else []
        sizes = {**given, **{name: tuple(row.tolist()) for name, row in zip(shown, shapes, strict=True)}}
        return {name: f"{sent[name]}{tuple(sizes[name])}" for name in sizes}

    def _values(self, path: Path, outputs: Sequence[str]) -> list[Array]:
        names = list(self._feed)
        request = {"path": str(path), "names": names, "outputs": list(outputs), "custom_ops": self._custom_ops}
        return self._worker.request("values", request, [self._feed[name] for name in names], _LIMITS)[1]

    def _group(self, key: str, regions: Sequence[Region], seconds: float) -> list[Trial]:
        """Return the trials of regions that look the same, from the cache or from the first of them."""
        record = self._cache.get(self._surroundings, key)
        cached = record is not None
        if record is None:
            try:
                record = self._duel(regions[0], seconds)
            except (RequestError, WorkerDied):
                return []
            if record["noise"] > _NOISY:
                return []
            self._cache.put(record, self._surroundings, key)
        return [
            Trial(region.spot, each, Ratio(**record["ratios"][each.label]), record["before_ms"], cached or at > 0)
            for at, region in enumerate(regions)
            for each in region.spot.alternatives
            if each.label in record["ratios"]
        ]

    def _duel(self, region: Region, seconds: float) -> dict[str, Any]:
        paths = {label: self._folder / f"{label}.onnx" for label in region.models}
        for label, path in paths.items():
            save(region.models[label], path)
        feed = self._capture(region.inputs)
        labels = [*paths, BEFORE]
        request = {
            "paths": [str(paths[label]) for label in labels],
            "names": list(feed),
            "seconds": seconds,
            "threads": 1,
            "custom_ops": self._custom_ops,
        }
        reply, (times,) = self._worker.request("duel", request, list(feed.values()), _LIMITS)
        rows = _openings(times, reply["rounds"])
        base = rows[0]
        noise = estimate(rows[-1], base)
        ratios = {
            label: vars(flag(estimate(row, base), noise))
            for label, row, error in zip(labels[1:-1], rows[1:-1], reply["errors"][1:-1], strict=True)
            if error < _FAR
        }
        median = sorted(value for row in base for value in row)[sum(map(len, base)) // 2]
        return {"ratios": ratios, "before_ms": median * 1e3, "noise": noise.half_width}

    def _capture(self, names: Sequence[str]) -> dict[str, Array]:
        """Return the values of these names in the whole model."""
        inner = [name for name in names if name not in self._feed]
        found = {name: self._feed[name] for name in names if name in self._feed}
        if inner:
            model = load(self._ground.path, freeze=self._freeze)
            shown = show_values(model, inner, Facts(model))
            path = self._folder / "values.onnx"
            save(model, path)
            found |= dict(zip(shown, self._values(path, shown), strict=True))
        return found


def _name(dtype: object) -> str:
    try:
        return str(dtype.numpy().name)  # type: ignore[attr-defined]
    except TypeError:
        return ""


def _openings(times: Array, rounds: Sequence[int]) -> list[list[list[float]]]:
    """Split times of [round, model] by model and opening."""
    found: list[list[list[float]]] = [[] for _ in range(times.shape[1])]
    start = 0
    for count in rounds:
        for at, rows in enumerate(found):
            rows.append(times[start : start + count, at].tolist())
        start += count
    return found
