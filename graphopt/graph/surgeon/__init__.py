"""Hand a model to code written against onnx-graphsurgeon, and take the edited graph back.

What onnx-graphsurgeon cannot express stays with the model and is put back: nothing that the code did not touch changes.
onnx-graphsurgeon is imported on the first call, because it costs half a second.
"""

from __future__ import annotations

from typing import Any

from graphopt.errors import UnsupportedError
from graphopt.graph.model import Model

__all__ = ["from_graphsurgeon", "to_graphsurgeon"]


def to_graphsurgeon(model: Model) -> Any:
    """Build the `onnx_graphsurgeon.Graph` of `model`, object for object.

    Weights are shared and read only when `.values` is asked for. The model is not changed. An initializer that is also
    a graph input is a `Variable`, because its value may be overridden. An attribute that onnx-graphsurgeon has no form
    for stands in `attrs` as an opaque object; leave it there, move it or delete it.
    """
    _require()
    from graphopt.graph.surgeon.outward import Outward

    return Outward(model).run()


def from_graphsurgeon(graph: Any, model: Model | None = None) -> Model:
    """Bring an `onnx_graphsurgeon.Graph` back into `model`, in place, and return the model.

    Without `model`, a graph of `to_graphsurgeon` goes back to the model it was made from, and any other becomes a new
    model. Names that collide are made unique and nodes are put into order; both show in `graph` afterwards.

    Raises `ModelError`, the model unchanged, if a node reads what nothing produces, or a type or an attribute has no
    form in ONNX. Raises it too, the model in an unusable state, if the nodes form a cycle, or a new output has no
    element type and none can be inferred.
    """
    _require()
    from graphopt.graph.surgeon.inward import Inward

    return Inward(graph, model).run()


def _require() -> None:
    try:
        import onnx_graphsurgeon  # noqa: F401
    except ImportError as error:
        raise UnsupportedError(
            "onnx-graphsurgeon is not installed", advice="install it: pip install onnx-graphsurgeon"
        ) from error
