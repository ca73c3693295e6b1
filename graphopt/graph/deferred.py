"""Leave to the runtime, when it loads a model, what would only make the file bigger.

Runtimes compute what depends on constants alone before the first inference. A small constant and the node that makes a
big one of it take less room than the big one.
"""

from __future__ import annotations

from graphopt.graph.model import Node

__all__ = ["defer", "is_deferred"]

_KEY = "graphopt.deferred"


def defer(node: Node) -> None:
    """Mark a node that reads constants only as one that is not to be computed before the model is saved."""
    node.metadata_props[_KEY] = "load"


def is_deferred(node: Node) -> bool:
    """Tell whether a node is left to the runtime on purpose."""
    return _KEY in node.metadata_props
