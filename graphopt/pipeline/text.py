"""Read and print pipelines as text.

    canonicalize, fixpoint(fold-constants{max-bytes=1024}, simplify), eliminate-dead

An item is the name of a pass, a rule or a preset, with options in braces; `fixpoint(...)` repeats its items until none
changes anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphopt.errors import PipelineError

__all__ = ["Fixpoint", "Item", "PipelineTree", "parse_pipeline", "print_pipeline"]


@dataclass(frozen=True)
class Item:
    """A pass, rule or preset by name, with its options as text."""

    name: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Fixpoint:
    """Items that are repeated until none changes anything."""

    items: PipelineTree


PipelineTree = tuple[Item | Fixpoint, ...]
_TOKEN = re.compile(r"\s*([A-Za-z_][\w.-]*|[(){},]|=\s*(?:\"[^\"]*\"|[^\s,{}()]+))")


def parse_pipeline(text: str) -> PipelineTree:
    """Parse pipeline text.

    Raises `PipelineError` with the place where the text stops making sense.
    """
    tokens: list[tuple[str, int]] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        found = _TOKEN.match(stripped, position)
        if found is None:
            raise _error(text, position)
        tokens.append((found.group(1), found.start(1)))
        position = found.end()
    # Two ends: an option is read as key and value at once.
    items, rest = _items([*tokens, ("", len(text)), ("", len(text))], text)
    if rest[0][0]:
        raise _error(text, rest[0][1])
    return items


def _error(text: str, position: int) -> PipelineError:
    rest = text[position : position + 20]
    return PipelineError(
        "the pipeline text cannot be read",
        where=f"at {rest!r} (character {position})" if rest else f"at its end (character {position})",
        advice="write names separated by commas: canonicalize, fixpoint(fold-constants{max-bytes=1024}, simplify)",
    )


Tokens = list[tuple[str, int]]


def _items(tokens: Tokens, text: str) -> tuple[PipelineTree, Tokens]:
    items: list[Item | Fixpoint] = []
    while tokens[0][0] not in {"", ")"}:
        item, tokens = _item(tokens, text)
        items.append(item)
        if tokens[0][0] != ",":
            break
        tokens = tokens[1:]
    return tuple(items), tokens


def _item(tokens: Tokens, text: str) -> tuple[Item | Fixpoint, Tokens]:
    (name, position), tokens = tokens[0], tokens[1:]
    if not re.match(r"[A-Za-z_]", name):
        raise _error(text, position)
    if name == "fixpoint":
        if tokens[0][0] != "(":
            raise _error(text, tokens[0][1])
        items, tokens = _items(tokens[1:], text)
        if tokens[0][0] != ")":
            raise _error(text, tokens[0][1])
        return Fixpoint(items), tokens[1:]
    options: list[tuple[str, str]] = []
    if tokens[0][0] == "{":
        tokens = tokens[1:]
        while tokens[0][0] != "}":
            (key, at), (value, _) = tokens[0], tokens[1]
            if not re.match(r"[A-Za-z_]", key) or not value.startswith("="):
                raise _error(text, at)
            options.append((key, value[1:].strip().strip('"')))
            tokens = tokens[3:] if tokens[2][0] == "," else tokens[2:]
            if not tokens[0][0]:
                raise _error(text, len(text))
        tokens = tokens[1:]
    return Item(name, tuple(options)), tokens


def print_pipeline(tree: PipelineTree) -> str:
    """Print a pipeline so that parsing the text gives the same tree."""
    parts = []
    for item in tree:
        if isinstance(item, Fixpoint):
            parts.append(f"fixpoint({print_pipeline(item.items)})")
            continue
        options = ", ".join(f"{key}={_quoted(value)}" for key, value in item.options)
        parts.append(f"{item.name}{{{options}}}" if options else item.name)
    return ", ".join(parts)


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[^\s,{}()\"]+", value) else f'"{value}"'
