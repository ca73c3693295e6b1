"""Give ai.onnx one name in memory; exporters write it as '' or 'ai.onnx'."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from graphopt.graph.model import Graph, Model

__all__ = ["join_imports", "split_imports"]

_ALIAS = "ai.onnx"
_MARK = "graphopt.imports-ai.onnx"


def join_imports(model: Model) -> None:
    """Rename an import of 'ai.onnx' to '' in the model and its functions, and remember it."""
    for graph in (model.graph, *(function.graph for function in model.functions())):
        if _ALIAS in graph.opset_imports:
            versions = {("" if name == _ALIAS else name): version for name, version in graph.opset_imports.items()}
            graph.opset_imports.clear()
            graph.opset_imports.update(versions)
            graph.meta[_MARK] = True


def split_imports(proto: onnx.ModelProto, model: Model) -> None:
    """Write the import as it came."""
    _split(proto, model.graph)
    for function, held in zip(proto.functions, model.functions(), strict=True):
        _split(function, held.graph)


def _split(proto: onnx.ModelProto | onnx.FunctionProto, graph: Graph) -> None:
    if graph.meta.get(_MARK):
        for entry in proto.opset_import:
            entry.domain = entry.domain or _ALIAS
