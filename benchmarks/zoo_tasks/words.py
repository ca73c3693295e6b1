"""Read words and pairs of texts from the docstrings of a package whose wheel the zoo has downloaded."""

from __future__ import annotations

import ast
import functools
import re
import zipfile
from collections import Counter
from pathlib import Path

__all__ = ["pairs", "words"]


@functools.cache
def _docstrings(wheel: Path) -> tuple[tuple[str, ...], ...]:
    """Return the paragraphs of the docstring of each function and class, by file and place."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith(".py") and "/tests/" not in name]
        trees = [ast.parse(archive.read(name)) for name in names]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    texts = [text for node in nodes if (text := ast.get_docstring(node))]
    return tuple(tuple(" ".join(part.split()) for part in re.split(r"\n\s*\n", text)) for text in texts)


@functools.cache
def words(wheel: Path, count: int = 2000) -> tuple[str, ...]:
    """Return the `count` most frequent lower-case words of 3 to 12 letters."""
    counted = Counter(
        word for paragraphs in _docstrings(wheel) for text in paragraphs for word in re.findall(r"[a-z]{3,12}", text)
    )
    ordered = sorted(counted, key=lambda word: (-counted[word], word))
    return tuple(ordered[:count])


@functools.cache
def pairs(wheel: Path) -> tuple[tuple[str, str], ...]:
    """Return first line and first paragraph of prose of docstrings that have both, no text twice."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for summary, *rest in _docstrings(wheel):
        body = rest[0] if rest else ""
        prose = re.match(r"[A-Z][a-z]", body) and not re.match(r"(Parameters|Returns|Examples|Notes|See)\b", body)
        if prose and 20 < len(summary) < 160 and len(body) > 80 and summary not in found and body not in taken:
            found[summary] = body
            taken.add(body)
    return tuple(found.items())
