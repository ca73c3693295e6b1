"""The option --fail-if: thresholds that are read before any work is done, and held after the output was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from graphopt.errors import UsageError

if TYPE_CHECKING:
    from graphopt.measure.gate import Gate

__all__ = ["checked_gates", "gating", "hold"]


def _parsed(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[Gate, ...]:
    del context, parameter
    if not value:
        return ()
    from graphopt.measure.gate import parse_gates

    return parse_gates(value)


gating = click.option(
    "--fail-if",
    "gates",
    multiple=True,
    metavar="EXPR",
    callback=_parsed,
    help="Exit 1, after everything was written, if EXPR holds: METRIC, < or > (or <=, >=), VALUE; repeatable. METRIC "
    "is latency, memory, size, parameters, macs, nodes, rel_err or score. A VALUE with a sign is the change from the "
    "first model (on the same provider and threads, if it is not the first itself): "
    "latency>+5%, size>+1MB, score<-0.01; one without is absolute: latency>5ms, rel_err>0.01, "
    "size>10MB. Noise never fails a gate: latency must be beyond the bound with all of its 95 % interval and by more "
    "than the first model differs from itself, memory by more than two processes of the first model do. What was not "
    "measured fails.",
)


def checked_gates(gates: tuple[Gate, ...], known: Mapping[str, str], *, alone: bool = False) -> tuple[Gate, ...]:
    """Return gates that can be judged.

    `known` are metrics that cannot be judged here, with what to do about it; `alone` says that there is no base.

    Raises `UsageError` if one cannot be.
    """
    for gate in gates:
        if gate.metric in known:
            raise UsageError(f"--fail-if {gate.text!r}: {gate.metric} is not measured here", advice=known[gate.metric])
        if alone and gate.kind != "absolute":
            raise UsageError(
                f"--fail-if {gate.text!r} is a change, and there is one model and nothing to compare it with",
                advice="name the model before as well, or give a bound without a sign",
            )
    return gates


def hold(gates: tuple[Gate, ...], figures: Mapping[str, Callable[[str], Any]]) -> None:
    """Raise `ThresholdMissed` with one line for each gate that is missed."""
    if not gates:
        return
    from graphopt.measure.gate import ThresholdMissed, judge

    if missed := judge(gates, figures):
        raise ThresholdMissed(f"--fail-if: {len(missed)} missed", where="\n  ".join(missed))
