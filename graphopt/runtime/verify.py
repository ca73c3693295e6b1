"""Compare a result with its original by running both in the child, one after the other."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graphopt.runtime.budget import Budget
from graphopt.runtime.difference import Difference
from graphopt.runtime.feeds import FeedKind, FeedsPlan, assignments, draw, undrawable
from graphopt.runtime.process import RequestError, Worker, WorkerDied
from graphopt.runtime.sizes import resolve
from graphopt.runtime.tolerance import Tolerance
from graphopt.runtime.verdict import Verification, fault, summarize

if TYPE_CHECKING:
    from graphopt.runtime.frames import Array

__all__ = ["Budget", "Verifier", "verify"]

_FEW_ELEMENTS = 64
_EMPTY = "all results are empty"
_PACKED_BYTES = 64 << 20


@dataclass(frozen=True)
class _Feed:
    key: str
    kind: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    hinted: bool = True


@dataclass
class _Reference:
    """What is known of the original: why it does not run, or what it was fed and where its results lie."""

    trouble: str = ""
    generation: int = 0
    interface: dict[str, Any] = field(default_factory=dict)
    feeds: list[_Feed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    full: bool = True
    slow: bool = False
    seconds: float = 0.0


class _Lost(Exception):  # noqa: N818 - it names an event
    """Say that the child with the session and the results is gone."""


class _NotRun(Exception):  # noqa: N818 - it names an outcome
    """Say why the original cannot be run."""


def _one_line(error: BaseException) -> str:
    text = getattr(error, "detail", "") or str(error)
    line = next((line for line in text.splitlines() if line.strip()), "no message")
    return "".join(char if char.isprintable() else "?" for char in line)[:300]


class Verifier:
    """Run the original once, keep its results in the child, and judge any number of results against them."""

    def __init__(self, worker: Worker, before: str | Path, plan: FeedsPlan, budget: Budget | None = None) -> None:
        self.worker = worker
        self.before = Path(before)
        self.plan = plan
        self.budget = budget = budget or Budget()
        self._bytes = max(self.before.stat().st_size, plan.weight_bytes)
        self._limits = budget.limits(self._bytes)
        self._threads = budget.threads or min(2, os.cpu_count() or 1)
        self._reference: _Reference | None = None
        self._generation = 0
        self._ahead: threading.Thread | None = None
        self._stopped = False

    def observe_ahead(self) -> None:
        """Begin to observe in a thread of its own, once; the worker serves others in between."""

        def run() -> None:
            # Whatever it is, it comes again to who asks for the results.
            with contextlib.suppress(Exception):
                self._observe_original()

        if self._ahead is None:
            self._ahead = threading.Thread(target=run, daemon=True)
            self._ahead.start()

    def stop(self) -> None:
        """End what `observe_ahead` began; the worker may go on."""
        if self._ahead is not None and self._ahead.is_alive():
            self._stopped = True
            self.worker.interrupt()
            self._ahead.join()

    def observe(self) -> str:
        """Run the original unless its results are at hand; return why that is not possible, or the empty string."""
        if self._ahead is not None:
            self._ahead.join()
        return self._observe_original()

    def _observe_original(self) -> str:
        known = self._reference
        # A child that died since is replaced now, so that its generation tells.
        self.worker.start()
        if known is not None and (known.trouble or known.generation == self.worker.generation):
            return known.trouble
        skip: set[str] = set()
        while (reference := self._try_original(skip)) is None:
            if self._stopped:
                return "stopped"
        if self.worker.pid is not None:
            self.worker.request("close", {})
        self._reference = reference
        return reference.trouble

    def _try_original(self, skip: set[str]) -> _Reference | None:
        """Run the original without the feeds of the kinds `skip`; None if that is to be tried again."""
        reference = _Reference()
        try:
            self._observe(reference, skip)
        except _Lost:
            return None
        except _NotRun as error:
            reference.trouble = str(error)
        except RequestError as error:
            reference.trouble = f"the runtime cannot run the original: {_one_line(error)}"
        except WorkerDied as error:
            kind = next((kind for kind in self._optional(reference) if kind not in skip), "")
            if kind:
                # An optional feed crashed the original: leave it out, as the results are lost with the child.
                skip.add(kind)
                return None
            reference.trouble = f"the original ends the runtime's process: {_one_line(error)}"
        return reference

    def judge(self, after: str | Path, tolerance: Tolerance) -> Verification:
        """Run the result and compare it with the original."""
        if self.observe():
            return Verification("not-run", self._known.trouble)
        try:
            return self._judge(Path(after), tolerance)
        except (WorkerDied, RequestError) as error:
            if isinstance(error, RequestError) and error.kind == "request":
                raise
            return Verification("different", f"the result does not run: {_one_line(error)}")

    @property
    def _known(self) -> _Reference:
        if self._reference is None:
            raise ValueError("observe() comes first")
        return self._reference

    def _ask(self, op: str, arguments: dict[str, Any], arrays: Sequence[Array] = ()) -> dict[str, Any]:
        try:
            reply = self.worker.request(op, arguments, arrays, self._limits)[0]
        except RequestError as error:
            if op != "open" and self.worker.generation != self._generation:
                # Another user of the worker ended the child in between.
                raise _Lost from error
            raise
        if op == "open":
            self._generation = self.worker.generation
        return reply

    def _open(self, path: Path, nudged: str = "", replaced: Sequence[str] = ()) -> dict[str, Any]:
        request = {
            "path": str(path.resolve()),
            "threads": self._threads,
            "custom_ops": [str(Path(library).resolve()) for library in self.plan.custom_ops],
            "pack": self._bytes <= _PACKED_BYTES,
            "nudged": nudged,
            "replaced": list(replaced),
        }
        return self._ask("open", request)

    def ordinary_feeds(self) -> list[Mapping[str, Array]]:
        """Return the feeds without special values that the original ran on; none if it does not run."""
        if self.observe():
            return []
        if self.plan.given:
            return list(self.plan.given[: len(self._known.feeds)])
        hints, seed = self.plan.hints, self.plan.seed
        return [
            draw(
                self.plan.specs,
                seed + int(each.key),
                each.sizes,
                cast("FeedKind", each.kind),
                hints if each.hinted else None,
            )
            for each in self._known.feeds
            if each.kind not in {"special", "extreme"}
        ]

    # The original.

    @staticmethod
    def _optional(reference: _Reference) -> list[str]:
        """Name the optional feeds, the one that was tried last first."""
        return [note.removeprefix("trying ") for note in reversed(reference.notes) if note.startswith("trying ")]

    def _observe(self, reference: _Reference, skip: set[str]) -> None:
        if not self.plan.given and (why := undrawable(self.plan.specs)):
            raise _NotRun(f"no feed can be drawn: {why}")
        reference.interface = self._open(self.before)
        reference.generation = self._generation
        if self.plan.given:
            self._observe_given(reference)
            return
        first = self._search(reference, "normal", {})
        if first is None and _EMPTY in reference.notes:
            reference.full = False
            first = self._search(reference, "normal", {})
        if first is None:
            raise _NotRun(f"no drawn feed runs: {(reference.notes or ['no size fits'])[0]}")
        reference.notes = [] if reference.full else [_EMPTY]
        if reference.slow or self.budget.feeds < 2:
            return
        if "second" not in skip:
            reference.notes.append("trying second")
            self._observe_second(reference, first)
        if "special" not in skip and self.budget.feeds > 2:
            reference.notes.append("trying special")
            self._observe_special(reference, first)
        reference.notes = [note for note in reference.notes if not note.startswith("trying ")]
        reference.notes += [f"the {kind} feed crashes the original" for kind in sorted(skip)]

    def _observe_given(self, reference: _Reference) -> None:
        for feed in itertools.islice(self.plan.given, self.budget.feeds):
            self._run_before(reference, _Feed(f"{len(reference.feeds)}", "given"), feed)
            if reference.slow:
                return

    def _observe_second(self, reference: _Reference, first: _Feed) -> None:
        """Feed every symbolic dim with another size, or other values if that is not possible."""
        free = {name: size for name, size in first.sizes.items() if name not in self.plan.fixed}
        if free and self._search(reference, "positive", free) is not None:
            return
        if free:
            reference.notes.append("no second size runs")
        self._attempt(reference, "positive", first.sizes, hinted=first.hinted)

    def _observe_special(self, reference: _Reference, first: _Feed) -> None:
        floats = any("float" in spec.dtype for spec in self.plan.specs)
        kind: FeedKind = "normal" if not floats else "extreme" if self.plan.extremes else "special"
        elements = sum(math.prod(resolve(spec, first.sizes)) for spec in self.plan.specs)
        # A few elements have no room for all special values.
        model = reference.feeds[-1] if elements < _FEW_ELEMENTS else first
        if not self._attempt(reference, kind, model.sizes, hinted=model.hinted):
            reference.notes.append(f"the {kind} feed does not run")

    def _search(self, reference: _Reference, kind: FeedKind, avoid: Mapping[str, int]) -> _Feed | None:
        """Walk through likely sizes until the original runs, with hints first and then without them."""
        start = time.monotonic()
        orders = [True] if not self._integers else [False, True] if avoid and self._selects else [True, False]
        for share, hinted in enumerate(orders, 1):
            for sizes in assignments(self.plan.specs, self.plan.fixed, avoid):
                if self._attempt(reference, kind, sizes, hinted=hinted):
                    return reference.feeds[-1]
                if time.monotonic() - start > self.budget.search_seconds * share / len(orders):
                    break
        return None

    @property
    def _integers(self) -> bool:
        return any(spec.dtype.startswith(("int", "uint")) for spec in self.plan.specs)

    @property
    def _selects(self) -> bool:
        """Whether a scalar input is compared with constants, and so may select a branch."""
        return any(spec.dims == () and spec.name in self.plan.hints for spec in self.plan.specs)

    def _attempt(self, reference: _Reference, kind: FeedKind, sizes: Mapping[str, int], *, hinted: bool) -> bool:
        hints = self.plan.hints if hinted else None
        at = len(reference.feeds)
        arrays = draw(self.plan.specs, self.plan.seed + at, sizes, kind, hints)
        try:
            return self._run_before(reference, _Feed(f"{at}", kind, dict(sizes), hinted), arrays)
        except RequestError as error:
            if not reference.feeds:
                reference.notes.append(_one_line(error))
            return False

    def _run_before(self, reference: _Reference, feed: _Feed, arrays: Mapping[str, Array]) -> bool:
        self._ask("feed", {"key": feed.key, "names": list(arrays)}, list(arrays.values()))
        reply = self._ask("run", {"feed": feed.key, "key": f"before {feed.key}"})
        if not reply["elements"] and feed.kind != "given" and reference.full:
            reference.notes.append(_EMPTY)
            return False
        reference.seconds += reply["seconds"]
        reference.slow = reference.slow or reply["seconds"] > self.budget.slow_seconds
        reference.feeds.append(feed)
        return True

    # The result.

    def _judge(self, after: Path, tolerance: Tolerance) -> Verification:
        reference = self._known
        if self._open(after) != reference.interface:
            return Verification("different", "the names or types of inputs or outputs changed")
        seconds = reference.seconds
        found: list[tuple[_Feed, Difference]] = []
        for feed in reference.feeds:
            seconds += self._ask("run", {"feed": feed.key, "key": "after"})["seconds"]
            found.extend((feed, one) for one in self._compare(feed, "after"))
        self._ask("forget", {"keys": ["after"]})
        self._ask("close", {})
        return self._conclude(found, tolerance, seconds)

    def _compare(self, feed: _Feed, key: str) -> list[Difference]:
        names = [name for name, _ in self._known.interface["outputs"]]
        reply = self._ask("compare", {"before": f"before {feed.key}", "after": key, "names": names})
        return [Difference(**one) for one in reply["differences"]]

    def _conclude(self, found: list[tuple[_Feed, Difference]], tolerance: Tolerance, seconds: float) -> Verification:
        reference = self._known
        if self.plan.random:
            bad = [f"output {one.name!r} {one.problem}" for _, one in found if one.problem]
        else:
            bad = [text for feed, one in found if (text := fault(one, tolerance, feed.kind))]
        conditioned = False
        if bad and not self.plan.random:
            noise = {feed.key: self._noise(feed, tolerance) for feed in {id(feed): feed for feed, _ in found}.values()}
            still = [
                text
                for feed, one in found
                if (text := fault(one, tolerance, feed.kind, noise[feed.key].get(one.name, ())))
            ]
            conditioned, bad = not still, still
        return Verification(
            status="different" if bad else "same",
            reason=bad[0] if bad else "",
            outputs=summarize((feed.kind, one) for feed, one in found),
            feeds=len(reference.feeds),
            sizes=tuple(feed.sizes for feed in reference.feeds),
            kinds=tuple(feed.kind for feed in reference.feeds),
            conditioned=conditioned,
            values_compared=not self.plan.random,
            notes=tuple(reference.notes),
            inference_seconds=seconds,
        )

    def _noise(self, feed: _Feed, tolerance: Tolerance) -> dict[str, list[Difference]]:
        """Measure what the smallest change of its inputs, or of `nudgeable` initializers, does to the original."""
        found: dict[str, list[Difference]] = {}
        try:
            for seed in (1, 2):
                self._run_nudged(feed, tolerance, seed)
                for one in self._compare(feed, "nudged"):
                    found.setdefault(one.name, []).append(one)
        except (RequestError, WorkerDied, _Lost):
            return {}
        self._ask("forget", {"keys": ["nudged"]})
        return found

    def _run_nudged(self, feed: _Feed, tolerance: Tolerance, seed: int) -> None:
        step = {"epsilon": tolerance.epsilon("float32"), "seed": seed}
        moved = self._ask("nudge", {"source": feed.key, "key": "nudged", **step})["moved"]
        if moved or not self.plan.nudgeable:
            self._open(self.before)
            self._ask("run", {"feed": "nudged", "key": "nudged"})
            return
        weights = self.plan.nudgeable
        self._ask("feed", {"key": "weights", "names": list(weights)}, list(weights.values()))
        self._ask("nudge", {"source": "weights", "key": "weights", **step})
        self._open(self.before, "weights", list(weights))
        self._ask("run", {"feed": feed.key, "key": "nudged"})


def verify(
    worker: Worker,
    before: str | Path,
    after: str | Path,
    plan: FeedsPlan,
    tolerance: Tolerance,
    budget: Budget | None = None,
) -> Verification:
    """Run the original and the result on the same feeds and compare all outputs.

    Both run in the child, one at a time, with the runtime's optimizer off: two normal feeds, the second of other sizes
    where dims are symbolic, and one with special values.
    """
    return Verifier(worker, before, plan, budget).judge(after, tolerance)
