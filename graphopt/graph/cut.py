"""Copy parts out of a model, which is left as it is: nodes as a model of their own, values as outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from graphopt.graph._onnx_ir import ir
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node, Value, subgraphs

__all__ = ["cut", "detached", "held_constant", "is_movable", "show_shapes", "show_values", "values_by_name"]


def values_by_name(model: Model) -> dict[str, Value]:
    """Return inputs and node results of the main graph under their names."""
    graph = model.graph
    made = (value for node in graph for value in node.outputs if value.name)
    return {value.name or "": value for value in (*graph.inputs, *made)}


def held_constant(value: Value) -> bool:
    """Tell whether a value is a constant that no node makes and no caller can override."""
    return value.const_value is not None and value.producer() is None and not value.is_graph_input()


def is_movable(node: Node, model: Model) -> bool:
    """Tell whether a copy of `node` means the same in a model of its own: it holds no graph and calls no function."""
    if subgraphs(node) or node.domain == "graphopt.carried":
        return False
    called = (node.domain, node.op_type, node.overload)
    return called not in model.ir.functions and not any(attr.is_ref() for attr in node.attributes.values())


def detached(nodes: Sequence[Node]) -> list[Node]:
    """Copy nodes, so that the rest of their model need not be kept; values are told apart by name as in `cut`.

    Nodes that hold graphs stay what they are.
    """
    taken: dict[object, Value] = {}
    for value in (value for node in nodes for value in node.inputs if value is not None):
        taken.setdefault(_key(value), Value(name=value.name, const_value=_held(value)))
    return [node if subgraphs(node) else _copied(node, taken) for node in nodes]


def _held(value: Value) -> ir.TensorProtocol | None:
    return value.const_value if held_constant(value) else None


def cut(
    nodes: Iterable[Node], outputs: Sequence[str], source: Model, types: Mapping[str, Value], facts: Facts
) -> Model | None:
    """Copy `nodes`, in any order, into a model that gives `outputs`; they may come from several versions of `source`.

    Values are told apart by name. What the nodes read and none of them makes becomes an input, declared as `facts` know
    the value of that name in `types`; constants stay constants. None if an input's element type is not known or the
    nodes read each other in a circle.
    """
    ordered = _ordered(list(nodes))
    if ordered is None:
        return None
    made = {value.name for node in ordered for value in node.outputs}
    taken: dict[object, Value] = {}
    inputs: list[Value] = []
    constants: list[Value] = []
    for value in (value for node in ordered for value in node.inputs if value is not None):
        if value.name in made or _key(value) in taken:
            continue
        copy = _constant(value, len(constants)) if held_constant(value) else _typed(types.get(value.name or ""), facts)
        if copy is None:
            return None
        (constants if held_constant(value) else inputs).append(copy)
        taken[_key(value)] = copy
    copies = [_copied(node, taken) for node in ordered]
    results = [taken[name] for name in outputs]
    for value in results:
        known = _typed(types.get(value.name or ""), facts)
        if known is not None:
            value.type, value.shape = known.type, known.shape
    imports = dict(source.ir.opset_imports)
    graph = ir.Graph(inputs, results, nodes=copies, initializers=constants, opset_imports=imports, name="region")
    return Model(ir.Model(graph, ir_version=source.ir.ir_version), None, source.carried)


def _key(value: Value) -> object:
    return id(value) if held_constant(value) else value.name


def _ordered(nodes: list[Node]) -> list[Node] | None:
    """Return the nodes in an order in which each stands behind what it reads; None if there is none."""
    made = {value.name: node for node in nodes for value in node.outputs if value.name}
    found: dict[Node, None] = {}
    waiting = list(reversed(nodes))
    opened: set[Node] = set()
    while waiting:
        node = waiting[-1]
        needed = [made[value.name] for value in node.inputs if value is not None and value.name in made]
        missing = [each for each in needed if each not in found]
        if node in found or not missing:
            found[waiting.pop()] = None
        elif node in opened:
            return None
        else:
            opened.add(node)
            waiting.extend(missing)
    return list(found)


def _copied(node: Node, taken: dict[object, Value]) -> Node:
    made = [Value(name=value.name) for value in node.outputs]
    operands = [None if value is None else taken[_key(value)] for value in node.inputs]
    copy = Node(
        node.domain,
        node.op_type,
        operands,
        list(node.attributes.values()),
        overload=node.overload,
        outputs=made,
        name=node.name,
    )
    taken.update({value.name: value for value in made if value.name})
    return copy


def _constant(value: Value, number: int) -> Value:
    tensor = value.const_value
    if tensor is None:
        msg = f"{value.name!r} is no constant"
        raise ValueError(msg)
    name = f"constant_{number}"
    shape = ir.Shape(tensor.shape.numpy())
    # A tensor carries one name, and this one is in use.
    shared = ir.LazyTensor(lambda: tensor, dtype=tensor.dtype, shape=shape, name=name)
    return Value(name=name, shape=ir.Shape(shape.dims), type=ir.TensorType(tensor.dtype), const_value=shared)


def _typed(value: Value | None, facts: Facts) -> Value | None:
    dtype = None if value is None else facts.dtype(value)
    if value is None or dtype is None:
        return None
    shape = facts.shape(value)
    dims = None if shape is None else ir.Shape([dim if isinstance(dim, int) else str(dim) for dim in shape])
    return Value(name=value.name, type=ir.TensorType(dtype), shape=dims)


def show_values(model: Model, names: Collection[str], facts: Facts) -> list[str]:
    """Make the values of these names the only outputs of `model`; return those whose element type is known, in order.

    Values that are inputs are left out as well.
    """
    values = values_by_name(model)
    known = [name for name in names if name in values and values[name].producer() and facts.dtype(values[name])]
    for name in known:
        dtype = facts.dtype(values[name])
        if dtype is not None:
            values[name].type = ir.TensorType(dtype)
    model.graph.outputs.clear()
    model.graph.outputs.extend(values[name] for name in known)
    return known


def show_shapes(model: Model, names: Collection[str]) -> dict[str, str]:
    """Make the shapes of the tensors of these names the only outputs; return their names by those of the tensors."""
    values = values_by_name(model)
    shown: dict[str, str] = {}
    shapes: list[Value] = []
    for number, name in enumerate(names):
        node = Node("", "Shape", [values[name]], name=f"graphopt.shape.{number}")
        made = node.outputs[0]
        made.name, made.type = f"graphopt.shape.{number}", ir.TensorType(ir.DataType.INT64)
        model.graph.append(node)
        shapes.append(made)
        shown[name] = made.name
    model.graph.outputs.clear()
    model.graph.outputs.extend(shapes)
    return shown
