"""Write the documents that follow from the program: the catalogue of passes and the reference of the command line.

    python docs/generate.py

A test compares what is checked in with what this makes.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path

import rich_click as click

from graphopt.cli.app import app
from graphopt.pipeline.catalogue import describe
from graphopt.pipeline.presets import PRESETS
from graphopt.pipeline.registry import Registry, installed
from graphopt.rewrite.rule import Rule

__all__ = ["documents"]

FOLDER = Path(__file__).parent
OURS = "graphopt"
NOTICE = "<!-- Made by docs/generate.py; change the program instead. -->"
EXIT_CODES = (
    ("0", "done; what was rolled back or not verified is said in loud lines", "OUT, always a valid model"),
    ("1", "a threshold of `--fail-if` missed", "OUT, all that was asked for"),
    ("2", "usage, unknown names included", "nothing"),
    ("3", "an invalid model, data or task", "nothing"),
    (
        "4",
        "valid, but not supported; of `check --target`: it would not run there",
        "nothing; `check` prints its findings",
    ),
    ("5", "OUT cannot be written; an old file is intact", "nothing"),
    ("6", "models differ; verification failed under `--on-mismatch fail` or `--require-verify`", "nothing"),
    (
        "7",
        "the requested execution provider is not what would run; of `check --target`: it cannot be asked here",
        "no number; `check` prints what it found on the other targets",
    ),
    ("70", "a bug in graphopt, or a pass that raised", "nothing"),
    ("130", "interrupted", "nothing"),
)


def documents() -> dict[Path, str]:
    """Return the text of each generated document under its path."""
    return {FOLDER / "passes.md": _catalogue(installed()), FOLDER / "cli.md": _reference()}


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(header), line(["---"] * len(header)), *map(line, rows), ""]


def _catalogue(registry: Registry) -> str:
    ours = {name: rule for name, rule in registry.rules.items() if registry.origin[name] == OURS}
    lines = ["# Passes and rules", "", NOTICE, ""]
    lines += ["`graphopt passes NAME` says the same on the command line, for rules of other packages too.", ""]
    lines += ["## Presets", "", *_table(("name", "pipeline"), ((n, f"`{text}`") for n, text in PRESETS.items()))]
    lines += ["## Passes", ""]
    for name, kind in sorted(registry.passes.items()):
        if registry.origin[name] == OURS:
            lines += [f"### {name}", "", f"{kind.summary()} Exactness: {kind.exactness}.", ""]
            if dataclasses.fields(kind):
                table = describe(registry, name)[1]
                lines += _table(table.header, table.rows)
    for stage in dict.fromkeys(rule.stage for rule in ours.values()):
        rules = sorted((rule for rule in ours.values() if rule.stage == stage), key=lambda rule: rule.name)
        lines += [f"## Rules of {stage}" if stage else "## Rules that run only when named", ""]
        for rule in rules:
            lines += _rule(rule)
    return "\n".join(lines).rstrip() + "\n"


def _rule(rule: Rule) -> list[str]:
    conditions = [f"- {condition.name}" for condition in rule.where]
    limits = [f"opset {rule.min_opset} and later"] if rule.min_opset > 1 else []
    limits += [f"opset {rule.max_opset} and earlier"] if rule.max_opset < 1 << 30 else []
    limits += [f"targets {', '.join(rule.targets)}"] if rule.targets else []
    limits += ["only with `--fast-math`"] if rule.fast_math else []
    match = [" ".join(line.split()) for line in rule.match.strip().splitlines()]
    shown = [*match, f"=> {rule.replace}"] if isinstance(rule.replace, str) else match
    said = "; ".join([f"Exactness: {rule.exactness}", *limits])
    where = ["Where:", "", *conditions, ""] if conditions else []
    return [f"### {rule.name}", "", inspect.cleandoc(rule.doc), f"{said}.", "", "```text", *shown, "```", "", *where]


def _reference() -> str:
    lines = ["# Command line", "", NOTICE, "", "`graphopt COMMAND --help` says the same.", ""]
    for name, command in sorted(app.commands.items()):
        context = click.Context(command, info_name=f"graphopt {name}")
        records = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## {name}", "", "```text", f"graphopt {name} {usage}", "```", ""]
        lines += [inspect.cleandoc(command.help or ""), ""]
        lines += _table(("option", "meaning"), ((f"`{form}`", text) for form, text in filter(None, records)))
    lines += ["## Exit codes", "", *_table(("code", "meaning", "what was written"), EXIT_CODES)]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
        print(path)
