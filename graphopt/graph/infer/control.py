"""Infer the outputs of operators that hold graphs, and the inputs of those graphs."""

from __future__ import annotations

from graphopt.graph.dims import Dim, symbols
from graphopt.graph.infer.site import UNKNOWN, Dtypes, Fact, Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType, Node, Value, subgraphs

__all__ = ["OPERATORS", "body_input", "body_outputs"]


def body_outputs(node: Node) -> list[Value]:
    """List the outputs of the graphs of an If, Loop or Scan, on which the node's own outputs depend."""
    return [value for graph in subgraphs(node) for value in graph.outputs]


def body_input(site: Site, index: int) -> Fact:
    """Return what is known of input `index` of the body of an If, Loop or Scan."""
    if site.node.op_type == "Loop":
        return _loop_input(site, index)
    return _scan_input(site, index) if site.node.op_type == "Scan" and site.version >= 9 else UNKNOWN


def _loop_input(site: Site, index: int) -> Fact:
    if index == 0:
        return Fact(DataType.INT64, (), None)
    if index == 1:
        return Fact(DataType.BOOL, (), None)
    # The shape of a carried value may change from one iteration to the next.
    return Fact(site.dtype(index), None, None)


def _scan_input(site: Site, index: int) -> Fact:
    states = site.count() - site.integer("num_scan_inputs", 0)
    if index < states:
        return Fact(site.dtype(index), None, None)
    shape = site.shape(index)
    if shape is None:
        return Fact(site.dtype(index), None, None)
    axes = site.integers("scan_input_axes") or (0,) * site.count()
    axis = site.axis(axes[index - states], len(shape))
    return Fact(site.dtype(index), shape[:axis] + shape[axis + 1 :], None)


def _branches(site: Site) -> list[tuple[Fact, Fact]]:
    then, other = site.graph("then_branch"), site.graph("else_branch")
    condition = site.contents(0)
    if condition is not None:
        then = other = then if condition == (1,) else other
    pairs = zip(then.outputs, other.outputs, strict=True)
    return [(site.source.fact(a), site.source.fact(b)) for a, b in pairs]


def _if_dtype(site: Site) -> Dtypes:
    return [a.dtype if a.dtype == b.dtype else None for a, b in _branches(site)]


def _if(site: Site) -> Shapes:
    return [_merged(site, a.shape, b.shape) for a, b in _branches(site)]


def _merged(site: Site, a: Shape | None, b: Shape | None) -> Shape | None:
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else site.fresh() for x, y in zip(a, b, strict=True))


def _loop_dtype(site: Site) -> Dtypes:
    carried = site.count() - 2
    outputs = list(site.graph("body").outputs)[1:]
    facts = [site.source.fact(value) for value in outputs]
    return [site.dtype(i + 2) if i < carried else fact.dtype for i, fact in enumerate(facts)]


def _loop(site: Site) -> Shapes:
    carried = site.count() - 2
    outputs = list(site.graph("body").outputs)[1:]
    found: list[Shape | None] = [None] * min(carried, len(outputs))
    for value in outputs[carried:]:
        shape = site.source.fact(value).shape
        found.append(None if shape is None else (site.fresh(), *_outside(site, shape)))
    return found


def _outside(site: Site, shape: Shape) -> tuple[Dim, ...]:
    """Replace dimensions that depend on a size which the body made: it differs between iterations."""
    return tuple(site.fresh() if any(name.startswith("?") for name in symbols(dim)) else dim for dim in shape)


def _scan_dtype(site: Site) -> Dtypes:
    # Opset 8 has lengths in front of the other inputs, and a batch axis.
    if site.version < 9:
        return None
    states = site.count() - site.integer("num_scan_inputs", 0)
    facts = [site.source.fact(value) for value in site.graph("body").outputs]
    return [site.dtype(i) if i < states else fact.dtype for i, fact in enumerate(facts)]


def _scan(site: Site) -> Shapes:
    if site.version < 9:
        return None
    scanned = site.integer("num_scan_inputs", 0)
    states = site.count() - scanned
    outputs = list(site.graph("body").outputs)
    found: list[Shape | None] = [None] * states
    axes = site.integers("scan_output_axes") or (0,) * len(outputs)
    length = _scan_length(site, states)
    for axis, value in zip(axes, outputs[states:], strict=False):
        shape = site.source.fact(value).shape
        found.append(None if shape is None else _inserted(site, _outside(site, shape), axis, length))
    return found


def _scan_length(site: Site, states: int) -> Dim:
    shape = site.shape(states)
    axes = site.integers("scan_input_axes") or (0,)
    return site.fresh() if shape is None else shape[site.axis(axes[0], len(shape))]


def _inserted(site: Site, shape: Shape, axis: int, dim: Dim) -> Shape:
    place = site.axis(axis, len(shape) + 1)
    return (*shape[:place], dim, *shape[place:])


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "If"): Operator(_if_dtype, _if),
    ("", "Loop"): Operator(_loop_dtype, _loop),
    ("", "Scan"): Operator(_scan_dtype, _scan),
    ("", "SequenceLength"): Operator(lambda _site: DataType.INT64, lambda _site: ()),
    ("", "OptionalHasElement"): Operator(lambda _site: DataType.BOOL, lambda _site: ()),
}
