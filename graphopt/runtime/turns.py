"""Time contenders in turns, each in a process of its own, with the noise measured beside them."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from graphopt.errors import MeasureError
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import RequestError, Worker
from graphopt.runtime.providers import known_name
from graphopt.runtime.ratios import FEW_OPENINGS, Ratio, estimate, flag

if TYPE_CHECKING:
    from graphopt.runtime.frames import Array

__all__ = ["TWIN", "Contender", "Stand", "Timing", "take_turns", "time_paired"]

TWIN = "twin"
"""The label of the first contender, opened a second time: what differs between the two is noise."""

_LIMITS = Limits(wall_seconds=600)
_BATCH_SECONDS = 0.05
_MAX_BATCH = 500
_MOST_OPENINGS = 12
_OPENING_SHARE = 0.3
_FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Contender:
    """One model on one provider; `options` are the fields of `RunOptions`, `environment` is set in its process."""

    label: str
    path: Path
    ep: str = "cpu"
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known_name(self.ep)


class Stand:
    """A contender in its own process. What it is asked for raises `RequestError` or `WorkerDied` if it fails."""

    def __init__(
        self, contender: Contender, limits: Limits = _LIMITS, *, warm_ups: int | None = None, callers: int = 1
    ) -> None:
        self.contender = contender
        self.warm_ups = warm_ups
        self.callers = callers
        self.facts: dict[str, Any] = {}
        self._limits = limits
        # In small pages, where the weights happen to lie makes equal processes differ by some percent.
        pages = {} if "GLIBC_TUNABLES" in os.environ else {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
        self._worker = Worker("graphopt.runtime.station:Station", environment={**pages, **contender.environment})

    def __enter__(self) -> Self:
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    def restart(self) -> None:
        """Replace the process by one that knows nothing yet."""
        self._worker.close()
        self._worker.start()

    def ask(self, op: str, arrays: Sequence[Array] = (), **request: Any) -> tuple[dict[str, Any], list[Array]]:
        """Ask the process to serve `op`."""
        return self._worker.request(op, request, arrays, self._limits)

    def open(self) -> dict[str, Any]:
        """Open the model, anew if it is open, and return what the runtime says of it.

        Raises `RequestError` if the provider does not take this model, `MeasureError` if it cannot be the requested
        provider that runs.
        """
        one = self.contender
        options = {"threads": 1, **one.options, "config": dict(one.options.get("config", {}))}
        reply, _ = self.ask("open", ep=one.ep, path=str(one.path.resolve()), options=options, callers=self.callers)
        if reply.get("refused"):
            raise RequestError("load", reply["not_usable"])
        if "not_usable" in reply:
            raise MeasureError(
                f"{one.ep} would not run {one.path.name}",
                where=reply["not_usable"],
                advice="`graphopt env` lists what is usable here",
            )
        self.facts = reply
        return reply

    def feed(self, feed: Mapping[str, Array]) -> None:
        """Send the feed that is timed."""
        self.ask("feed", list(feed.values()), key="", names=list(feed))

    def first(self) -> tuple[float, float]:
        """Run the first inference and some more; return the seconds of the first and of the last."""
        reply, _ = self.ask("first", key="", warm_ups=self.warm_ups)
        return reply["first"], reply["warm"]

    def batch(self, count: int) -> Array:
        """Return the seconds of `count` inferences, one after the other."""
        return self.ask("batch", key="", count=count)[1][0]

    def outputs(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Run one inference on `feed` and return the outputs that are arrays."""
        self.ask("feed", list(feed.values()), key="outputs", names=list(feed))
        reply, arrays = self.ask("outputs", key="outputs")
        return dict(zip(reply["names"], arrays, strict=True))


@dataclass(frozen=True)
class Timing:
    """Seconds of one inference by label, opening and round; ratios to the first label.

    `noise` is the ratio of the first contender to itself. `samples` holds each single inference. `batch` is the number
    of inferences in a round.
    """

    rounds: Mapping[str, tuple[tuple[float, ...], ...]]
    samples: Mapping[str, tuple[float, ...]]
    ratios: Mapping[str, Ratio]
    noise: Ratio
    batch: int

    @property
    def count(self) -> int:
        """The number of rounds."""
        return sum(map(len, self.rounds[TWIN]))

    def ratio(self, label: str, base: str, seed: int = 0) -> Ratio:
        """Return the ratio of `label` to `base`, whichever two those are, held against the noise."""
        return flag(estimate(self.rounds[label], self.rounds[base], seed), self.noise)

    def median_ms(self, label: str) -> float:
        """Return the median latency of `label` over the rounds, in milliseconds."""
        return statistics.median(value for row in self.rounds[label] for value in row) * 1e3


