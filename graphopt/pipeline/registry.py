"""Find passes and rules, ours and third parties', through the entry-point group `graphopt.passes`."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import typing
from collections.abc import Iterable
from functools import cache
from typing import Any

from graphopt.errors import PipelineError, nearest
from graphopt.pipeline.passes import Pass, RulesPass
from graphopt.pipeline.presets import PRESETS
from graphopt.rewrite.rule import Rule
from graphopt.rewrite.steps import Step

__all__ = ["GROUP", "Registry", "installed"]

GROUP = "graphopt.passes"


class Registry:
    """All known passes and rules by name; a stage (`simplify`, `fuse`, ...) is the pass of all its rules."""

    def __init__(self, entries: Iterable[tuple[str, Rule | type[Pass]]]) -> None:
        self.passes: dict[str, type[Pass]] = {}
        self.rules: dict[str, Rule] = {}
        self.origin: dict[str, str] = {}
        for origin, entry in entries:
            if entry.name in self.origin:
                raise PipelineError(
                    f"two passes are named {entry.name!r}",
                    where=f"from {self.origin[entry.name]} and from {origin}",
                    advice="uninstall one of the two packages, or rename its pass",
                )
            self.origin[entry.name] = origin
            if isinstance(entry, Rule):
                self.rules[entry.name] = entry
            else:
                self.passes[entry.name] = entry

    @property
    def stages(self) -> dict[str, tuple[Rule, ...]]:
        """The rules of each stage, in the order of registration."""
        found: dict[str, list[Rule]] = {}
        for rule in self.rules.values():
            if rule.stage:
                found.setdefault(rule.stage, []).append(rule)
        return {stage: tuple(rules) for stage, rules in found.items()}

    def names(self) -> set[str]:
        """Return every name that may stand in a pipeline."""
        return {*self.passes, *self.rules, *self.stages}

    def fast_math(self, steps: Iterable[Step]) -> tuple[str, ...]:
        """Name the rules among what was done that hide NaN or infinities."""
        done = {step.rule for step in steps}
        return tuple(sorted(name for name in done & self.rules.keys() if self.rules[name].fast_math))

    def make(self, name: str, options: Iterable[tuple[str, str]] = (), leave_out: Iterable[str] = ()) -> Pass:
        """Make the pass, rule or stage of that name, without the rules named in `leave_out`.

        Raises `PipelineError` if the name or an option is unknown or a value is not of the option's type.
        """
        options = tuple(options)
        if name in self.passes:
            return self.passes[name](**self._options(self.passes[name], options))
        if options:
            raise PipelineError(f"{name!r} takes no options", where=f"got {options[0][0]!r}")
        out = set(leave_out)
        if name in self.rules:
            return RulesPass(name, tuple(rule for rule in (self.rules[name],) if rule.name not in out))
        if name in self.stages:
            return RulesPass(name, tuple(rule for rule in self.stages[name] if rule.name not in out))
        hint = nearest(name, {*self.names(), *PRESETS})
        raise PipelineError(f"unknown pass {name!r}", advice=hint or "`graphopt passes` lists the known ones")

    def _options(self, kind: type[Pass], options: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        types = typing.get_type_hints(kind)
        known = {field.name.replace("_", "-"): field.name for field in dataclasses.fields(kind)}
        found: dict[str, Any] = {}
        for key, text in options:
            if key not in known:
                advice = nearest(key, known) or f"known: {', '.join(known) or 'none'}"
                raise PipelineError(f"{kind.name!r} has no option {key!r}", advice=advice)
            found[known[key]] = _convert(kind.name, key, text, types[known[key]])
        return found


def _convert(name: str, key: str, text: str, wanted: Any) -> Any:
    if wanted is bool and text in {"true", "false"}:
        return text == "true"
    if wanted is bool:
        raise PipelineError(f"{name}{{{key}={text}}}: expected true or false")
    try:
        return wanted(text)
    except (TypeError, ValueError) as error:
        kind = getattr(wanted, "__name__", str(wanted))
        raise PipelineError(f"{name}{{{key}={text}}}: expected {kind}") from error


@cache
def installed() -> Registry:
    """Return the registry of everything installed.

    Each entry point names an object with a `PASSES` sequence of rules and pass classes, or such a sequence, a rule or a
    pass class itself.
    """
    found: list[tuple[str, Rule | type[Pass]]] = []
    points = importlib.metadata.entry_points(group=GROUP)
    for point in sorted(points, key=lambda point: (point.name != "graphopt", point.name)):
        loaded = point.load()
        entries = getattr(loaded, "PASSES", loaded)
        entries = [entries] if isinstance(entries, (Rule, type)) else entries
        found.extend((point.dist.name if point.dist else point.name, entry) for entry in entries)
    return Registry(found)
