"""Read the lists of operators that ship with graphopt; `docs/operators.py` makes them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["read_list", "tensorrt_operators"]


@cache
def read_list(name: str) -> dict[str, Any]:
    """Read one of the lists: `tensorrt`, `webgpu` or `wasm`."""
    text = files("graphopt.measure.check").joinpath("lists", f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def tensorrt_operators() -> frozenset[str]:
    """Return the operators, without their domains, that TensorRT's parser has an importer for."""
    return frozenset(read_list("tensorrt")["operators"])
