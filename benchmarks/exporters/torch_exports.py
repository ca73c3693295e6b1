"""Export modules by both exporters of PyTorch: `torch_exports.py FOLDER [--modules A,B] [--ways A,B]`.

Writes FOLDER/MODULE/SHAPES/WAY.onnx, `SHAPES` being `fixed` or `dynamic`; what exists is left alone. It runs in the
environment that requirements.txt lists, without graphopt.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from modules import MODULES, Module, build

__all__ = ["WAYS", "Way", "export"]


@dataclass(frozen=True)
class Way:
    """One exporter with its options."""

    name: str
    dynamo: bool
    opset: int
    optimize: bool = True


WAYS = (
    Way("script-18", dynamo=False, opset=18),
    Way("script-20", dynamo=False, opset=20),
    Way("dynamo-18", dynamo=True, opset=18),
    Way("dynamo-18-raw", dynamo=True, opset=18, optimize=False),
    Way("dynamo-20", dynamo=True, opset=20),
    Way("dynamo-20-raw", dynamo=True, opset=20, optimize=False),
)
"""`raw` is without the optimizer that the newer exporter runs on its own."""


def export(made: Module, way: Way, path: Path, *, dynamic: bool) -> None:
    """Write one export; `dynamic` leaves the module's axes open."""
    options: dict[str, Any] = {
        "input_names": list(made.inputs),
        "output_names": list(made.outputs),
        "opset_version": way.opset,
        "dynamo": way.dynamo,
    }
    if way.dynamo:
        options |= {"optimize": way.optimize, "external_data": False, "verbose": False}
    if dynamic and way.dynamo:
        options["dynamic_shapes"] = _dynamic_shapes(made)
    elif dynamic:
        options["dynamic_axes"] = made.axes
    with torch.no_grad():
        torch.onnx.export(made.module, tuple(made.inputs.values()), str(path), **options)


def _dynamic_shapes(made: Module) -> tuple[Any, ...]:
    """Return the axes in the form of the newer exporter: one entry for each parameter, `*past` as one tuple."""
    named = [{axis: torch.export.Dim(word) for axis, word in made.axes[name].items()} for name in made.inputs]
    past = [axes for name, axes in zip(made.inputs, named, strict=True) if name.startswith("past_")]
    return (*named[: len(named) - len(past)], tuple(past)) if past else tuple(named)


def main() -> int:
    """Export all that is missing; exit 1 if an exporter failed."""
    parser = argparse.ArgumentParser(description="Export modules by both exporters of PyTorch.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--modules", default=",".join(MODULES), help="names, with commas (default: all)")
    parser.add_argument("--ways", default=",".join(way.name for way in WAYS), help="names, with commas (default: all)")
    parser.add_argument("--shapes", default="fixed,dynamic", help="with a comma (default: both)")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    # The fused kernel of inference has no counterpart in ONNX; the older exporter would trace it.
    torch.backends.mha.set_fastpath_enabled(False)
    failed = False
    for name in given.modules.split(","):
        for way in WAYS:
            for shapes in given.shapes.split(","):
                path = given.folder / name / shapes / f"{way.name}.onnx"
                if way.name not in given.ways.split(",") or path.exists():
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    # A batch of 1 would be taken for a size that never varies.
                    dynamic = shapes == "dynamic"
                    export(build(name, 2 if dynamic else 1), way, path, dynamic=dynamic)
                except Exception as error:  # noqa: BLE001 - an exporter raises whatever its parts raise
                    print(f"{name} {shapes} {way.name}: {str(error).strip().splitlines()[-1][:300]}", file=sys.stderr)
                    failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
