"""List what is registered, as tables; the documentation's catalogue is made of the same."""

from __future__ import annotations

import dataclasses
import inspect

from graphopt.pipeline.presets import PRESETS
from graphopt.pipeline.registry import Registry
from graphopt.rewrite.rule import Rule
from graphopt.tables import Table

__all__ = ["describe", "list_passes"]


def list_passes(registry: Registry) -> list[Table]:
    """Return one table of presets, stages, passes and rules."""
    rows = [("preset", name, "", "", text) for name, text in PRESETS.items()]
    for stage, rules in registry.stages.items():
        rows.append(("stage", stage, "", "", f"the {len(rules)} rules of this stage, until none applies any more"))
    for name, kind in registry.passes.items():
        rows.append(("pass", name, kind.exactness, registry.origin[name], kind.summary()))
    for name, rule in registry.rules.items():
        rows.append(("rule", name, rule.exactness, registry.origin[name], rule.doc))
    return [Table(("kind", "name", "exactness", "from", "what it does"), tuple(rows))]


def describe(registry: Registry, name: str) -> list[Table]:
    """Return the tables that describe the preset, stage, pass or rule of that name."""
    if name in PRESETS:
        return [Table(("", name), (("pipeline", PRESETS[name]),))]
    if name in registry.rules:
        return [_rule(registry.rules[name], registry.origin[name])]
    if name in registry.stages:
        rows = tuple((rule.name, rule.exactness, rule.doc) for rule in registry.stages[name])
        return [Table(("rule", "exactness", "what it does"), rows)]
    kind = registry.passes[name]
    facts = (("name", name), ("exactness", kind.exactness), ("from", registry.origin[name]), ("does", kind.summary()))
    options = tuple(
        (field.name.replace("_", "-"), str(field.type), str(field.default), _option_doc(kind, field.name))
        for field in dataclasses.fields(kind)
    )
    tables = [Table(("", name), facts, key="pass")]
    return [*tables, Table(("option", "type", "default", "meaning"), options, key="options")] if options else tables


def _rule(rule: Rule, origin: str) -> Table:
    function = getattr(rule.replace, "func", rule.replace)
    replacement = function if isinstance(function, str) else f"{function.__name__}(build, match)"
    rows = (
        ("does", rule.doc),
        ("match", " ; ".join(line.strip() for line in rule.match.strip().splitlines())),
        ("replace", replacement),
        ("where", ", ".join(condition.name for condition in rule.where) or "always"),
        ("exactness", rule.exactness),
        ("stage", rule.stage or "only when named"),
        (
            "opset",
            f"{rule.min_opset} and later" if rule.max_opset > 1 << 20 else f"{rule.min_opset} to {rule.max_opset}",
        ),
        ("targets", ", ".join(rule.targets) or "all"),
        ("needs --fast-math", "yes" if rule.fast_math else "no"),
        ("from", origin),
    )
    return Table(("", rule.name), rows)


def _option_doc(kind: type, name: str) -> str:
    """Return the docstring that stands below a field in the source."""
    lines = inspect.getsource(kind).splitlines()
    for index, line in enumerate(lines):
        if line.strip().startswith(f"{name}:") and index + 1 < len(lines):
            return lines[index + 1].strip().strip('"')
    return ""
