"""Compute in float32, rounding every result, what a model computes in a type that a runtime has no kernels for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphopt.graph.edit import make_attribute
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import DataType, Model, Node, Value
from graphopt.graph.names import Names
from graphopt.graph.save import save

__all__ = ["emulate", "runnable"]

_WIDE = DataType.FLOAT


@contextmanager
def runnable(path: Path) -> Iterator[Path]:
    """Give the file of a model that onnxruntime's CPU runs as meant: `path`, or one that emulates its narrow types.

    The CPU has no kernels for bfloat16, and few for float16: in between it would not round.
    """
    model = load(path)
    with tempfile.TemporaryDirectory(prefix="graphopt-") as folder:
        emulated = Path(folder) / path.name
        if sum(emulate(model, narrow) for narrow in (DataType.BFLOAT16, DataType.FLOAT16)):
            save(model, emulated)
        yield emulated if emulated.exists() else path


def emulate(model: Model, narrow: DataType) -> int:
    """Let the nodes of `model` that give `narrow` compute in float32 and round; return how many there are.

    What is stored in `narrow` stays so and is converted behind. Left unchanged: a model with inputs or outputs of it.
    """
    facts, names = Facts(model), Names(model)
    if any(facts.dtype(value) == narrow for value in (*model.graph.inputs, *model.graph.outputs)):
        return 0
    stored: list[Value] = []
    made: list[Value] = []
    for graph in model.scopes():
        stored += [value for value in graph.initializers.values() if facts.dtype(value) == narrow]
        for node in graph:
            results = [value for value in node.outputs if value.name and facts.dtype(value) == narrow]
            (stored if node.op_type == "Cast" else made).extend(results)
    for value in stored:
        _follow(value, (_WIDE,), names)
    for value in made:
        value.dtype = _WIDE
        _follow(value, (narrow, _WIDE), names)
    return len(made)


def _follow(value: Value, types: tuple[DataType, ...], names: Names) -> None:
    """Convert a value through these types, for all that read it."""
    producer, graph = value.producer(), value.graph
    graph = producer.graph if producer is not None else graph
    if graph is None or not value.uses():
        return
    last, chain = value, []
    for to in types:
        node = Node("", "Cast", [last], [make_attribute("to", to.value)], name=names.fresh(f"{value.name}_emulated"))
        last = node.outputs[0]
        last.name, last.dtype = names.fresh(f"{value.name}_emulated"), to
        chain.append(node)
    value.replace_all_uses_with(last)
    chain[0].replace_input_with(0, value)
    if producer is not None:
        graph.insert_after(producer, chain)
    elif (first := next(iter(graph), None)) is not None:
        graph.insert_before(first, chain)