class _Rounds:
    """Collect the times of all stands, opening by opening."""

    def __init__(self, stands: Mapping[str, Stand], seed: int) -> None:
        self.stands = stands
        self.seed = seed
        self.order = list(stands)
        self.generator = random.Random(seed)  # noqa: S311 - no secret
        self.medians: dict[str, list[tuple[float, ...]]] = {label: [] for label in stands}
        self.samples: dict[str, list[float]] = {label: [] for label in stands}
        self.batch = 1

    def open(self, *, again: bool) -> None:
        """Open all models; the slowest sets how many inferences make a round."""
        for stand in self.stands.values():
            if again:
                stand.open()
        slowest = max(stand.first()[1] for stand in self.stands.values())
        if not again:
            self.batch = max(1, min(_MAX_BATCH, int(_BATCH_SECONDS / max(slowest, 1e-6))))

    def run(self, enough: Callable[[int], bool]) -> None:
        """Run rounds until `enough` of them; each second one mirrors the order of the one before it (ABBA)."""
        rows: dict[str, list[float]] = {label: [] for label in self.stands}
        turn = 0
        while not enough(turn):
            if turn % 2:
                self.order.reverse()
            else:
                self.generator.shuffle(self.order)
            for label in self.order:
                seconds = self.stands[label].batch(self.batch)
                rows[label].append(float(statistics.median(seconds.tolist())))
                self.samples[label].extend(seconds.tolist())
            turn += 1
        for label, row in rows.items():
            self.medians[label].append(tuple(row))

    def ratio(self, label: str, base: str) -> Ratio:
        return estimate(self.medians[label], self.medians[base], self.seed)

    def timing(self, base: str) -> Timing:
        noise = self.ratio(TWIN, base)
        ratios = {label: flag(self.ratio(label, base), noise) for label in self.stands if label not in {base, TWIN}}
        return Timing(
            {label: tuple(rows) for label, rows in self.medians.items()},
            {label: tuple(values) for label, values in self.samples.items()},
            ratios,
            noise,
            self.batch,
        )


def take_turns(stands: Mapping[str, Stand], *, budget_s: float = 10.0, width: float = 0.01, seed: int = 0) -> Timing:
    """Time stands that are open and fed, in rounds of a seeded and mirrored order; the first is the base.

    `stands[TWIN]` must be the first contender again. The models are opened anew several times on the way where that is
    cheap, because where their memory lies makes a difference of up to some percent. Stops when every interval's half
    width is below `width`, or when `budget_s` seconds are spent, but not before three rounds.

    Raises `RequestError` if a model does not run, `WorkerDied` if it ends its process.
    """
    start = time.perf_counter()
    rounds = _Rounds(stands, seed)
    base = next(iter(stands))
    begin = time.perf_counter()
    rounds.open(again=False)
    cost = time.perf_counter() - begin + sum(stand.facts["seconds"] for stand in stands.values())
    openings = max(1, int(min(_MOST_OPENINGS, _OPENING_SHARE * budget_s / cost)))
    for opening in range(openings):
        if opening:
            rounds.open(again=True)
        end = start + budget_s * (opening + 1) / openings
        rounds.run(lambda turn, end=end: turn >= _FEWEST_ROUNDS and time.perf_counter() >= end)  # type: ignore[misc]
        if opening + 1 >= FEW_OPENINGS and all(
            rounds.ratio(label, base).half_width < width for label in stands if label != base
        ):
            break
    return rounds.timing(base)


def time_paired(
    paths: Mapping[str, str | Path],
    feed: Mapping[str, Array],
    *,
    threads: int = 1,
    budget_s: float = 10.0,
    seed: int = 0,
    custom_ops: Sequence[str | Path] = (),
) -> Timing:
    """Time the models of `paths` on one feed by onnxruntime on the CPU, with its optimizations on.

    The first label is the base of all ratios; it is opened twice.

    Raises `RequestError` if a model does not run, `WorkerDied` if it ends its process.
    """
    options = {"threads": threads, "custom_ops": [str(Path(path).resolve()) for path in custom_ops]}
    base = next(iter(paths))
    with ExitStack() as stack:
        stands = {
            label: stack.enter_context(Stand(Contender(label, Path(path), options=options)))
            for label, path in (*paths.items(), (TWIN, paths[base]))
        }
        for stand in stands.values():
            stand.open()
            stand.feed(feed)
        return take_turns(stands, budget_s=budget_s, seed=seed)
