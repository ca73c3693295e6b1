"""Rewrite ONNX graphs after export, and prove that they still compute the same.

    import graphopt
    result = graphopt.optimize("model.onnx")
    result.save("model.opt.onnx")

Everything here is loaded on first use, so that importing graphopt costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphopt.errors import GraphOptError as GraphOptError
    from graphopt.graph.load import load as load
    from graphopt.graph.model import Model as Model
    from graphopt.graph.save import save as save
    from graphopt.graph.surgeon import from_graphsurgeon as from_graphsurgeon
    from graphopt.graph.surgeon import to_graphsurgeon as to_graphsurgeon
    from graphopt.measure.bench import bench as bench
    from graphopt.measure.check.checker import check as check
    from graphopt.measure.compare import compare_models as compare
    from graphopt.measure.contenders import BenchOptions as BenchOptions
    from graphopt.measure.profile import ProfileOptions as ProfileOptions
    from graphopt.measure.profile import profile as profile
    from graphopt.pipeline.optimize import Result as Result
    from graphopt.pipeline.optimize import optimize as optimize
    from graphopt.pipeline.options import Options as Options
    from graphopt.pipeline.passes import Pass as Pass
    from graphopt.pipeline.passes import SurgeonPass as SurgeonPass
    from graphopt.pipeline.report import Report as Report
    from graphopt.rewrite.rule import Rule as Rule

__version__ = "0.1.0"

_PLACES = {
    "BenchOptions": "graphopt.measure.contenders",
    "GraphOptError": "graphopt.errors",
    "Model": "graphopt.graph.model",
    "Options": "graphopt.pipeline.options",
    "Pass": "graphopt.pipeline.passes",
    "ProfileOptions": "graphopt.measure.profile",
    "Report": "graphopt.pipeline.report",
    "Result": "graphopt.pipeline.optimize",
    "Rule": "graphopt.rewrite.rule",
    "SurgeonPass": "graphopt.pipeline.passes",
    "bench": "graphopt.measure.bench",
    "check": "graphopt.measure.check.checker",
    "compare": "graphopt.measure.compare:compare_models",
    "from_graphsurgeon": "graphopt.graph.surgeon",
    "load": "graphopt.graph.load",
    "optimize": "graphopt.pipeline.optimize",
    "profile": "graphopt.measure.profile",
    "save": "graphopt.graph.save",
    "to_graphsurgeon": "graphopt.graph.surgeon",
}
"""The module of each public name, with the name that it has there if that is another."""

__all__ = [
    "BenchOptions",
    "GraphOptError",
    "Model",
    "Options",
    "Pass",
    "ProfileOptions",
    "Report",
    "Result",
    "Rule",
    "SurgeonPass",
    "__version__",
    "bench",
    "check",
    "compare",
    "from_graphsurgeon",
    "load",
    "optimize",
    "profile",
    "save",
    "to_graphsurgeon",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        msg = f"module 'graphopt' has no attribute {name!r}"
        raise AttributeError(msg)
    module, _, inner = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), inner or name)


def __dir__() -> list[str]:
    return sorted(__all__)
