"""Shrink a model to the part that a pipeline still gets wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from graphopt.errors import GraphOptError, VerificationError
from graphopt.graph.extract import around, extract
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import Node
from graphopt.graph.save import save
from graphopt.pipeline.bisect import Judge
from graphopt.pipeline.options import Options
from graphopt.rewrite.steps import Step, label
from graphopt.runtime.process import Worker

__all__ = ["Reduced", "reduce_model"]


@dataclass(frozen=True)
class Reduced:
    """The rewrite to blame, and how many nodes the model had and has."""

    rule: str
    node: str
    nodes_before: int
    nodes_after: int


def reduce_model(source: Path, output: Path, options: Options, tell: Callable[[str], None]) -> Reduced:
    """Save the smallest neighbourhood of the guilty node that the pipeline still gets wrong as `output`.

    Raises `VerificationError` if no rewrite changes the results of `source`.
    """
    with Worker() as worker, tempfile.TemporaryDirectory(prefix="graphopt-") as name:
        folder = Path(name)
        step = Judge(source, folder, options, worker, tell).first_bad_step()
        if step is None:
            raise VerificationError("no rewrite changes the results", advice="there is nothing to reduce")
        before = len(load(source, freeze=options.freeze).graph)
        for size, path in _candidates(source, step, folder, options):
            tell(f"reduce: {size} nodes")
            if _still_wrong(path, folder, options, worker, tell):
                save(load(path), output)
                return Reduced(step.rule, step.node, before, size)
        save(load(source), output)
        return Reduced(step.rule, step.node, before, before)


def _candidates(source: Path, step: Step, folder: Path, options: Options) -> Iterator[tuple[int, Path]]:
    """Yield ever larger neighbourhoods of the node that the step names, as files."""
    hops, last = 0, 0
    while True:
        model = load(source, freeze=options.freeze)
        node = _find(model.graph, step.node)
        nodes = [] if node is None else around(node, hops)
        if node is None or (nodes and len(nodes) == last) or len(nodes) == len(model.graph):
            return
        last = len(nodes)
        region = extract(model, nodes, Facts(model))
        if region is not None:
            path = folder / f"region_{hops}.onnx"
            save(region, path)
            yield len(nodes), path
        hops = hops + 1 if hops < 4 else hops * 2


def _find(graph: object, name: str) -> Node | None:
    """Find the node that a step names: in the original it has that name, or makes a value of which the name begins."""
    nodes = [node for node in graph if isinstance(node, Node)]  # type: ignore[attr-defined]
    exact = next((node for node in nodes if label(node) == name), None)
    return exact or next((node for node in nodes if node.name and name.startswith(node.name)), None)


def _still_wrong(path: Path, folder: Path, options: Options, worker: Worker, tell: Callable[[str], None]) -> bool:
    try:
        return Judge(path, folder, options, worker, tell).is_bad(None)
    except GraphOptError:
        return False
