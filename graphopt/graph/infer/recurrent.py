"""Infer recurrent operators."""

from __future__ import annotations

from graphopt.graph.dims import Dim
from graphopt.graph.infer.site import Dtypes, Operator, Shape, Shapes, Site

__all__ = ["OPERATORS"]


def _dtypes(site: Site) -> Dtypes:
    return [site.dtype(0)] * site.outputs()


def _hidden(site: Site) -> Dim:
    recurrence = site.shape(2)
    size = site.integer("hidden_size", 0)
    if size > 0:
        return size
    return site.fresh() if recurrence is None or len(recurrence) != 3 else recurrence[2]


def _recurrent(site: Site) -> Shapes:
    """Shape Y [steps, directions, batch, hidden] and Y_h, Y_c [directions, batch, hidden]; layout 1 has batch first."""
    first, second, _ = site.known_shape(0)
    directions = 2 if site.text("direction", "forward").lower() == "bidirectional" else 1
    hidden = _hidden(site)
    if site.integer("layout", 0):
        last: Shape = (first, directions, hidden)
        return [(first, second, directions, hidden), last, last]
    last = (directions, second, hidden)
    return [(first, directions, second, hidden), last, last]


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", name): Operator(_dtypes, _recurrent) for name in ("GRU", "LSTM", "RNN")
}
