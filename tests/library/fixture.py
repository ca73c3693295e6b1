"""Read and write fixture files: cases of a graph before and after a rule."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, numpy_helper, parser

__all__ = ["FIXTURES", "HEADER", "Case", "find_fixture", "model_of", "read_cases", "write_cases"]

FIXTURES = Path(__file__).parent / "fixtures"
HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
"""What a graph text without a header stands under."""

_TITLE = re.compile(r"^=== (rewrite|keep): (.+)$", re.MULTILINE)
_AFTER = "--- after\n"
_CHOICE = re.compile(r"^\s*# (\w+) in (.+)$", re.MULTILINE)
_DRAWN = re.compile(r"^\s*# (\w+) is drawn: (\[.*\])(?: (\w+))?$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One case: `kind` is `rewrite` or `keep`; `after` is empty for `keep`.

    A comment line `# name in [[2, 3], [6, 1]]` in the text says what the input `name` is drawn from.
    """

    kind: str
    title: str
    before: str
    after: str = ""

    @property
    def choices(self) -> dict[str, list[Any]]:
        """What the named inputs are drawn from."""
        return {name: json.loads(text) for name, text in _CHOICE.findall(self.before)}


def find_fixture(name: str) -> Path | None:
    """Return the fixture file of the rule of that name (kebab-case), or None."""
    return next(iter(sorted(FIXTURES.glob(f"*/{name.replace('-', '_')}.txt"))), None)


def read_cases(path: Path) -> tuple[Case, ...]:
    """Read all cases of a file.

    Raises `ValueError` on text outside of a case, a `rewrite` without its `after` part, or a `keep` with one.
    """
    parts = _TITLE.split(path.read_text(encoding="utf-8"))
    if parts[0].strip():
        msg = f"{path.name}: text before the first case"
        raise ValueError(msg)
    cases = []
    for kind, title, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        before, found, after = body.partition(_AFTER)
        if bool(found) != (kind == "rewrite"):
            msg = f"{path.name}: case {title!r}: `--- after` belongs to `rewrite` cases"
            raise ValueError(msg)
        cases.append(Case(kind, title, before.strip("\n"), after.strip("\n")))
    return tuple(cases)


def write_cases(path: Path, cases: tuple[Case, ...]) -> None:
    """Write the cases back, as `read_cases` reads them."""
    text = ""
    for case in cases:
        text += f"=== {case.kind}: {case.title}\n{case.before}\n"
        if case.kind == "rewrite":
            text += f"{_AFTER}{case.after}\n"
    path.write_text(text, encoding="utf-8")


def model_of(text: str) -> ModelProto:
    """Parse the text of a graph; a header is put before it if it has none.

    A comment line `# w is drawn: [64, 64, 3, 3] float32` makes `w` a constant of that shape, too big to be written out.
    """
    lines = text.lstrip()
    model = parser.parse_model(lines if lines.startswith("<") else f"{HEADER}\n{lines}")
    for name, shape, dtype in _DRAWN.findall(text):
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        sizes = json.loads(shape)
        array = generator.standard_normal(sizes) / np.sqrt(np.prod(sizes[1:]))
        model.graph.initializer.append(numpy_helper.from_array(array.astype(dtype or "float32"), name))
    return model
